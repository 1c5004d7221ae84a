"""Every link within the docs leads to a file that is there, and to a heading that stands in it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.commands import BLOCK, ROOT, pages

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub names them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def leads_nowhere(page: Path, target: str) -> str | None:
    place, _, anchor = target.partition("#")
    there = (page.parent / place).resolve() if place else page
    if not there.exists() or not there.is_relative_to(ROOT):
        return f"there is no {place}"
    if anchor and anchor not in anchors(there):
        return f"{there.name} has no heading #{anchor}"
    return None


def test_every_link_leads_somewhere(subtests) -> None:
    for page in pages():
        text = BLOCK.sub("\n\n", page.read_text(encoding="utf-8"))
        for target in LINK.findall(text):
            if "://" not in target:
                with subtests.test(f"{page.relative_to(ROOT)}: {target}"):
                    assert leads_nowhere(page, target) is None


def test_a_link_that_leads_nowhere_would_be_found() -> None:
    readme = ROOT / "README.md"
    assert leads_nowhere(readme, "docs/nothing.md") == "there is no docs/nothing.md"
    assert leads_nowhere(readme, "docs/glossary.md#nothing") == "glossary.md has no heading #nothing"
    assert leads_nowhere(readme, "docs/contracts.md#two-signatures") is None
