"""A text's vector, its vote and its part of a DP-trained head are its own, to the bit, whoever else is there.

Everything between the rows that a mechanism was granted and the sum or the counts that noise is added to. Texts are of
any length; somebody joins, leaves or writes something else; the order is any.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dpsynth_assets.classify.apart import apart
from dpsynth_assets.classify.encoder import MiniLM
from dpsynth_assets.synthesis.votes import Ballot

pytestmark = pytest.mark.slow

WORDS = ("card", "loan", "river", "under", "seven", "paper", "unbelievable", "é", "🙂", "\ud800")
LABEL = ("card",)

some_text = st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join)
crowd = st.lists(some_text, min_size=1, max_size=12)
few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def encoder():
    return apart(MiniLM(max_tokens=64))


def same(some, others):
    """Equal to the bit: a zero is not minus zero, and one that is no number is itself."""
    return np.asarray(some).tobytes() == np.asarray(others).tobytes()


@few
@given(crowd, some_text, st.integers(0, 12))
def test_a_text_more_changes_no_other_vector(encoder, texts, joins, place):
    place = min(place, len(texts))
    alone = encoder.encode(texts)
    together = encoder.encode([*texts[:place], joins, *texts[place:]])
    assert same(alone, np.delete(together, place, axis=0))


@few
@given(crowd, some_text, some_text)
def test_a_text_that_is_changed_changes_no_other_vector(encoder, texts, before, after):
    assert same(encoder.encode([*texts, before])[:-1], encoder.encode([*texts, after])[:-1])
    assert same(encoder.encode([before, *texts])[1:], encoder.encode([after, *texts])[1:])


@few
@given(crowd, st.randoms(use_true_random=False))
def test_the_order_changes_no_vector(encoder, texts, chance):
    order = list(range(len(texts)))
    chance.shuffle(order)
    assert same(encoder.encode(texts)[order], encoder.encode([texts[place] for place in order]))


@pytest.mark.parametrize("length", [1, 2, 17, 60])
@pytest.mark.parametrize("joins", ["", "card " * 60, "river"])
def test_a_crowd_of_texts_of_one_length_does_not_notice_another(encoder, length, joins):
    """Without padding there is no mask, and with it there is: a padded batch would take another way for all."""
    texts = [" ".join(WORDS[(place + row) % 6] for place in range(length)) for row in range(33)]
    assert same(encoder.encode(texts), encoder.encode([joins, *texts])[1:])
    assert len({vector.tobytes() for vector in encoder.encode(["card loan"] * 33)}) == 1


@few
@given(crowd, some_text)
def test_who_votes_moves_no_other_vote(encoder, texts, joins):
    """The record's own border case: two clusters whose centres are its vector and the next number to it."""
    vectors = encoder.encode(texts)
    centres = np.concatenate([vectors, np.nextafter(vectors, np.float32(2))])
    ballot = Ballot(centres, np.zeros(len(texts), dtype=np.int64))
    without = ballot.cast([LABEL] * len(texts), texts, encoder)
    with_one = ballot.cast([LABEL] * (len(texts) + 1), [joins, *texts], encoder)
    assert with_one[1:] == without
    assert sum((Counter(with_one) - Counter(without)).values()) == 1


@pytest.mark.slow
def test_a_hundred_texts_do_not_notice_one_more(encoder):
    generator = np.random.default_rng(0)
    texts = [" ".join(generator.choice(WORDS[:8], size)) for size in generator.integers(0, 60, 100)]
    alone = encoder.encode(texts)
    for joins in ("", "card " * 60):
        assert same(alone, encoder.encode([joins, *texts])[1:])
