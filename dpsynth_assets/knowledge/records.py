"""The records of a domain: short texts by many people, each about one machine and two things that are true of it.

Nobody writes twice. The table has the person, the text, the machine's kind and the split; no fact stands in it but in
the words of a text. Deterministic by seed.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from dpsynth_assets.atomic import replacing
from dpsynth_assets.knowledge.attributes import CLOSERS, OPENERS
from dpsynth_assets.knowledge.domain import Fact, facts

# Raised by hand when words or rules change, so that files of an older generator are written anew.
GENERATOR_VERSION = 1

TEST_SHARE = 0.1  # of the records, beside those to train on
_METADATA_KEY = b"dpsynth.knowledge"
_ALTERNATIVES = re.compile(r"\(([^()]*)\)")
_CALLED = ("the {name}", "my {name}", "our {name}", "the {name} {kind}", "my {name} {kind}")


class NotOursError(ValueError):
    """A file that no records may be written over; the message says which."""


@dataclass(frozen=True)
class Parameters:
    """All that a table depends on; stored in its file. `support`: at least so many people say each fact."""

    seed: int = 7
    support: int = 300
    generator: int = GENERATOR_VERSION


@dataclass(frozen=True)
class Record:
    person: str
    text: str
    kind: str
    split: str
    says: tuple[Fact, Fact]


def records(parameters: Parameters) -> list[Record]:
    """Those to train on and those to test on, in no order."""
    rng = random.Random(f"records {parameters.seed}")
    found = []
    for split, support in (("train", parameters.support), ("test", round(parameters.support * TEST_SHARE))):
        for _, machine in itertools.groupby(facts(parameters.seed), key=lambda fact: fact.kind):
            pairs = list(itertools.permutations(machine, 2))
            says_a_fact = sum(pairs[0][0] in pair for pair in pairs)
            for first, second in pairs * math.ceil(support / says_a_fact):
                found.append(Record("", _text(first, second, rng), first.kind, split, (first, second)))
    rng.shuffle(found)
    return [replace(each, person=f"P{number:06d}") for number, each in enumerate(found, start=1)]


def _text(first: Fact, second: Fact, rng: random.Random) -> str:
    """Two facts, and in half of the texts something before or after that says nothing."""
    called = rng.choice(_CALLED)
    again = rng.choice((called, rng.choice(_CALLED), "it"))
    said = [_sentence(first, called, rng), _sentence(second, again, rng)]
    if rng.random() < 0.25:
        said.insert(0, _chosen(OPENERS, rng))
    if rng.random() < 0.25:
        said.append(_chosen(CLOSERS, rng))
    return " ".join(said)


def _sentence(fact: Fact, called: str, rng: random.Random) -> str:
    it = called.format(name=fact.name, kind=fact.kind)
    text = _chosen(fact.attribute.says, rng).format(it=it, value=fact.value, name=fact.name)
    return text[0].upper() + text[1:]


def _chosen(lines: Sequence[str], rng: random.Random) -> str:
    return _ALTERNATIVES.sub(lambda found: rng.choice(found[1].split("|")), rng.choice(lines))


def write(path: Path, parameters: Parameters) -> None:
    """Write the table to `path`, unless it is there from the same parameters.

    Raises:
        NotOursError: something else lies there.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    stated = json.dumps(asdict(parameters)).encode()
    if path.exists():
        try:
            there = (pq.read_schema(path).metadata or {}).get(_METADATA_KEY)
        except (OSError, pa.ArrowInvalid):
            there = None
        if there is None:
            raise NotOursError(f"{path} is no table of invented records: move it away, its place is wanted for one")
        if there == stated:
            return
    names = ("person", "text", "kind", "split")
    schema = pa.schema(
        [pa.field(name, pa.string(), nullable=False) for name in names], metadata={_METADATA_KEY: stated}
    )
    rows = [{name: getattr(each, name) for name in names} for each in records(parameters)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), file, compression="zstd")
