"""The prefix objective: what is supervised, and that no record touches another's loss."""

from __future__ import annotations

import shutil

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from transformers import AutoTokenizer

from dpsynth_assets.language.base_model import EMBEDDED_FOLDER, BaseModelError, load_base_model
from dpsynth_assets.language.objective import encode, encode_prefix, losses


@pytest.fixture(scope="module")
def base(tiny_model):
    return load_base_model(str(tiny_model))


def records_of(tokenizer, texts, labels, max_tokens=16):
    return list(encode(tokenizer, [encode_prefix(tokenizer, label) for label in labels], texts, max_tokens))


TEXTS = ["My card was swallowed by a machine.", "Hello?", "I would like to ask about the loan you offered me."]
LABELS = ["topic: card lost", "topic: other, safety: unsafe", "topic: loan"]


def test_a_record_is_start_prefix_text_end(base):
    _, tokenizer = base
    (record,) = records_of(tokenizer, TEXTS[:1], LABELS[:1], max_tokens=64)
    assert record.ids[0] == tokenizer.bos_token_id
    assert record.ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(record.ids[1 : record.prefix]) == "topic: card lost\n"
    assert tokenizer.decode(record.ids[record.prefix : -1]) == TEXTS[0]


def test_a_long_text_is_cut_to_the_public_bound(base):
    _, tokenizer = base
    for bound in (4, 5, 30):
        record = records_of(tokenizer, ["word " * 100], LABELS[:1], max_tokens=bound)[0]
        assert len(record.ids) - record.prefix == bound


def test_the_loss_is_the_mean_over_text_and_end_tokens_only(base):
    model, tokenizer = base
    records = records_of(tokenizer, TEXTS, LABELS)
    actual = losses(model, records, tokenizer.pad_token_id)
    for record, loss in zip(records, actual, strict=True):
        logits = model(input_ids=torch.tensor([record.ids])).logits[0]
        expected = F.cross_entropy(logits[record.prefix - 1 : -1], torch.tensor(record.ids[record.prefix :]))
        torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)


def test_a_record_s_loss_does_not_depend_on_the_others(base):
    model, tokenizer = base
    short, other, long = records_of(tokenizer, TEXTS, LABELS)
    together = losses(model, [short, other, long], tokenizer.pad_token_id)[0]
    alone = losses(model, [short], tokenizer.pad_token_id)[0]
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


def test_a_tokenizer_without_a_start_token_begins_with_the_end_token(base):
    _, tokenizer = base

    class WithoutStart:
        bos_token_id = None
        eos_token_id = tokenizer.eos_token_id

        def __call__(self, *args, **kwargs):
            return tokenizer(*args, **kwargs)

    assert encode_prefix(WithoutStart(), "topic: loan")[0] == tokenizer.eos_token_id


def test_a_tokenizer_with_tokens_that_the_model_lacks_is_refused(tmp_path):
    """A record that holds such a token would end the release, after it was charged."""
    shutil.copytree(EMBEDDED_FOLDER, tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    tokenizer.add_tokens(["<|user|>"])
    tokenizer.save_pretrained(tmp_path / "model")
    with pytest.raises(BaseModelError, match="knows 8193 tokens, and the model has 8192: add rows for them"):
        load_base_model(str(tmp_path / "model"))
