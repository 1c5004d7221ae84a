"""A working directory in which somebody else has left packages under names that are imported here."""

from __future__ import annotations

from pathlib import Path

NAMES = ("dpsynth_assets", "resources", "ledger", "dagster", "numpy", "torch", "pickle", "pip", "packaging", "tests")


def traps(folder: Path) -> Path:
    """Lays them; gives the file that is there once one of them was imported, by whatever process."""
    sprung = folder / "sprung"
    for name in NAMES:
        package = folder / name
        package.mkdir()
        (package / "__init__.py").write_text(
            f"open({str(sprung)!r}, 'a').write({name!r} + chr(10))\n", encoding="utf-8"
        )
    return sprung
