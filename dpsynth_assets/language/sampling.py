"""Samples continuations of prefixes from a causal language model, many at once. It knows no contract and no file.

A fixed number of *slots* is decoded in step. When a text ends, its slot takes the next prefix at once, whatever the
others are at, so no step is spent on padding. A prefix that occurs again costs a copy of its keys and values and no
forward pass; those of one length are read together, and only from where they are no more like those before. Short
prefixes go first: a step reads as much of every slot as the longest of them has. When nothing waits any more and half
of the slots have ended, these are given up. Results come back in the order of the prefixes and not as they end: whoever
took the first to finish would prefer short texts.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from peft import PeftModel
from torch import Tensor

from dpsynth_assets.language.rounding import round_parameters
from dpsynth_assets.language.slots import Ids, SlotCache, Start, Starts, in_order

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_TRIES = 8  # uniform numbers for a token
_MEMORY = 2**31  # bytes of keys and values on a processor, which is busy with fewer slots than a GPU


class UnsteppableModelError(RuntimeError):
    """The model does not compute the same token by token, at places of our choosing, as it does at once."""


@dataclass(frozen=True)
class Decoding:
    """How the next token is chosen from the logits.

    Attributes:
        temperature: the logits are divided by it.
        top_p: nucleus sampling (Holtzman et al. 2020): the likeliest tokens whose probabilities add up to this.
        top_k: at most so many tokens; None for no bound.
        min_p: no token whose probability is below this share of the likeliest one's; None for no bound.
        max_new_tokens: the longest continuation, its end token included.
    """

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int | None = None
    min_p: float | None = None


class Sampler:
    """Continuations of prefixes from one model.

    Args:
        model: in evaluation mode. Prompt-tuned models of peft are taken as they are.
        end: the token that ends a text.
        slots: how many texts are decoded at once, at most; memory is proportional to it. On a processor fewer, where
            the keys and values of so many would take more than two gibibytes.
        bfloat16: the model's parameters are rounded to that type, for good; what is summed over many tokens (softmax,
            norms) and the choice of a token stay in float32.

    Raises:
        UnsteppableModelError: the model ignores the given positions or mask (a sliding window, a recurrent state):
            found by a comparison, in float32, before anything is sampled.
    """

    def __init__(
        self, model: PreTrainedModel | PeftModel, end: int, decoding: Decoding, slots: int, *, bfloat16: bool = False
    ) -> None:
        self._model: Any = model
        # Virtual tokens come before the prefix, so they are in its keys and values; what follows is the base model's.
        self._stepped: Any = model.base_model if isinstance(model, PeftModel) else model
        self._end = end
        self._decoding = decoding
        self._slots = slots
        self._device = next(model.parameters()).device
        # Of a prefix the logits of its last token are wanted, and with a large vocabulary the others take long.
        known = inspect.signature(self._stepped.forward).parameters
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in known else {}
        self._compare()
        if bfloat16:
            round_parameters(model)

    @torch.inference_mode()
    def sample(
        self, prefixes: Sequence[Ids], seed: int, progress: Callable[[int], None] | None = None
    ) -> list[list[int]]:
        """One continuation for each prefix, in their order, without the end token.

        The same seed gives the same, whatever the number of slots: each text has random numbers of its own. Only a
        number on the very boundary of two tokens can fall elsewhere, by the last bits that other slots change (which
        are many more in bfloat16).

        Args:
            prefixes: token ids, at least one each.
            progress: told how many texts have ended.
        """
        if not prefixes:
            return []
        starts = Starts(self._read, prefixes)
        capacity = starts.longest.length + self._decoding.max_new_tokens
        count = self._slots
        if self._device.type == "cpu":
            count = min(count, max(1, _MEMORY // (capacity * starts.longest.bytes_each)))
        count = -(-len(prefixes) // -(-len(prefixes) // count))  # as few as take no more turns: all are busy in each
        cache = SlotCache(count, capacity, starts.longest, self._device)
        logits = torch.empty(count, starts.longest.logits.shape[-1], device=self._device)
        uniforms = torch.empty(count, self._decoding.max_new_tokens, _TRIES, device=self._device)
        places = torch.zeros(count, dtype=torch.long, device=self._device)
        every = torch.arange(count, device=self._device)
        texts: list[list[int]] = [[] for _ in prefixes]
        waiting = iter(sorted(enumerate(map(tuple, prefixes)), key=lambda each: in_order(each[1])))
        at: list[int | None] = [None] * count
        ended = 0

        def fill(slot: int) -> None:
            text, prefix = next(waiting, (None, ()))
            at[slot] = text
            if text is not None:
                start = starts.take(prefix)
                cache.start(slot, start)
                logits[slot] = start.logits
                uniforms[slot] = _uniforms(seed, text, uniforms.shape[1:]).to(self._device)
                places[slot] = 0

        for slot in range(count):
            fill(slot)
        while any(text is not None for text in at):
            tokens = choose(logits, self._decoding, uniforms[every, places])
            places.add_(1).clamp_(max=self._decoding.max_new_tokens - 1)  # ended slots go on in vain
            restarted = []
            for slot, token in enumerate(tokens.tolist()):
                text = at[slot]
                if text is None:
                    continue
                if token != self._end:
                    texts[text].append(token)
                if token == self._end or len(texts[text]) == self._decoding.max_new_tokens:
                    ended += 1
                    restarted.append(slot)
            # Every slot takes the step, the ended ones in vain, so that they begin afresh after it.
            logits = self._step(cache, tokens)
            for slot in restarted:
                fill(slot)
            if restarted and progress is not None:
                progress(ended)
            busy = [slot for slot, text in enumerate(at) if text is not None]
            if 0 < 2 * len(busy) <= len(at):
                at = [at[slot] for slot in busy]
                kept = torch.tensor(busy, device=self._device)
                cache.keep(kept)
                logits, uniforms, places, every = logits[kept], uniforms[kept], places[kept], every[: len(busy)]
        return texts

    def _step(self, cache: SlotCache, tokens: Tensor) -> Tensor:
        """Logits after one more token in every slot, float32, shape (slots, vocabulary)."""
        cache.advance()
        output = self._stepped(
            input_ids=tokens[:, None],
            attention_mask=cache.mask(),
            position_ids=cache.positions[:, None],
            past_key_values=cache,
            use_cache=True,
        )
        logits: Tensor = output.logits[:, -1].float()
        return logits

    def _read(self, prefixes: Sequence[Ids], like: Start | None = None) -> list[Start]:
        """What the model makes of prefixes of one length: read whole, or from where one of them is no more like that
        one."""
        shared = 0 if like is None else min(map(like.shared_with, prefixes))
        ids = torch.tensor([prefix[shared:] for prefix in prefixes], device=self._device)
        if like is None or not shared:
            output = self._model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True, **self._last_only)
        else:
            past = like.beginning(shared, len(prefixes))
            places = torch.arange(past.get_seq_length() + ids.shape[1], device=self._device).expand(len(prefixes), -1)
            output = self._stepped(
                input_ids=ids,
                attention_mask=torch.ones_like(places),
                position_ids=places[:, -ids.shape[1] :],
                past_key_values=past,
                use_cache=True,
                **self._last_only,
            )
        layers = [(layer.keys, layer.values) for layer in output.past_key_values.layers]
        logits = output.logits[:, -1].float().clone()  # not a view, which would keep those of all tokens
        return [
            Start(tuple(prefix), [(keys[row], values[row]) for keys, values in layers], logits[row])
            for row, prefix in enumerate(prefixes)
        ]

    @torch.inference_mode()
    def _compare(self) -> None:
        """Two slots, one of them begun anew halfway, and a prefix that is read on from another one, against the model's
        ordinary forward pass."""
        name = type(self._stepped).__name__
        vocabulary = self._model.get_input_embeddings().weight.shape[0]
        first, second = ([(7 * i + k) % vocabulary for i in range(1, 7)] for k in (1, 3))
        try:
            starts = self._read([first[:2], second[:2]])
            cache = SlotCache(2, starts[0].length + 4, starts[0], self._device)
            for slot in (0, 1):
                cache.start(slot, starts[slot])
            for pair in zip(first[2:4], second[2:4], strict=True):
                self._step(cache, torch.tensor(pair, device=self._device))
            cache.start(1, starts[0])
            for pair in zip(first[4:6], first[2:4], strict=True):
                stepped = self._step(cache, torch.tensor(pair, device=self._device))
            read_on = self._read([first[:4]], starts[0])[0].logits[None]
            whole = self._model(input_ids=torch.tensor([first], device=self._device)).logits[0].float()
        except (TypeError, AttributeError, IndexError, NotImplementedError) as error:
            raise UnsteppableModelError(f"{name} has no keys and values that can be written slot by slot") from error
        ends = torch.stack([whole[-1], whole[-3], whole[-3]])
        if not torch.allclose(torch.cat([stepped, read_on]), ends, atol=1e-2, rtol=1e-3):
            raise UnsteppableModelError(f"{name} ignores the positions or the mask that it is given")


class BatchSampler:
    """The same, by the model's own `generate`, batch after batch: slower, for models that `Sampler` refuses.

    Temperature, top-k, nucleus and least probability mean the same there. The same seed gives the same for the same
    number of slots.
    """

    def __init__(
        self, model: PreTrainedModel | PeftModel, end: int, decoding: Decoding, slots: int, *, bfloat16: bool = False
    ) -> None:
        self._model: Any = model
        self._end = end
        self._decoding = decoding
        self._slots = slots
        if bfloat16:
            round_parameters(model)

    @torch.inference_mode()
    def sample(
        self, prefixes: Sequence[Ids], seed: int, progress: Callable[[int], None] | None = None
    ) -> list[list[int]]:
        """One continuation for each prefix, in their order, without the end token."""
        torch.manual_seed(seed)
        wanted: dict[tuple[int, ...], list[int]] = {}
        for place, prefix in enumerate(prefixes):
            wanted.setdefault(tuple(prefix), []).append(place)
        texts: list[list[int]] = [[] for _ in prefixes]
        ended = 0
        for prefix, places in wanted.items():
            for start in range(0, len(places), self._slots):
                batch = places[start : start + self._slots]
                for place, ids in zip(batch, self._generate(prefix, len(batch)), strict=True):
                    texts[place] = ids[: ids.index(self._end)] if self._end in ids else ids
                ended += len(batch)
                if progress is not None:
                    progress(ended)
        return texts

    def _generate(self, prefix: Ids, count: int) -> list[list[int]]:
        ids = torch.tensor([prefix], device=next(self._model.parameters()).device).expand(count, -1)
        with warnings.catch_warnings():
            # peft counts a prompt model's positions itself, and remarks at every token that it was told some.
            warnings.filterwarnings("ignore", message="Position ids are not supported")
            output = self._model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=True,
                temperature=self._decoding.temperature,
                top_p=self._decoding.top_p,
                top_k=self._decoding.top_k or 0,
                min_p=self._decoding.min_p,
                max_new_tokens=self._decoding.max_new_tokens,
                pad_token_id=self._end,
                eos_token_id=self._end,
            )
        texts: list[list[int]] = output[:, len(prefix) :].tolist()
        return texts


def sampler_for(
    model: PreTrainedModel | PeftModel, end: int, decoding: Decoding, slots: int, *, bfloat16: bool = False
) -> Sampler | BatchSampler:
    """The fast sampler where the model allows it, else the other."""
    try:
        return Sampler(model, end, decoding, slots, bfloat16=bfloat16)
    except UnsteppableModelError:
        return BatchSampler(model, end, decoding, slots, bfloat16=bfloat16)


def choose(logits: Tensor, decoding: Decoding, uniforms: Tensor) -> Tensor:
    """One token a row: temperature, then the likeliest `top_k`, then the nucleus of `top_p` and not below `min_p`.

    The nucleus is hardly ever sorted out: a token is drawn from all, and again if it is not of the nucleus. That is the
    same law (rejection), and a vocabulary is summed much faster than it is sorted. Only where all numbers but one are
    used up is it sorted, and the token drawn from the nucleus by the last. Of tokens with the very same probability,
    all belong to the nucleus or none.

    Args:
        logits: float32, shape (rows, vocabulary).
        uniforms: from [0, 1), shape (rows, at least 2).

    Returns:
        Token ids, shape (rows,).
    """
    logits = logits / decoding.temperature
    if decoding.top_k is not None and decoding.top_k < logits.shape[-1]:
        least = logits.topk(decoding.top_k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    probabilities = torch.softmax(logits, dim=-1)
    floor = probabilities.new_zeros(len(logits), 1)
    if decoding.min_p is not None:
        floor = probabilities.amax(-1, keepdim=True) * decoding.min_p
    chosen = torch.empty(len(logits), dtype=torch.long, device=logits.device)
    rows = torch.arange(len(logits), device=logits.device)
    for tried in range(uniforms.shape[1] - 1):
        tokens = _at(probabilities, uniforms[rows, tried])
        own = probabilities.gather(-1, tokens)
        likelier = torch.where(probabilities > own, probabilities, 0).sum(-1)
        taken = (likelier < decoding.top_p) & (own >= floor)[:, 0] & (own > 0)[:, 0]
        chosen[rows[taken]] = tokens[taken, 0]
        rows, probabilities, floor = rows[~taken], probabilities[~taken], floor[~taken]
        if not len(rows):
            return chosen
    falling = probabilities.sort(dim=-1, descending=True).values
    in_nucleus = falling.cumsum(-1) - falling < decoding.top_p
    least = torch.where(in_nucleus, falling, torch.inf).amin(-1, keepdim=True)
    nucleus = torch.where(probabilities >= torch.maximum(least, floor), probabilities, 0)
    tokens = _at(nucleus, uniforms[rows, -1])
    chosen[rows] = torch.where(nucleus.gather(-1, tokens) > 0, tokens, nucleus.argmax(-1, keepdim=True))[:, 0]
    return chosen


def _at(masses: Tensor, uniforms: Tensor) -> Tensor:
    """The token of each row at whose mass its number falls, shape (rows, 1). One without mass can only come of rounding
    at the very end of the sum."""
    mass = masses.cumsum(-1)
    return torch.searchsorted(mass, uniforms[:, None] * mass[:, -1:], right=True).clamp_(max=mass.shape[-1] - 1)


def _uniforms(seed: int, text: int, shape: Sequence[int]) -> Tensor:
    """The random numbers of one text, its own by key: they do not depend on which slot it is written in, or when."""
    stream = np.random.Generator(np.random.Philox(key=[seed, text]))
    return torch.from_numpy(stream.random(tuple(shape), dtype=np.float32))
