"""Samples continuations of prefixes from a causal language model, many at once. It knows no contract and no file.

A fixed number of *slots* is decoded in step. When a text ends, its slot takes the next prefix at once, whatever the
others are at, so no step is spent on padding; a prefix that occurs again costs a copy of its keys and values and no
forward pass. Results come back in the order of the prefixes and not as they end: whoever took the first to finish would
prefer short texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

Ids = Sequence[int]

_LIKELIEST = 1024  # of so many tokens the nucleus is sought first; a full sort of a large vocabulary is slow


class UnsteppableModelError(RuntimeError):
    """The model does not compute the same token by token, at places of our choosing, as it does at once."""


@dataclass(frozen=True)
class Decoding:
    """How the next token is chosen from the logits.

    Attributes:
        temperature: the logits are divided by it.
        top_p: nucleus sampling (Holtzman et al. 2020): the likeliest tokens whose probabilities add up to this.
        top_k: at most so many tokens; None for no bound.
        max_new_tokens: the longest continuation, its end token included.
    """

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int | None = None


class Sampler:
    """Continuations of prefixes from one model.

    Args:
        model: in evaluation mode. Prompt-tuned models of peft are taken as they are.
        end: the token that ends a text.
        slots: how many texts are decoded at once; memory is proportional to it.

    Raises:
        UnsteppableModelError: the model ignores the given positions or mask (a sliding window, a recurrent state):
            found by a comparison before anything is sampled.
    """

    def __init__(self, model: PreTrainedModel | PeftModel, end: int, decoding: Decoding, slots: int) -> None:
        from peft import PeftModel

        self._model: Any = model
        # Virtual tokens come before the prefix, so they are in its keys and values; what follows is the base model's.
        self._stepped: Any = model.base_model if isinstance(model, PeftModel) else model
        self._end = end
        self._decoding = decoding
        self._slots = slots
        self._device = next(model.parameters()).device
        self._compare()

    @torch.inference_mode()
    def sample(self, prefixes: Sequence[Ids], seed: int, progress: Callable[[int], None] | None = None) -> list[Ids]:
        """One continuation for each prefix, in their order, without the end token. The same seed gives the same.

        Args:
            prefixes: token ids, at least one each.
            progress: told how many texts have ended.
        """
        if not prefixes:
            return []
        generator = torch.Generator(self._device).manual_seed(seed)
        starts = {prefix: self._start(prefix) for prefix in dict.fromkeys(map(tuple, prefixes))}
        capacity = max(start.length for start in starts.values()) + self._decoding.max_new_tokens
        count = min(self._slots, len(prefixes))
        cache = _SlotCache(count, capacity, next(iter(starts.values())), self._device)
        logits = torch.empty(count, starts[tuple(prefixes[0])].logits.shape[-1], device=self._device)
        texts: list[list[int]] = [[] for _ in prefixes]
        waiting = iter(enumerate(map(tuple, prefixes)))
        at: list[int | None] = [None] * count
        ended = 0

        def fill(slot: int) -> None:
            at[slot], prefix = next(waiting, (None, ()))
            if at[slot] is not None:
                cache.start(slot, starts[prefix])
                logits[slot] = starts[prefix].logits

        for slot in range(count):
            fill(slot)
        while any(text is not None for text in at):
            tokens = choose(logits, self._decoding, generator)
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
        return texts

    def _step(self, cache: _SlotCache, tokens: Tensor) -> Tensor:
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

    def _start(self, prefix: Ids) -> _Start:
        ids = torch.tensor([prefix], device=self._device)
        output = self._model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True)
        layers = [(layer.keys[0], layer.values[0]) for layer in output.past_key_values.layers]
        return _Start(layers, output.logits[0, -1].float())

    @torch.inference_mode()
    def _compare(self) -> None:
        """Two slots, one of them begun anew halfway, against the model's ordinary forward pass."""
        name = type(self._stepped).__name__
        vocabulary = self._model.get_input_embeddings().weight.shape[0]
        first, second = ([(7 * i + k) % vocabulary for i in range(1, 7)] for k in (1, 3))
        try:
            starts = [self._start(ids[:2]) for ids in (first, second)]
            cache = _SlotCache(2, starts[0].length + 4, starts[0], self._device)
            for slot in (0, 1):
                cache.start(slot, starts[slot])
            for pair in zip(first[2:4], second[2:4], strict=True):
                self._step(cache, torch.tensor(pair, device=self._device))
            cache.start(1, starts[0])
            for pair in zip(first[4:6], first[2:4], strict=True):
                stepped = self._step(cache, torch.tensor(pair, device=self._device))
            whole = self._model(input_ids=torch.tensor([first], device=self._device)).logits[0].float()
        except (TypeError, AttributeError, IndexError, NotImplementedError) as error:
            raise UnsteppableModelError(f"{name} has no keys and values that can be written slot by slot") from error
        ends = torch.stack([whole[-1], whole[-3]])
        if not torch.allclose(stepped, ends, atol=1e-2, rtol=1e-3):
            raise UnsteppableModelError(f"{name} ignores the positions or the mask that it is given")


def choose(logits: Tensor, decoding: Decoding, generator: torch.Generator) -> Tensor:
    """One token a row: temperature, then at most `top_k` tokens, then the nucleus of `top_p`.

    Args:
        logits: float32, shape (rows, vocabulary).

    Returns:
        Token ids, shape (rows,).
    """
    probabilities = torch.softmax(logits / decoding.temperature, dim=-1)
    vocabulary = logits.shape[-1]
    width = min(vocabulary, _LIKELIEST if decoding.top_k is None else decoding.top_k)
    likeliest, tokens = probabilities.topk(width, dim=-1)
    mass = likeliest.cumsum(-1)
    if decoding.top_k is not None:
        mass = mass / mass[:, -1:]
        likeliest = likeliest / likeliest.sum(-1, keepdim=True)
    elif width < vocabulary and bool((mass[:, -1] < decoding.top_p).any()):
        likeliest, tokens = probabilities.sort(dim=-1, descending=True)
        mass = likeliest.cumsum(-1)
    # A token belongs to the nucleus if the likelier ones do not reach top_p without it. The likeliest always does.
    within = likeliest * (mass - likeliest < decoding.top_p)
    steps = within.cumsum(-1)
    drawn = torch.rand(len(logits), 1, generator=generator, device=logits.device) * steps[:, -1:]
    place = torch.searchsorted(steps, drawn, right=True).clamp_(max=within.shape[-1] - 1)
    # Rounding can put the draw at the very end, past the last token that has any mass.
    last = (within > 0).sum(-1, keepdim=True) - 1
    return tokens.gather(-1, torch.minimum(place, last)).squeeze(-1)


@dataclass(frozen=True)
class _Start:
    """A prefix that the model has read: for each layer its keys and values, shape (heads, length, dim)."""

    layers: list[tuple[Tensor, Tensor]]
    logits: Tensor

    @property
    def length(self) -> int:
        return self.layers[0][0].shape[1]


class _SlotCache(Cache):
    """Keys and values of all slots, each at its own place in its own text."""

    def __init__(self, slots: int, capacity: int, like: _Start, device: torch.device) -> None:
        self._lengths = torch.zeros(slots, dtype=torch.long, device=device)
        self.positions = self._lengths
        self.longest = 0
        self._places = torch.arange(capacity, device=device)
        super().__init__(layers=[_SlotLayer(self, slots, capacity, *pair) for pair in like.layers])

    def start(self, slot: int, start: _Start) -> None:
        """The slot forgets its text and has read the prefix."""
        self._lengths[slot] = start.length
        for layer, (keys, values) in zip(self.layers, start.layers, strict=True):
            layer.keys[slot, :, : start.length] = keys
            layer.values[slot, :, : start.length] = values

    def advance(self) -> None:
        """The next token of every slot goes after its last; a slot with nothing to do writes over its last place."""
        self.positions = self._lengths.clamp(max=len(self._places) - 1)
        self._lengths = self.positions + 1
        self.longest = int(self._lengths.max())

    def mask(self) -> Tensor:
        """True where a slot has tokens, shape (slots, 1, 1, longest)."""
        return (self._places[: self.longest] < self._lengths[:, None])[:, None, None]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        del layer_idx
        return self.longest


class _SlotLayer(CacheLayerMixin):
    """One layer's part: writes a token's keys and values at each slot's own position."""

    def __init__(self, cache: _SlotCache, slots: int, capacity: int, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self._cache = cache
        self._rows = torch.arange(slots, device=keys.device)
        self.keys = keys.new_zeros(slots, keys.shape[0], capacity, keys.shape[2])
        self.values = values.new_zeros(slots, values.shape[0], capacity, values.shape[2])
        self.is_initialized = True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing: the shapes are known from a prefix."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        del args, kwargs
        self.keys[self._rows, :, self._cache.positions] = key_states[:, :, 0]
        self.values[self._rows, :, self._cache.positions] = value_states[:, :, 0]
        return self.keys[:, :, : self._cache.longest], self.values[:, :, : self._cache.longest]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        del query_length
        return self._cache.longest, 0

    def get_seq_length(self) -> int:
        return self._cache.longest

    def get_max_length(self) -> int:
        return int(self.keys.shape[2])
