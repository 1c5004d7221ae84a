"""The report for reviewers: one HTML file that says what is guaranteed, what was spent, by whom, and how to check it.

    write_report("audit.duckdb", "report.html", problems=[])      # from a snapshot, or from a journal's lines
    registry_entry("audit.duckdb", problems=[])                   # the same figures, for a public registry

The page refers to nothing outside itself, needs no script, and prints. Its figures are those of the snapshot's views;
what is enforced and what only reported is kept apart everywhere. Names and reasons in a journal are people's words, so
everything is escaped. It says what it was given (`problems`, from a verification) and verifies nothing itself: a page
that vouched for itself would be worth nothing, so it names the commands by which a reader checks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ledger.report.attention import Weaker
from ledger.report.facts import Source, read_facts
from ledger.report.page import SecondOpinion, page_of
from ledger.report.registry import entry_of

__all__ = ["registry_entry", "write_report"]

TITLE = "Privacy report"


def write_report(
    source: Source,
    path: Path | str,
    *,
    problems: Sequence[str],
    title: str = TITLE,
    checkpoint: Mapping[str, Any] | None = None,
    second_opinion: SecondOpinion | None = None,
    audits: Mapping[int, str] | None = None,
    weaker: Weaker | None = None,
) -> Path:
    """Write the report to `path` and return it.

    Args:
        source: A snapshot's file, or the journal's lines as (body, hash).
        problems: What a verification found; empty where everything held.
        checkpoint: The newest signed one, as docs/journal.md has it, if there is any.
        second_opinion: What another accountant says of an event (as JSON, see `ledger.events`) at a delta, in a few
            words, or why it says nothing. The ledger itself knows no other accountant than its own.
        audits: What audits of the runs found, in a few words, by the entries that reserved the charges. The ledger
            itself has only those that refute, as incidents.
        weaker: What of a contract's terms gives less protection than those before them (None: than is usual), a
            sentence each. The ledger itself does not know what terms mean.

    Raises:
        OSError: it cannot be written there.
    """
    target = Path(path)
    facts = read_facts(source, checkpoint)
    text = page_of(facts, title=title, problems=problems, second_opinion=second_opinion, audits=audits, weaker=weaker)
    draft = target.with_name(f".{target.name}.new")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return target


def registry_entry(
    source: Source, *, problems: Sequence[str], title: str = TITLE, checkpoint: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The registry entry that the report shows, as plain JSON values."""
    return entry_of(read_facts(source, checkpoint), title=title, problems=problems)
