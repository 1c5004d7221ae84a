"""The resources know nothing of the platform, not even for their types: those imports import-linter does not see."""

from pathlib import Path

import resources


def test_no_module_names_the_platform():
    modules = list(Path(resources.__file__).parent.rglob("*.py"))
    assert modules
    assert [path.name for path in modules if "dpsynth_assets" in path.read_text(encoding="utf-8")] == []
