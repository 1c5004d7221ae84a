"""Who answers for a contract, and for how long its sensitive copies are kept."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dpsynth_assets.contract.draft import Draft
from dpsynth_assets.contract.problems import Problem, listing

# No wider than Dagster's own check, which would otherwise refuse the owner when the code location loads.
_EMAIL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._%+-]*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,7}")
_TEAM = re.compile(r"team:[A-Za-z0-9_.-]+")
_DAYS = {"d": 1, "day": 1, "days": 1, "y": 365, "yr": 365, "year": 365, "years": 365}
LONGEST_RETENTION = 100 * 365  # days: what is kept longer is kept for good, and no date says until when
FORM = "Write an e-mail address, or `team:` and a name without blanks"


def is_person(text: str) -> bool:
    """Whether a text is an owner as Dagster takes one: an e-mail address or `team:x`."""
    return bool(_EMAIL.fullmatch(text) or _TEAM.fullmatch(text))


def owners_of(draft: Draft) -> tuple[str, ...]:
    """The members of the team with the role owner who have not left."""
    return tuple(dict.fromkeys(name for _, name in _owners(draft)))


def approvers_of(draft: Draft) -> tuple[str, ...]:
    """The first-level approvers of all roles."""
    return tuple(dict.fromkeys(name for _, name in _approvers(draft)))


def retention_of(draft: Draft) -> int | None:
    """For how many days the sensitive store keeps a snapshot."""
    for _, entry in draft.items("slaProperties"):
        if entry.get("property") == "retention":
            value, days = entry.get("value"), _DAYS.get(str(entry.get("unit", "d")))
            if isinstance(value, int) and not isinstance(value, bool) and days:
                return value * days if 1 <= value * days <= LONGEST_RETENTION else None
    return None


def _owners(draft: Draft) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for team in (("team", "members"), ("team",)):  # the second is how the standard wrote it before 3.1
        for index, member in draft.items(*team):
            name, role = member.get("username"), member.get("role")
            if isinstance(name, str) and isinstance(role, str) and role.lower() == "owner" and "dateOut" not in member:
                yield (*team, index, "username"), name


def _approvers(draft: Draft) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for index, role in draft.items("roles"):
        named = role.get("firstLevelApprovers")
        for name in named.split(",") if isinstance(named, str) else []:
            if name.strip():
                yield ("roles", index, "firstLevelApprovers"), name.strip()


def people(draft: Draft) -> Iterator[Problem]:
    """Owners and approvers exist, can be reached, and are not the same people."""
    owners, approvers = list(_owners(draft)), list(_approvers(draft))
    for kind, found in (("owner", owners), ("approver", approvers)):
        for path, name in found:
            if not is_person(name):
                yield draft.problem(path, f"the {kind} `{name}` cannot be reached", FORM)
    split = draft.parts.test_split
    if split is not None and not is_person(split.declared_public_by):
        path = draft.term("test_split", "declared_public_by")
        yield draft.problem(path, f"`{split.declared_public_by}` cannot be asked why the split is public", FORM)
    if not owners:
        remedy = "Add `members: [{username: name@example.com, role: owner}]` to `team`"
        yield draft.problem(("team",), "the contract has no owner", remedy)
    if not approvers:
        remedy = "Add a role with `firstLevelApprovers: name@example.com`"
        yield draft.problem(("roles",), "nobody may approve changes of the privacy terms", remedy)
    elif {name.lower() for _, name in approvers} <= {name.lower() for _, name in owners}:
        yield draft.problem(
            approvers[0][0],
            f"every approver is an owner ({listing(owners_of(draft))})",
            "Name at least one approver who is not: nobody approves their own change",
        )


def retention(draft: Draft) -> Iterator[Problem]:
    """The contract says how long sensitive copies are kept."""
    entries = [(i, e) for i, e in draft.items("slaProperties") if e.get("property") == "retention"]
    if not entries:
        yield draft.problem(
            ("slaProperties",),
            "the contract does not say how long sensitive copies are kept",
            "Add `slaProperties: [{property: retention, value: 30, unit: d}]`",
        )
    for index, entry in entries[:1]:
        path = ("slaProperties", index)
        if (unit := str(entry.get("unit", "d"))) not in _DAYS:
            yield draft.problem((*path, "unit"), f"the unit `{unit}` is not known", "Write d for days or y for years")
        elif retention_of(draft) is None:
            yield draft.problem(
                (*path, "value"), f"the retention must be a whole number of 1 to {LONGEST_RETENTION} days", "Write 30"
            )
    for index, _ in entries[1:]:
        yield draft.problem(("slaProperties", index), "retention stands here a second time", "Keep one entry")
