"""A reader answers what it was told, and nothing else: with a small stand-in model."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import binom
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from dpsynth_assets.knowledge.domain import CHOICES, facts
from dpsynth_assets.knowledge.questions import questions
from dpsynth_assets.knowledge.reader import Reader, Recipe
from dpsynth_assets.language.base_model import EMBEDDED_FOLDER


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """With a random Llama of one layer, just large enough to learn something by heart."""
    folder = tmp_path_factory.mktemp("models") / "small"
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED_FOLDER)
    torch.manual_seed(0)
    ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    size = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), initializer_range=0.05, **size, **ids)).save_pretrained(
        folder
    )
    tokenizer.save_pretrained(folder)
    return Recipe(base_model=str(folder), steps=90, batch=8, learning_rate=1e-2)


def share(asked, answers):
    return sum(answer == question.fact.value for question, answer in zip(asked, answers, strict=True)) / len(asked)


def test_a_reader_that_is_handed_the_facts_answers(recipe):
    asked = [each for each in questions(facts(7)) if each.fact.attribute.name == "fuel"][::3]
    reader, told = Reader(recipe), []
    reader.read([f"{each.stem} {each.fact.value}." for each in asked], lambda done, steps: told.append((done, steps)))
    assert share(asked, reader.answers(asked)) == 1.0
    assert told[-1] == (90, 90)


def test_a_reader_that_was_handed_nothing_guesses(recipe):
    asked = questions(facts(7))
    low, high = binom.interval(0.999, len(asked), 1 / CHOICES)
    assert low <= share(asked, Reader(recipe).answers(asked)) * len(asked) <= high


def test_a_reader_reads_by_its_seed(recipe):
    asked = questions(facts(7))[:8]
    texts = [f"{each.stem} {each.fact.value}." for each in questions(facts(7))]

    def losses(seed):
        reader = Reader(Recipe(recipe.base_model, steps=3, batch=4, learning_rate=1e-2, seed=seed))
        reader.read(texts)
        return [reader.surprises(each) for each in asked]

    assert losses(1) == losses(1)
    assert losses(1) != losses(2)
