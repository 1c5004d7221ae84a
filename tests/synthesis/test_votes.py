"""Votes: the mechanism's sensitivity and noise, what a vote may depend on, and what it says of which candidates."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dpsynth_assets.classify.apart import apart
from dpsynth_assets.classify.encoder import MiniLM
from dpsynth_assets.privacy.histogram import HistogramPlan
from dpsynth_assets.releases.label_histogram import LABEL_HISTOGRAM
from dpsynth_assets.releases.votes import VOTES, VotesTerms
from dpsynth_assets.synthesis.errors import VotesError
from dpsynth_assets.synthesis.votes import Ballot, Votes, nearest

LABELS = (("card",), ("loan",))
WORDS = ("ant", "bee", "cow", "dog", "elk")


class ByFirstLetter:
    """Vectors on a circle by the first letter."""

    def encode(self, texts, progress=None):
        angles = np.array([ord(text[0]) / 4 for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


@pytest.fixture
def voting(contract):
    """The small contract with votes; a unit has two records at most."""
    votes = VotesTerms(mechanism="discrete_laplace_histogram", epsilon=0.5, clusters=3)
    releases = contract.privacy.releases.model_copy(update={"votes": votes})
    return replace(contract, privacy=contract.privacy.model_copy(update={"releases": releases}))


@pytest.fixture(scope="module")
def ballot():
    return Ballot.of([f"{word} {i}" for word in WORDS for i in range(4)], 3, seed=0, encoder=ByFirstLetter())


def test_the_cells_are_a_closed_public_set(voting, ballot):
    plan = VOTES.plan(voting, 1.0)
    assert plan.cells == tuple((*label, str(cluster)) for label in LABELS for cluster in range(3))
    assert Fraction(plan.scale) * Fraction(0.5) >= plan.max_records == 2
    assert (plan.event().scale, plan.event().sensitivity) == (plan.scale, 2)
    assert plan.digest() != LABEL_HISTOGRAM.plan(voting, 1.0).digest()
    cast = ballot.cast([*LABELS, *LABELS], ["ant", "bee", "cow", "dog"], ByFirstLetter())
    assert set(cast) <= set(plan.cells)


record = st.tuples(st.sampled_from(LABELS), st.sampled_from(WORDS))


@given(st.dictionaries(st.sampled_from("uvwxyz"), st.lists(record, min_size=1, max_size=2), min_size=1), st.data())
def test_removing_a_unit_changes_the_counts_by_its_records_exactly(ballot, people, data):
    """Before noise: the l1 distance of neighbours is the number of the unit's records, never above max_records."""
    plan = HistogramPlan(
        tuple((*label, str(c)) for label in LABELS for c in range(3)), 2, 4.0, 0.5, "customer", "add_or_remove_one_unit"
    )

    def counts(units):
        rows = [(unit, *row) for unit in units for row in people[unit]]
        cells = ballot.cast([label for _, label, _ in rows], [text for *_, text in rows], ByFirstLetter())
        return plan.exact(cells, [unit for unit, *_ in rows])

    gone = data.draw(st.sampled_from(sorted(people)))
    whole, without = counts(sorted(people)), counts(sorted(set(people) - {gone}))
    assert sum(abs(whole[cell] - without[cell]) for cell in plan.cells) == len(people[gone]) <= plan.max_records
    assert all(whole[cell] >= without[cell] for cell in plan.cells)


def test_a_unit_with_too_many_records_is_refused(voting, ballot):
    cells = ballot.cast([LABELS[0]] * 3, ["ant"] * 3, ByFirstLetter())
    with pytest.raises(ValueError, match=r"a unit has more than max_records \(2\) records"):
        VOTES.plan(voting, 1.0).release(cells, ["a", "a", "a"])


def test_the_noise_is_the_mechanism_s(voting):
    """Released less exact, of a cell with so many votes that nothing is cut off at zero."""
    plan = VOTES.plan(voting, 1.0)
    voted = plan.cells[0]
    cells, units = [voted] * 200, [str(i // 2) for i in range(200)]
    draws = 4_000
    noise = Counter(plan.release(cells, units)[voted] - plan.exact(cells, units)[voted] for _ in range(draws))
    law = stats.dlaplace(1 / plan.scale)
    reach = int(law.ppf(1 - 20 / draws))
    observed = [noise[x] for x in range(-reach, reach + 1)]
    expected = [float(law.pmf(x)) * draws for x in range(-reach, reach + 1)]
    observed.append(draws - sum(observed))
    expected.append(draws - sum(expected))
    assert stats.chisquare(observed, expected).pvalue > 1e-6


@pytest.mark.slow
def test_with_the_real_encoder_a_vote_is_the_same_whoever_else_votes():
    encoder = apart(MiniLM(max_tokens=32))
    texts = ["my card was stolen", "I would like a loan to buy a house by the sea, please", "no", "card " * 40]
    made = Ballot.of([f"{text} {i}" for text in texts for i in range(3)], 3, 0, encoder)
    alone = [made.cast([LABELS[0]], [text], encoder)[0] for text in texts]
    assert made.cast([LABELS[0]] * 4, texts, encoder) == alone
    assert made.cast([LABELS[0]] * 4, texts[::-1], encoder) == alone[::-1]


def test_a_ballot_is_a_function_of_texts_and_seed(ballot):
    again = Ballot.of([f"{word} {i}" for word in WORDS for i in range(4)], 3, seed=0, encoder=ByFirstLetter())
    assert np.array_equal(again.centres, ballot.centres)
    assert np.array_equal(again.clusters, ballot.clusters)
    vectors = ByFirstLetter().encode([f"{word} {i}" for word in WORDS for i in range(4)])
    assert [nearest(vector, ballot.centres) for vector in vectors] == ballot.clusters.tolist()
    assert len(set(ballot.clusters.tolist())) == 3


def test_fewer_texts_than_clusters_are_an_error():
    with pytest.raises(VotesError, match="2 distinct candidates cannot be divided into 3 clusters"):
        Ballot.of(["ant", "bee", "ant"], 3, 0, ByFirstLetter())


def held(ballot, counts, scale=2.0, candidates="d" * 64):
    return Votes(counts, scale, ballot, candidates)


def test_counts_within_the_noise_are_none(ballot):
    """Two standard deviations of scale 2 are 5.66."""
    votes = held(ballot, {("card", "0"): 6, ("card", "1"): 5, ("loan", "2"): 100})
    assert votes.of_label(("card",)) == {0: 6, 1: 0, 2: 0}
    assert votes.of_label(("loan",)) == {0: 0, 1: 0, 2: 100}


def test_stored_votes_are_read_back_and_name_their_candidates(ballot, tmp_path):
    votes = held(ballot, {(*label, str(c)): 10 * c for label in LABELS for c in range(3)})
    votes.save(tmp_path)
    again = Votes.load(tmp_path)
    assert (again.counts, again.scale, again.candidates) == (votes.counts, votes.scale, votes.candidates)
    assert np.array_equal(again.ballot.centres, ballot.centres)
    assert np.array_equal(again.ballot.clusters, ballot.clusters)
    again.require_of("d" * 64, 3)
    with pytest.raises(VotesError, match="held on other candidates"):
        again.require_of("e" * 64, 3)
    with pytest.raises(VotesError, match="for 3 clusters, the contract says 4"):
        again.require_of("d" * 64, 4)
