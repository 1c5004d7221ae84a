"""Other populations that are charged with a contract's own, since the ledger knows the same records as theirs.

Says what stands in the ledger and in the newest snapshot's manifest. Reads no row, and decides nothing: what is charged
where, the ledger decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dpsynth_assets.cli.charged import charged_in
from dpsynth_assets.cli.console import say
from dpsynth_assets.gate.sources import source_of
from ledger import Ledger
from ledger.accounting import epsilon
from ledger.rounded import down, up
from resources.tabular import SourceError

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from ledger import Spending
    from resources.home import Home


@dataclass(frozen=True)
class ChargedToo:
    """Another population that a run was charged to.

    Attributes:
        charged: the epsilon of each release by itself, at that population's delta; of one that the run went on with,
            that of the steps which ran again.
        stands: what is spent and left of it.
    """

    population: str
    charged: Mapping[str, float]
    stands: Spending


def charged_too(contract: Contract, home: Home, run: str) -> Iterator[ChargedToo]:
    """Which other populations a run was charged to, and how much."""
    book, own = Ledger(home.ledger_file), contract.privacy.population
    charges = [each for each in charged_in(book, run) if each.own]
    for other in _others([block for each in charges for block in each.blocks], own):
        stands = book.spending(other)
        theirs = [each for each in charges if other in _others(each.blocks, own)]
        asked = {each.release: sum(epsilon(event, stands.delta) for event in each.events) for each in theirs}
        yield ChargedToo(other, asked, stands)


def say_charged_too(contract: Contract, home: Home, run: str) -> None:
    """The same in words."""
    for each in charged_too(contract, home, run):
        asked = " and ".join(f"ε {up(cost)} for {release}" for release, cost in each.charged.items())
        stands = each.stands
        say(
            f"Records of population {each.population} are among these, so it was charged too: {asked}. Of it, ε ",
            (up(stands.epsilon_spent), "bold"),
            " is spent and ",
            (down(stands.epsilon_remaining), "bold"),
            f" left of {stands.epsilon_cap:g} at δ {stands.delta:g}.",
        )


def say_would_be_charged_too(contract: Contract, home: Home) -> None:
    """Which other populations would be charged, where a snapshot of the source tells it."""
    from resources.sensitive_store import SensitiveStore

    known: tuple[str, ...] = ()
    with suppress(SourceError):  # there is none under these terms: it is known once the source has been read
        known = SensitiveStore(home=str(home.root)).latest(source_of(contract)).overlaps
    for other in _others(known, contract.privacy.population):
        stands = Ledger(home.ledger_file).spending(other)
        say(
            f"In its newest snapshot are records of population {other}, which is charged too: ε "
            f"{up(stands.epsilon_spent)} of {stands.epsilon_cap:g} is spent there."
        )


def _others(blocks: tuple[str, ...] | list[str], own: str) -> list[str]:
    """The other populations that these blocks are of."""
    return sorted({block.partition("/")[0] for block in blocks} - {own})
