"""Sampling in slots: the law of a token, and that a slot computes what the model would alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import scipy.stats
import torch

from dpsynth_assets.language import sampling
from dpsynth_assets.language.sampling import (
    BatchSampler,
    Decoding,
    Sampler,
    UnsteppableModelError,
    choose,
    sampler_for,
)
from dpsynth_assets.language.trainable import attach_adapter

VOCABULARY = 60
END = 1
PREFIXES = [[0, 5, 9, 4], [0, 7], [0, 5, 9, 4], [0, 33, 2], [0, 7], [0, 41, 8, 8, 8, 8], [0, 7]]


def llama() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(**sizes(), num_key_value_heads=1))


def gpt2() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, n_embd=16, n_layer=2, n_head=2, n_positions=64))


def prompted() -> Any:
    plan: Any = SimpleNamespace(method="prompt", prompt_tokens=3)
    return attach_adapter(llama(), plan)


def windowed() -> Any:
    from transformers import MistralConfig, MistralForCausalLM

    return MistralForCausalLM(MistralConfig(**sizes(), num_key_value_heads=2, sliding_window=3))


def sizes() -> dict[str, int]:
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }


def made(kind: Any) -> Any:
    torch.manual_seed(1)
    model = kind().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0)  # far from uniform, so that a wrong position or mask changes the likeliest token
    return model


def greedy(model: Any, prefix: list[int], count: int, end: int = END) -> list[int]:
    """Token by token, each by a forward pass over everything so far."""
    ids = torch.tensor([prefix])
    while ids.shape[1] < len(prefix) + count:
        with torch.no_grad():
            token = model(input_ids=ids, use_cache=False).logits[0, -1].argmax()
        if token == end:
            break
        ids = torch.cat([ids, token.view(1, 1)], dim=1)
    return ids[0, len(prefix) :].tolist()


@pytest.mark.parametrize("kind", [llama, gpt2, prompted])
@pytest.mark.parametrize("slots", [1, 3, 50])
def test_every_slot_writes_what_the_model_would_write_alone(kind: Any, slots: int) -> None:
    model = made(kind)
    written = Sampler(model, END, Decoding(max_new_tokens=9, top_k=1), slots).sample(PREFIXES, seed=0)
    assert written == [greedy(model, prefix, 9) for prefix in PREFIXES]
    assert len({tuple(text) for text in written}) > 1


@pytest.mark.parametrize("slots", [2, 50])
@pytest.mark.parametrize("kind", [llama, gpt2, prompted])
def test_a_text_ends_with_its_end_token_and_its_slot_is_taken_over_or_given_up(
    kind: Any, slots: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given up where nothing waits and as many slots have ended."""
    left: list[int] = []

    class Watched(sampling.SlotCache):
        def keep(self, slots: torch.Tensor) -> None:
            left.append(len(slots))
            super().keep(slots)

    monkeypatch.setattr(sampling, "SlotCache", Watched)
    model = made(kind)
    alone = [greedy(model, prefix, 9, end=-1) for prefix in PREFIXES]

    def ended(end: int) -> list[list[int]]:
        return [text[: text.index(end)] if end in text else text for text in alone]

    end = max(range(VOCABULARY), key=lambda token: len({len(text) for text in ended(token)}))
    assert len({len(text) for text in ended(end)}) > 1
    written = Sampler(model, end, Decoding(max_new_tokens=9, top_k=1), slots).sample(PREFIXES, seed=0)
    assert written == ended(end)
    assert left or slots == 2


def test_as_many_slots_are_busy_in_each_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five of seven and then two would compute as much as five and five."""
    made_with = []

    class Counted(sampling.SlotCache):
        def __init__(self, slots: int, *rest: Any) -> None:
            made_with.append(slots)
            super().__init__(slots, *rest)

    monkeypatch.setattr(sampling, "SlotCache", Counted)
    for slots in (7, 6, 5, 4, 3, 1):
        sampler = Sampler(made(llama), END, Decoding(max_new_tokens=4), slots)
        made_with.clear()
        sampler.sample(PREFIXES, seed=5)
        assert made_with == [{7: 7, 6: 4, 5: 4, 4: 4, 3: 3, 1: 1}[slots]]


def test_short_prefixes_go_first_and_texts_come_back_in_the_order_asked_for() -> None:
    sampler = Sampler(made(llama), END, Decoding(max_new_tokens=4, top_k=1), 1)
    taken: list[int] = []
    read = sampler._read
    sampler._read = lambda given, like: taken.append(len(given[0])) or read(given, like)  # type: ignore
    texts = sampler.sample(PREFIXES, seed=0)
    assert taken == [6, 2, 3, 4]  # the longest is read at once, for its size
    assert texts == [greedy(made(llama), prefix, 4) for prefix in PREFIXES]


@pytest.mark.parametrize("kind", [llama, gpt2, prompted])
def test_what_a_prefix_has_in_common_with_the_one_before_is_read_once(kind: Any) -> None:
    model = made(kind)
    common = [0, 9, 8, 7, 6, 5]
    long = [*common, 4, 4]
    prefixes = [long, [*common, 3, 3], [*common[:2], 3, 2], long, common, [*common, 2, 2], [11, 12, *common]]
    sampler = Sampler(model, END, Decoding(max_new_tokens=6, top_k=1), 2)
    read: list[tuple[int, ...]] = []
    embedding = model.get_input_embeddings()
    handle = embedding.register_forward_hook(lambda module, given, output: read.append(tuple(given[0].shape)))
    texts = sampler.sample(prefixes, seed=0)
    handle.remove()
    # The longest whole; of the others, short ones first, what comes after two tokens, and after two again; two of one
    # length together, without what they have in common; and one whole that has nothing in common with them.
    assert [each for each in read if each[1] > 1] == [(1, 8), (1, 2), (1, 4), (2, 2), (1, 8)]
    assert texts == [greedy(model, prefix, 6) for prefix in prefixes]


def test_of_a_large_vocabulary_only_the_last_token_s_logits_are_computed() -> None:
    model = made(llama)
    sampler, seen = Sampler(model, END, Decoding(max_new_tokens=4), 2), []
    model.lm_head.register_forward_hook(lambda module, given, output: seen.append(given[0].shape[1]))
    sampler._read([[1, 2, 3, 4]])
    assert seen == [1]


def test_the_same_seed_writes_the_same_and_another_does_not() -> None:
    sampler = Sampler(made(llama), END, Decoding(max_new_tokens=9, temperature=3.0), 3)
    assert sampler.sample(PREFIXES, seed=5) == sampler.sample(PREFIXES, seed=5) != sampler.sample(PREFIXES, seed=6)


@pytest.mark.parametrize("kind", [llama, gpt2, prompted])
def test_a_text_does_not_depend_on_how_many_are_written_beside_it(kind: Any) -> None:
    model, decoding = made(kind), Decoding(max_new_tokens=9, temperature=2.0, top_p=0.9, min_p=0.01)
    written = [Sampler(model, END, decoding, slots).sample(PREFIXES, seed=5) for slots in (1, 2, 50)]
    assert written[0] == written[1] == written[2]
    first, *_, last = written[0][1], written[0][4], written[0][6]  # of one prefix, and not one text
    assert first != last


def test_long_prefixes_are_written_in_as_many_slots_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = Sampler(made(llama), END, Decoding(max_new_tokens=9, temperature=2.0), 50)
    expected, made_with = sampler.sample(PREFIXES, seed=5), []

    class Counted(sampling.SlotCache):
        def __init__(self, slots: int, *rest: Any) -> None:
            made_with.append(slots)
            super().__init__(slots, *rest)

    monkeypatch.setattr(sampling, "SlotCache", Counted)
    each = sampler._read([[1]])[0].bytes_each * (max(map(len, PREFIXES)) + 9)
    for room, slots in ((2.5 * each, 2), (each / 2, 1), (100 * each, len(PREFIXES))):
        monkeypatch.setattr(sampling, "_MEMORY", int(room))
        assert sampler.sample(PREFIXES, seed=5) == expected
        assert made_with.pop() == slots


def test_a_prefix_that_was_read_keeps_the_logits_of_its_last_token_alone() -> None:
    logits = Sampler(made(llama), END, Decoding(max_new_tokens=4), 2)._read([[1, 2, 3, 4]])[0].logits
    assert logits.untyped_storage().nbytes() == logits.nbytes


def test_progress_counts_every_text_and_nothing_is_drawn_for_no_prefix() -> None:
    told: list[int] = []
    sampler = Sampler(made(llama), END, Decoding(max_new_tokens=4), 2)
    sampler.sample(PREFIXES, 0, told.append)
    assert told == sorted(told)
    assert told[-1] == len(PREFIXES)
    assert sampler.sample([], 0) == []


def test_a_model_that_cannot_be_stepped_is_found_out_and_sampled_in_batches() -> None:
    model = made(windowed)
    with pytest.raises(UnsteppableModelError):
        Sampler(model, END, Decoding(max_new_tokens=9), 2)
    sampler = sampler_for(model, END, Decoding(max_new_tokens=9, top_k=1), 2)
    assert isinstance(sampler, BatchSampler)
    assert sampler.sample(PREFIXES, 0) == [greedy(model, prefix, 9) for prefix in PREFIXES]


@pytest.mark.parametrize(
    "decoding",
    [
        Decoding(1),
        Decoding(1, temperature=0.7, top_p=0.8),
        Decoding(1, top_p=0.3),
        Decoding(1, top_p=0.05),  # so few are of the nucleus that many tokens come of sorting it out
        Decoding(1, top_k=5),
        Decoding(1, min_p=0.1),
        Decoding(1, temperature=1.5, top_p=0.7, min_p=0.03),
        Decoding(1, temperature=1.5, top_p=0.6, top_k=8),
    ],
)
def test_tokens_follow_the_law_of_the_nucleus(decoding: Decoding) -> None:
    logits = 2 * torch.randn(VOCABULARY, generator=torch.Generator().manual_seed(3))
    law = torch.softmax(logits / decoding.temperature, dim=0)
    order = law.argsort(descending=True)
    kept = law[order][: decoding.top_k]
    kept = kept / kept.sum()
    kept = kept[(kept.cumsum(0) - kept) < decoding.top_p]
    kept = kept[kept >= (decoding.min_p or 0) * kept[0]]
    kept = kept / kept.sum()

    draws = 40_000
    uniforms = torch.rand(draws, 8, generator=torch.Generator().manual_seed(4))
    drawn = choose(logits.expand(draws, -1), decoding, uniforms)
    counts = torch.bincount(drawn, minlength=VOCABULARY)[order]
    assert counts[len(kept) :].sum() == 0
    likely = kept * draws >= 5
    if int(likely.sum()) > 1:
        observed, expected = counts[: len(kept)][likely].double(), kept[likely].double() * draws
        expected *= observed.sum() / expected.sum()
        assert scipy.stats.chisquare(observed.numpy(), expected.numpy()).pvalue > 1e-6
