"""Drawn texts become a corpus: what each step keeps, and what it must not touch."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dpsynth_assets.contract.synthesis import Curation
from dpsynth_assets.synthesis.curation import curate
from dpsynth_assets.synthesis.errors import CurationError
from dpsynth_assets.synthesis.votes import Ballot, Votes

CELLS = (("card",), ("loan",))


class ByWords:
    """A labeller that goes by the word, and is as sure as the text has exclamation marks."""

    kind, classes, facts = "words", ("card", "loan"), {}

    def predict_proba(self, texts):
        sure = [0.5 + 0.1 * min(4, text.count("!")) + 0.05 for text in texts]
        return np.array([[s, 1 - s] if "card" in t else [1 - s, s] for s, t in zip(sure, texts, strict=True)])


class Lengths:
    """Texts of one first letter point the same way."""

    def encode(self, texts, progress=None):
        angles = np.array([ord(text[0]) / 10 for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


@pytest.fixture
def curating(contract):
    def run(rows, wanted=(10, 10), votes=None, **terms):
        changed = replace(contract, privacy=contract.privacy.model_copy(update={"curation": Curation(**terms)}))
        frame = pd.DataFrame(rows, columns=["text", "topic"])
        before = frame.copy()
        asked = dict(zip(CELLS, wanted, strict=True))
        made = curate(changed, frame, asked, labeller=ByWords(), encoder=Lengths(), votes=votes)
        pd.testing.assert_frame_equal(frame, before)
        return made

    return run


@pytest.fixture
def curated(curating):
    def run(*rows, **terms):
        made = curating(*rows, **terms)
        return list(made.frame.itertuples(index=False, name=None)), made.facts

    return run


ROWS = [("a card!!", "card"), ("b loan", "card"), ("c loan!!!", "loan"), ("d card", "loan"), ("e card", "card")]


def test_as_asked_nothing_is_changed(curated):
    assert curated(ROWS) == (ROWS, {"drawn": 5, "rows": 5})


def test_only_rows_of_which_the_labeller_says_the_same(curated):
    rows, facts = curated(ROWS, labels="agreed")
    assert rows == [ROWS[0], ROWS[2], ROWS[4]]
    assert facts["labeller_agrees"] == 3 / 5


def test_labels_are_the_labeller_s_and_counts_are_of_those(curated):
    rows, _ = curated(ROWS, labels="relabelled")
    assert rows == [(text, "card" if "card" in text else "loan") for text, _ in ROWS]
    rows, _ = curated(ROWS, wanted=(1, 10), labels="relabelled")
    assert [text for text, _ in rows] == ["a card!!", "b loan", "c loan!!!"], "a card is a card, whatever was asked for"


def test_what_the_labeller_is_not_sure_of_is_left_out(curated):
    rows, _ = curated(ROWS, confidence=0.7)
    assert rows == [ROWS[0], ROWS[2]]


def test_of_texts_that_are_alike_the_first_is_kept(curated):
    rows = [("a card", "card"), ("a card again", "loan"), ("b loan", "loan"), ("z loan", "loan")]
    kept, facts = curated(rows, near_duplicates=0.999)
    assert kept == [rows[0], rows[2], rows[3]]
    assert facts["left_by_distinctness"] == 3
    assert curated(rows, near_duplicates=0.9)[0] == [rows[0], rows[3]]


def test_no_label_gets_more_rows_than_wanted_and_the_first_are_taken(curated):
    rows = [(f"{i} card", "card") for i in range(9)] + [(f"{i} loan", "loan") for i in range(9)]
    kept, _ = curated(rows, wanted=(2, 3), drawn=3)
    assert kept == rows[:2] + rows[9:12]


def test_a_corpus_that_lacks_rows_says_of_which_label_and_what_to_do(curating):
    full, short = (curating(ROWS, wanted=(3, loans), labels="relabelled") for loans in (2, 9))
    assert full.complaint is None
    assert short.complaint.startswith("5 of 12 rows: the drawn texts hold too few that are 'topic: loan'.")
    assert "curation.drawn" in short.complaint


def test_a_label_of_which_nothing_is_left_is_an_error(curated):
    with pytest.raises(CurationError, match="no text is left that is 'topic: card'"):
        curated(ROWS, labels="agreed", confidence=0.9)
    assert len(curated(ROWS[:1], wanted=(1, 0), labels="agreed")[0]) == 1


def test_a_labeller_of_another_label_judges_nothing(curated, monkeypatch):
    monkeypatch.setattr(ByWords, "classes", ("safe", "unsafe"))
    with pytest.raises(CurationError, match="does not predict `topic`"):
        curated(ROWS, labels="relabelled")


def votes(clusters, counts, scale=0.5):
    """Votes made by hand: the cluster of each drawn text, and counts for each label and cluster."""
    number = max(clusters) + 1
    ballot = Ballot(np.zeros((number, 2), dtype=np.float32), np.array(clusters))
    named = {(label, str(cluster)): n for (label, cluster), n in counts.items()}
    return Votes(named, scale, ballot, "d" * 64)


DRAWN = [(f"{i} {'card' if i % 2 == 0 else 'loan'}", "card" if i % 2 == 0 else "loan") for i in range(24)]
BY_FOUR = [i // 2 % 4 for i in range(24)]  # three cards and three loans in each of four clusters


def places(rows):
    return [int(text.split()[0]) for text, _ in rows]


def test_each_label_s_rows_go_to_its_clusters_by_votes(curated):
    said = votes(BY_FOUR, {("card", 0): 20, ("card", 1): 10, ("loan", 3): 30})
    kept, facts = curated(DRAWN, wanted=(3, 2), votes=said, proportions="votes", drawn=4)
    assert places(kept) == [0, 2, 7, 8, 15], "the first texts of each label and cluster, in their order"
    assert (facts["rows"], facts["without_votes"]) == (5, 0)


def test_what_a_cluster_lacks_the_others_give_and_no_text_comes_twice(curated):
    said = votes(BY_FOUR, {("card", 0): 80, ("card", 1): 10, ("card", 2): 10, ("loan", 3): 30})
    kept, facts = curated(DRAWN, wanted=(7, 5), votes=said, proportions="votes", drawn=2)
    assert len(set(places(kept))) == 12
    taken = [(label, BY_FOUR[place]) for place, (_, label) in zip(places(kept), kept, strict=True)]
    assert [taken.count(("card", cluster)) for cluster in range(4)] == [3, 2, 2, 0], "of the first there are three only"
    assert taken.count(("loan", 3)) == 3
    assert facts["without_votes"] == 2, "loans of clusters that nobody voted for, since three are all there are"


def test_counts_within_the_noise_choose_nothing(curated):
    said = votes(BY_FOUR, {("card", 0): 10, ("card", 1): 9, ("loan", 0): 30}, scale=3.5)  # 2 sd: 9.9
    kept, _ = curated(DRAWN, wanted=(3, 1), votes=said, proportions="votes", drawn=2)
    assert places(kept) == [0, 1, 8, 16]


def test_votes_choose_after_the_labeller_and_by_its_labels(curated):
    """Every second text is asked for under the wrong label; the labeller puts that right before votes are counted."""
    swapped = [(text, "loan" if label == "card" else "card") for text, label in DRAWN]
    said = votes(BY_FOUR, {("card", 2): 20, ("loan", 1): 20})
    kept, facts = curated(swapped, wanted=(2, 2), votes=said, proportions="votes", labels="relabelled", drawn=4)
    assert kept == [DRAWN[3], DRAWN[4], DRAWN[11], DRAWN[12]]
    assert facts["without_votes"] == 0
    sure = [(text + "!!!" * (place >= 8), label) for place, (text, label) in enumerate(DRAWN)]
    kept, _ = curated(sure, wanted=(2, 2), votes=said, proportions="votes", confidence=0.8, drawn=4)
    assert places(kept) == [11, 12, 19, 20], "clusters stay with their texts when others are left out"
