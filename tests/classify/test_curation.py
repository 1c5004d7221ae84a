"""Drawn texts become a corpus: what each step keeps, and what it must not touch."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dpsynth_assets.classify.curation import CurationError, curate
from dpsynth_assets.contract.synthesis import Curation

CELLS = (("card",), ("loan",))


class ByWords:
    """A labeller that goes by the word, and is as sure as the text has exclamation marks."""

    kind, classes, facts = "words", ("card", "loan"), {}

    def predict_proba(self, texts):
        sure = [0.5 + 0.1 * min(4, text.count("!")) + 0.05 for text in texts]
        return np.array([[s, 1 - s] if "card" in t else [1 - s, s] for s, t in zip(sure, texts, strict=True)])


class Lengths:
    """Texts of one first letter point the same way."""

    def encode(self, texts, batch_size=32, progress=None):
        angles = np.array([ord(text[0]) / 10 for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


@pytest.fixture
def curated(contract):
    def run(rows, wanted=(10, 10), **terms):
        changed = replace(contract, privacy=contract.privacy.model_copy(update={"curation": Curation(**terms)}))
        frame = pd.DataFrame(rows, columns=["text", "topic"])
        before = frame.copy()
        made = curate(changed, frame, dict(zip(CELLS, wanted, strict=True)), labeller=ByWords(), encoder=Lengths())
        pd.testing.assert_frame_equal(frame, before)
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


def test_a_label_of_which_nothing_is_left_is_an_error(curated):
    with pytest.raises(CurationError, match="no text is left that is 'topic: card'"):
        curated(ROWS, labels="agreed", confidence=0.9)
    assert len(curated(ROWS[:1], wanted=(1, 0), labels="agreed")[0]) == 1


def test_a_labeller_of_another_label_judges_nothing(curated, monkeypatch):
    monkeypatch.setattr(ByWords, "classes", ("safe", "unsafe"))
    with pytest.raises(CurationError, match="does not predict `topic`"):
        curated(ROWS, labels="relabelled")
