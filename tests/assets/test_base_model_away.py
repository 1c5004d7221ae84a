"""A model that only the Hub could bring is asked for before anything is charged, of whatever release comes first."""

from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from dpsynth_assets.language import base_model

REAL = base_model.load_tokenizer


@pytest.fixture
def contract_path(contract_path):
    text = contract_path.read_text(encoding="utf-8")
    assert 'base_model: {name: "embedded"}' in text
    contract_path.write_text(
        text.replace('{name: "embedded"}', "{corpus: unknown, name: nobody/has-this}"), encoding="utf-8"
    )
    return contract_path


def test_nothing_is_charged_for_a_model_that_is_not_to_be_had(run, book, failure_of, monkeypatch):
    def not_there(name, **_):
        raise OSError(f"{name} is no model")

    monkeypatch.setattr(base_model, "load_tokenizer", REAL)  # not the stand-in
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", not_there)
    said = str(failure_of(run("source", "label_histogram"), "label_histogram"))
    assert "base model 'nobody/has-this' could not be read" in said
    assert "nothing was charged for it" in said
    assert list(book.reservations()) == []
