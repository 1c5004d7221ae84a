"""What a run was charged itself, and what earlier runs were charged for what it went on with.

A run that takes over a charge has it under its name in the ledger from then on, and is charged itself for the steps
alone that run again: each of these is an entry with the run that it was charged to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ledger import Entry, Event, Ledger
from ledger.chain import real
from ledger.rounded import up


@dataclass(frozen=True)
class Charged:
    """A charge that a run made, or took over.

    Attributes:
        blocks: what it is charged to.
        own: the entries that charged this run.
        before: the epsilons that earlier runs were charged for it, each by itself.
    """

    release: str
    blocks: tuple[str, ...]
    own: tuple[Entry, ...]
    before: tuple[float, ...]

    @property
    def events(self) -> tuple[Event, ...]:
        """What this run was charged for."""
        return tuple(each.event for each in self.own if each.event is not None)

    @property
    def epsilon(self) -> float:
        """This run's, by itself."""
        return sum(map(_epsilon, self.own))


def charged_in(book: Ledger, run: str) -> list[Charged]:
    """The charges of a run, in the order of the ledger. Those that are merely held for it, or given back, are none."""
    stand = {each.id: each for each in book.reservations() if each.state not in ("reserved", "voided")}
    parts: dict[str, list[Entry]] = {}
    for entry in book.entries():
        if entry.kind in ("reserved", "resumed") and entry.reservation_id in stand:
            parts.setdefault(entry.reservation_id, []).append(entry)
    found = []
    for reservation, entries in parts.items():
        if any(each.owner == run for each in entries):
            paid = [each for each in entries if each.event is not None]
            before = tuple(_epsilon(each) for each in paid if each.owner != run)
            own = tuple(each for each in paid if each.owner == run)
            found.append(Charged(stand[reservation].release, stand[reservation].blocks, own, before))
    return found


def own_charges(charges: Sequence[Charged]) -> str:
    """What the run was charged itself, as a sentence has it; empty if nothing."""
    return _listed(
        [
            f"ε {up(_epsilon(each))} for "
            + (f"steps of {charge.release} that ran again" if each.kind == "resumed" else charge.release)
            for charge in charges
            for each in charge.own
        ]
    )


def went_on(charges: Sequence[Charged]) -> str:
    """What others were charged before for what the run went on with, in sentences; empty if there is none."""
    said = [charged_before(each.before, each.release) for each in charges if each.before]
    return " ".join(f"{each[0].upper()}{each[1:]}, and this run went on with it." for each in said)


def charged_before(epsilons: Sequence[float], what: str) -> str:
    """What runs before were charged for something, as the beginning of a sentence."""
    who = "an earlier run was" if len(epsilons) == 1 else "earlier runs were"
    return f"{who} charged {_listed([f'ε {up(each)}' for each in epsilons])} for {what}, which stays"


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def _epsilon(entry: Entry) -> float:
    return real(entry.payload["epsilon_alone"])
