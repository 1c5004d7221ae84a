"""The demo source keeps its promises: size, no twins, disjoint splits, planted details, the same again by seed."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dpsynth_assets.demo import inbox
from dpsynth_assets.demo.customers import luhn_valid, make_customers
from dpsynth_assets.demo.inbox import Message, Parameters, generate, write_inbox
from dpsynth_assets.demo.twins import similarity, tokens

SMALL = Parameters(messages=200, customers=80)


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Message]]:
    return dict(generate(Parameters()))


@pytest.fixture(scope="module")
def everybody(splits: dict[str, list[Message]]) -> list[Message]:
    return [*splits["train"], *splits["test"]]


def test_sizes(splits: dict[str, list[Message]]) -> None:
    assert len(splits["train"]) == 4000
    assert len(splits["test"]) == 800
    assert len({row.customer_id for row in splits["train"]}) == 1600
    assert len({row.customer_id for row in splits["test"]}) == 320


def test_a_customer_sends_one_to_eight_messages_and_most_send_few(splits: dict[str, list[Message]]) -> None:
    sends = Counter(row.customer_id for row in splits["train"]).values()
    assert min(sends) == 1
    assert max(sends) == 8
    assert sum(count <= 4 for count in sends) > 0.8 * len(sends)


def test_labels_are_in_their_domain_and_in_proportion(splits: dict[str, list[Message]]) -> None:
    for rows in splits.values():
        topics = Counter(row.topic for row in rows)
        assert set(topics) == set(inbox.TOPIC_SHARES)
        assert max(topics.values()) < 0.23 * len(rows)
        assert min(topics.values()) > 0.10 * len(rows)
        safety = Counter(row.safety for row in rows)
        assert set(safety) == {"safe", "unsafe"}
        assert 0.12 < safety["unsafe"] / len(rows) < 0.15


def test_every_topic_has_safe_and_unsafe_messages(splits: dict[str, list[Message]]) -> None:
    for rows in splits.values():
        assert min(Counter((row.topic, row.safety) for row in rows).values()) >= 5
        assert len({(row.topic, row.safety) for row in rows}) == 12


def test_messages_are_short(everybody: list[Message]) -> None:
    lengths = sorted(len(row.text.split()) for row in everybody)
    assert lengths[0] >= 8
    assert lengths[-1] <= 40
    assert 15 <= lengths[len(lengths) // 2] <= 25


def test_no_two_messages_are_twins(everybody: list[Message]) -> None:
    """By brute force over all pairs, with numpy and not the search that the generator itself relies on."""
    import numpy as np

    sets = [tokens(row.text) for row in everybody]
    assert len(set(sets)) == len(sets), "two messages have the same words once names, digits and case are gone"
    place = {word: number for number, word in enumerate(sorted(frozenset().union(*sets)))}
    present = np.zeros((len(sets), len(place)), dtype=np.float32)
    for number, words in enumerate(sets):
        present[number, [place[word] for word in words]] = 1
    sizes = present.sum(axis=1)
    nearest = np.zeros(len(sets), dtype=np.float32)
    for start in range(0, len(sets), 600):
        shared = present[start : start + 600] @ present.T
        jaccard = shared / (sizes[start : start + 600, None] + sizes[None, :] - shared)
        jaccard[np.arange(len(jaccard)), np.arange(start, start + len(jaccard))] = 0
        nearest[start : start + 600] = jaccard.max(axis=1)
    assert nearest.max() < inbox.SIMILARITY_LIMIT
    assert np.quantile(nearest, 0.5) < 0.55


def test_similarity_ignores_names_digits_and_case() -> None:
    one = tokens("My card 4123 is lost, Ada Keller, ada.keller12@example.com")
    other = tokens("my CARD 9876 is lost, Zoe Wren, z_wren77@example.org")
    assert similarity(one, other) == 1.0


def test_the_splits_share_no_customer_no_message_and_no_planted_detail(splits: dict[str, list[Message]]) -> None:
    train, test = splits["train"], splits["test"]
    assert not {row.customer_id for row in train} & {row.customer_id for row in test}
    assert len({row.message_id for row in (*train, *test)}) == 4800
    written = "\n".join(row.text for row in test).lower()
    people = make_customers(1600, seed=7)
    assert not [person.name for person in people if person.email in written or person.account in written]


def test_the_test_split_says_things_that_train_never_says(splits: dict[str, list[Message]]) -> None:
    from dpsynth_assets.demo.grammar import split_phrases
    from dpsynth_assets.demo.phrases import TOPICS

    plain = [phrase for topic in TOPICS for phrase in split_phrases(topic.hints)[1] if not set("({|") & set(phrase)]
    assert plain
    train, test = ("\n".join(row.text for row in splits[split]) for split in ("train", "test"))
    assert not [phrase for phrase in plain if phrase in train]
    assert [phrase for phrase in plain if phrase in test]


def test_details_are_of_kinds_that_belong_to_nobody() -> None:
    people = make_customers(2000, seed=3)
    assert not [person.card for person in people if luhn_valid(person.card)]
    assert all(" 555-01" in person.phone for person in people)
    assert all(person.email.endswith(("@example.com", "@example.org")) for person in people)
    assert len({person.name for person in people}) == 2000
    assert luhn_valid("4242 4242 4242 4242")


def test_the_same_seed_gives_the_same_inbox_and_another_seed_another() -> None:
    assert generate(SMALL) == generate(SMALL)
    again = generate(Parameters(seed=8, messages=200, customers=80))
    assert {row.text for row in again["train"]}.isdisjoint({row.text for row in generate(SMALL)["train"]})


def test_impossible_sizes_are_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match="choose at least 25 and at most 200 customers"):
        Parameters(messages=200, customers=10)


def test_files_are_written_once_and_details_are_found_in_them(tmp_path: Path) -> None:
    write_inbox(tmp_path, messages=200, customers=80)
    train = pq.read_table(tmp_path / "train.parquet")
    assert train.column_names == ["message_id", "customer_id", "sent_at", "text", "topic", "safety"]
    assert train.num_rows == 200
    assert pq.read_table(tmp_path / "test.parquet").num_rows == 40
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test.parquet", "train.parquet"]

    written = (tmp_path / "train.parquet").stat().st_mtime_ns
    write_inbox(tmp_path, messages=200, customers=80)
    assert (tmp_path / "train.parquet").stat().st_mtime_ns == written

    texts = "\n".join(train["text"].to_pylist()).lower()
    people = make_customers(80 + 16, SMALL.seed)
    for kind in ("name", "email", "phone", "card", "account", "address"):
        assert any(person.details[kind].lower() in texts for person in people), f"no {kind} planted"

    write_inbox(tmp_path, messages=160, customers=80)
    assert pq.read_table(tmp_path / "train.parquet").num_rows == 160


def test_changed_phrases_or_rules_need_a_new_generator_version() -> None:
    """If this fails because the messages were meant to change: raise GENERATOR_VERSION and renew the digest."""
    texts = "\n".join(row.text for rows in generate(SMALL).values() for row in rows)
    assert (inbox.GENERATOR_VERSION, hashlib.sha256(texts.encode()).hexdigest()[:16]) == (2, "a1c30652f32b0f13")
