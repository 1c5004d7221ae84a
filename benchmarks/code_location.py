"""Loading the Dagster code location, in a fresh process, over a bare `import dagster` in a fresh process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from benchmarks.pairs import paired_ratios


def rows() -> Iterator[tuple[str, str, list[float]]]:
    """What every step process pays before it starts."""

    def load(module: str) -> None:
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True)

    ratios = paired_ratios(lambda: load("dpsynth_assets.definitions"), lambda: load("dagster"))
    yield "load the code location", "import dagster", ratios
