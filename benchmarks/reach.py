"""What each method can hear, by how many units there are: nothing is read and nothing released.

    python -m benchmarks.reach

Takes the shipped contracts of AG News by an adapter, by private evolution and by key phrases, each with all that a
table is made from within the same epsilon, declares one number of units after the other, and prints what
`dpsynth plan` would say of each: from how many units on an adapter learns what they have in common, also with the
batches of a GPU; how many votes a text has beside their noise; from how many records on a word of eight letters comes
out. Parts in brackets are of all units, and of a label's where labels are equally common.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.public_source import public_contract
from dpsynth_assets.contract import Contract
from dpsynth_assets.markdown import table
from dpsynth_assets.privacy.signal import signal_of
from dpsynth_assets.releases.adapter import ADAPTER
from dpsynth_assets.releases.evolution import EVOLUTION
from dpsynth_assets.releases.key_phrases import KEY_PHRASES
from dpsynth_assets.releases.registry import plans
from dpsynth_assets.releases.release import Release
from dpsynth_assets.variants import variant

CONTRACTS = Path(__file__).parents[1] / "contracts"
UNITS = (1_000, 5_000, 22_000, 100_000, 1_000_000)
LARGE, MANY = 2_048, 100  # of the same adapter on a GPU: so many units expected a step, at most an eighth, and steps
HEAD = [
    "units",
    "adapter, as in the contract: learned from as many on",
    f"adapter, {MANY} steps of {LARGE:,}",
    "evolution: votes of a text, their noise",
    "key phrases: a word comes out from as many of a label's on",
]


def declared(name: str, units: int) -> Contract:
    """The shipped contract, about so many units."""
    contract = public_contract(CONTRACTS / f"{name}.odcs.yaml")
    unit = contract.privacy.unit.model_copy(update={"public_count": units})
    return replace(contract, privacy=contract.privacy.model_copy(update={"unit": unit}))


def large(contract: Contract) -> Contract:
    """The contract with large batches, and more of them, in place of its adapter's."""
    terms = contract.privacy
    batch = min(LARGE, terms.unit.public_count // 8)
    adapter = terms.releases[ADAPTER].model_copy(update={"expected_batch_size": batch, "steps": MANY})
    releases = terms.releases.model_copy(update={ADAPTER.name: adapter})
    return replace(contract, privacy=terms.model_copy(update={"releases": releases}))


def figures(contract: Contract, method: str, release: Release[Any]) -> Mapping[str, float]:
    """What the plan of the release lets expect in that variant of the contract."""
    planned = variant(contract, method)
    signal = signal_of(plans(planned)[f"{planned.id}/{release.name}"], planned)
    assert signal is not None, "each of these kinds of plan is known"
    return signal.figures


def line(units: int, epsilon: float) -> list[str]:
    """A line of the table."""
    adapters = declared("ag_news_smollm2", units)
    heard = [
        figures(contract, f"lora-{epsilon:g}", ADAPTER)["fewest_units_that_are_heard"]
        for contract in (adapters, large(adapters))
    ]
    votes = figures(declared("ag_news_evolution", units), f"private_evolution-{epsilon:g}", EVOLUTION)
    phrases = figures(declared("ag_news_phrases", units), f"key_phrases-{epsilon:g}", KEY_PHRASES)
    least = phrases["least_count_of_eight_letters"]
    return [
        f"{units:,}",
        *(f"{each:,.0f} ({each / units:.2%})" for each in heard),
        f"{votes['average_votes']:,.1f}, ±{votes['noise_deviation']:.1f}",
        f"{least:,.0f} ({least / phrases['average_records']:.2%})",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epsilon", type=float, default=3.0, help="one that the contracts have a variant of")
    chosen = parser.parse_args()
    print(table(HEAD, [line(units, chosen.epsilon) for units in UNITS], "r"))


if __name__ == "__main__":
    main()
