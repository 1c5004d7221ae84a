"""Training, exporting and choosing students: made-up rows, real students."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dpsynth_assets.classify.encoder import MiniLM, Remembered
from dpsynth_assets.classify.errors import ClassifierError
from dpsynth_assets.classify.training_rows import labelled
from dpsynth_assets.safety import export
from dpsynth_assets.safety.rows import prepare
from dpsynth_assets.safety.screening import Screener
from dpsynth_assets.safety.students import build, settle
from dpsynth_assets.safety.threshold import Targets

pytestmark = pytest.mark.slow

WORDS = ("card", "loan", "app", "transfer", "branch", "fee", "manager", "password", "letter", "advice")
TARGETS = Targets(precision=0.8, recall=0.8, confidence=0.8)


@pytest.fixture(scope="module")
def rows():
    safe = [f"please help me with my {a} and the {b}, thank you" for a in WORDS for b in WORDS]
    unsafe = [f"you {a} idiots, I will burn your {b} down" for a in WORDS for b in WORDS]
    return prepare(labelled([*safe, *unsafe], ["fine"] * 100 + ["bad"] * 100, "bad"), seed=0)


def test_every_student_is_exported_as_it_was_trained_and_the_folder_says_so(rows, tmp_path):
    encoder = Remembered(MiniLM())
    about = {"guarantee": {"epsilon": 3.0}}
    made = build(
        ["minilm", "word_cnn"], rows, TARGETS, tmp_path, seed=0, max_bytes=25_000_000, about=about, encoder=encoder
    )
    assert {student.name for student in made.exported} == {"minilm", "word_cnn"}
    assert made.chosen.ranking == max(student.ranking for student in made.exported)
    for student in made.exported:
        screener = Screener(tmp_path / student.name)
        assert screener.manifest["guarantee"] == {"epsilon": 3.0}
        assert screener.manifest["parity"]["agreement"] >= export.AGREEMENT
        assert student.bytes == screener.manifest["bytes"] <= 25_000_000
        assert screener.screen("you app idiots, I will burn your card down").outcome == "block"
        assert screener.screen("please help me with my app and the card, thank you").outcome == "allow"


def test_a_student_over_budget_is_left_out_and_named(rows, tmp_path):
    encoder = Remembered(MiniLM())
    made = build(
        ["minilm", "word_cnn"], rows, TARGETS, tmp_path, seed=0, max_bytes=5_000_000, about={}, encoder=encoder
    )
    assert [student.name for student in made.exported] == ["word_cnn"]
    assert list(made.too_large) == ["minilm"]
    assert not (tmp_path / "minilm").exists()
    with pytest.raises(ClassifierError, match=r"no student fits into 1 MB \(word_cnn 4\.\d MB\)"):
        build(["word_cnn"], rows, TARGETS, tmp_path, seed=0, max_bytes=1_000_000, about={})


def test_an_export_that_is_not_what_was_trained_fails(rows, tmp_path, monkeypatch):
    real = export.log_odds
    monkeypatch.setattr(export, "log_odds", lambda classifier, texts: -real(classifier, texts))
    with pytest.raises(ClassifierError, match="was not exported"):
        build(["word_cnn"], rows, TARGETS, tmp_path, seed=0, max_bytes=5_000_000, about={})


def test_thresholds_are_certified_on_rows_that_calibrated_nothing(rows):
    asked = []

    def score(texts):
        asked.append(list(texts))
        return np.array([float("idiots" in text) for text in texts])

    settled = settle(score, rows, TARGETS)
    assert asked == [rows.calibration.texts, rows.certification.texts]
    assert settled.thresholds.certification_rows == len(rows.certification)
    json.dumps(settled.thresholds.to_json(), allow_nan=False)
