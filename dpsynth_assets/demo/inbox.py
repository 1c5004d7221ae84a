"""The demo source: the customer inbox of the fictional Fernhollow Bank, as two Parquet files.

`train.parquet` plays the sensitive source. `test.parquet` holds messages of other customers, with a part of the
phrases never used in train; its people are fictional and it is declared public. Deterministic by seed. Stands in for
a real source: nothing else in the platform knows how it was made.
"""

from __future__ import annotations

import datetime as dt
import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dpsynth_assets.atomic import replacing
from dpsynth_assets.demo.composition import Kind, compose
from dpsynth_assets.demo.customers import Customer, make_customers
from dpsynth_assets.demo.grammar import Split
from dpsynth_assets.demo.phrases import TOPICS
from dpsynth_assets.demo.phrases.topic import Topic
from dpsynth_assets.demo.twins import Crowd, tokens

if TYPE_CHECKING:
    import pyarrow as pa

# Raised by hand when the phrases or the rules change, so that files of an older generator are written anew.
GENERATOR_VERSION = 2

TOPIC_SHARES = {
    "payment_failed": 0.22,
    "account_access": 0.19,
    "card_lost": 0.18,
    "fees_complaint": 0.16,
    "fraud_report": 0.14,
    "loan_question": 0.11,
}
SAME_TOPIC_AGAIN = 0.35

# Share of all messages. Some customers send nothing but scams; some are abusive, though not in every message.
SCAM_SHARE = 0.04
ABUSIVE_SHARE = 0.095
ABUSIVE_CUSTOMERS_ARE_CALM = 0.35

# How many messages a customer sends: 1 to 8, most of them 1 to 4.
MESSAGE_COUNTS = {1: 0.34, 2: 0.27, 3: 0.16, 4: 0.10, 5: 0.06, 6: 0.035, 7: 0.02, 8: 0.015}

TEST_SHARE = 0.2  # the test split's size, beside the train split's
SIMILARITY_LIMIT = 0.7
FIRST_DAY = dt.datetime(2025, 1, 6, tzinfo=dt.UTC)
DAYS = 320

_METADATA_KEY = b"dpsynth.demo"
_ATTEMPTS = 200


@dataclass(frozen=True)
class Message:
    """One row of the inbox."""

    message_id: str
    customer_id: str
    sent_at: dt.datetime
    text: str
    topic: str
    safety: str


@dataclass(frozen=True)
class Parameters:
    """All that an inbox depends on; stored in its files."""

    seed: int = 7
    messages: int = 4000
    customers: int = 1600
    generator: int = GENERATOR_VERSION

    def __post_init__(self) -> None:
        if not 1 <= self.customers <= self.messages <= max(MESSAGE_COUNTS) * self.customers:
            raise ValueError(
                f"{self.messages} messages by {self.customers} customers cannot be made: every customer sends 1 to "
                f"{max(MESSAGE_COUNTS)}; choose at least {-(-self.messages // max(MESSAGE_COUNTS))} and at most "
                f"{self.messages} customers"
            )

    @property
    def test(self) -> Parameters:
        """The size of the test split."""
        customers = max(1, round(self.customers * TEST_SHARE))
        return replace(self, customers=customers, messages=max(customers, round(self.messages * TEST_SHARE)))


def write_inbox(folder: Path, seed: int = 7, messages: int = 4000, customers: int = 1600) -> None:
    """Write `train.parquet` and `test.parquet` to `folder`, unless they are there from the same parameters."""
    import pyarrow.parquet as pq

    parameters = Parameters(seed=seed, messages=messages, customers=customers)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {"train": folder / "train.parquet", "test": folder / "test.parquet"}
    if all(_written_with(path) == parameters for path in paths.values()):
        return
    for split, rows in generate(parameters).items():
        with replacing(paths[split], mode=0o600) as file:
            pq.write_table(_table(rows, parameters), file, compression="zstd")


def generate(parameters: Parameters) -> dict[Split, list[Message]]:
    """Both splits, with no two messages in them alike beyond `SIMILARITY_LIMIT`."""
    train, test = _people(parameters)
    crowd = Crowd(SIMILARITY_LIMIT, _word_frequency(train))
    return {
        "train": _messages(train, parameters.messages, "train", parameters.seed, crowd),
        "test": _messages(test, parameters.test.messages, "test", parameters.seed, crowd),
    }


def _people(parameters: Parameters) -> tuple[list[Customer], list[Customer]]:
    people = make_customers(parameters.customers + parameters.test.customers, parameters.seed)
    return people[: parameters.customers], people[parameters.customers :]


def _messages(people: list[Customer], count: int, split: Split, seed: int, crowd: Crowd) -> list[Message]:
    rng = random.Random(f"{seed}/{split}")
    counts = _message_counts(len(people), count, rng)
    left = {topic: share * count for topic, share in TOPIC_SHARES.items()}
    rows = []
    for person, sends, kinds in zip(people, counts, _kinds(counts, rng), strict=True):
        earlier: set[str] = set()
        for sent_at, topic, kind in zip(_dates(sends, rng), _topics(sends, left, rng), kinds, strict=True):
            text = _fresh_text(person, topic, kind, topic.name in earlier, split, rng, crowd)
            earlier.add(topic.name)
            safety = "safe" if kind == "safe" else "unsafe"
            rows.append(Message("", person.customer_id, sent_at, text, topic.name, safety))
    rows.sort(key=lambda row: (row.sent_at, row.customer_id))
    prefix = "M" if split == "train" else "T"
    return [replace(row, message_id=f"{prefix}{number:06d}") for number, row in enumerate(rows, start=1)]


def _fresh_text(
    person: Customer, topic: Topic, kind: Kind, follow_up: bool, split: Split, rng: random.Random, crowd: Crowd
) -> str:
    for _ in range(_ATTEMPTS):
        text = compose(person, topic, kind, follow_up=follow_up, split=split, rng=rng)
        if text is not None and not crowd.nearest(words := tokens(text)):
            crowd.add(words)
            return text
    raise ValueError("the demo's phrases do not suffice for so many messages that are no twins; ask for fewer messages")


def _message_counts(customers: int, messages: int, rng: random.Random) -> list[int]:
    """A skewed count for every customer, adjusted here and there so that the sum is `messages`."""
    most = max(MESSAGE_COUNTS)
    counts = rng.choices(tuple(MESSAGE_COUNTS), tuple(MESSAGE_COUNTS.values()), k=customers)
    while (missing := messages - sum(counts)) != 0:
        step = 1 if missing > 0 else -1
        can_change = [place for place, count in enumerate(counts) if 1 <= count + step <= most]
        for place in rng.sample(can_change, k=min(abs(missing), len(can_change))):
            counts[place] += step
    return counts


def _topics(count: int, left: dict[str, float], rng: random.Random) -> Iterator[Topic]:
    """A customer's topics: the next message is often about the same thing. `left` is what is still to be given out."""
    topic = None
    for _ in range(count):
        if topic is None or rng.random() > SAME_TOPIC_AGAIN:
            topic = rng.choices(TOPICS, [max(left[topic.name], 0.01) for topic in TOPICS])[0]
        left[topic.name] -= 1
        yield topic


def _dates(count: int, rng: random.Random) -> list[dt.datetime]:
    """Times in the course of a year, mostly by day, in order."""
    moments = []
    day = rng.random() * DAYS
    for _ in range(count):
        seconds = int(rng.triangular(6, 24, 14) * 3600) + rng.randrange(60)
        moments.append(FIRST_DAY + dt.timedelta(days=int(day), seconds=min(seconds, 86_399)))
        day += 1 + rng.expovariate(1 / 12)
    return moments


def _kinds(counts: list[int], rng: random.Random) -> list[list[Kind]]:
    """What every customer's messages are, in shares that are the same for every seed."""
    scams, abuse = round(SCAM_SHARE * sum(counts)), round(ABUSIVE_SHARE * sum(counts))
    kinds: list[list[Kind]] = [["safe"] * count for count in counts]
    for place in rng.sample(range(len(counts)), k=len(counts)):
        if scams > 0:
            kinds[place] = ["scam"] * counts[place]
            scams -= counts[place]
        elif abuse > 0:
            kinds[place] = ["safe" if rng.random() < ABUSIVE_CUSTOMERS_ARE_CALM else "abusive" for _ in kinds[place]]
            abuse -= kinds[place].count("abusive")
    return kinds


def _word_frequency(people: list[Customer]) -> Counter[str]:
    """How often words occur in some messages that nobody sends: a fixed order for the search for twins."""
    rng = random.Random("word frequency")
    trials = (
        compose(person, rng.choice(TOPICS), "safe", follow_up=False, split="train", rng=rng) for person in people[:500]
    )
    return Counter(word for trial in trials if trial is not None for word in tokens(trial))


def _table(rows: list[Message], parameters: Parameters) -> pa.Table:
    import pyarrow as pa

    text = pa.field("text", pa.string(), nullable=False)
    schema = pa.schema(
        [
            pa.field("message_id", pa.string(), nullable=False),
            pa.field("customer_id", pa.string(), nullable=False),
            pa.field("sent_at", pa.timestamp("ms", tz="UTC"), nullable=False),
            text,
            text.with_name("topic"),
            text.with_name("safety"),
        ],
        metadata={_METADATA_KEY: json.dumps(asdict(parameters)).encode()},
    )
    return pa.Table.from_pylist([asdict(row) for row in rows], schema=schema)


def _written_with(path: Path) -> Parameters | None:
    """The parameters of a file that this generator wrote; None for anything else."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        return None
    try:
        stored = (pq.read_schema(path).metadata or {}).get(_METADATA_KEY)
    except pa.ArrowInvalid:  # not a Parquet file
        return None
    parameters = json.loads(stored) if stored else {}
    return Parameters(**parameters) if parameters.get("generator") == GENERATOR_VERSION else None
