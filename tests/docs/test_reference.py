"""The reference is what the code says of itself today."""

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
PAGES = runpy.run_path(str(DOCS / "reference" / "generate.py"))["pages"]


def test_the_reference_pages_are_what_make_docs_would_write(subtests) -> None:
    made = PAGES()
    assert {path.name for path in (DOCS / "reference").glob("*.md")} == set(made)
    for name, text in made.items():
        with subtests.test(name):
            stands = (DOCS / "reference" / name).read_text(encoding="utf-8")
            assert stands == text, f"docs/reference/{name} is not what the code says: run `make docs`"
