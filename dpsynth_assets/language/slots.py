"""Keys and values of many texts that are written at once: prefixes that a model has read, and the slots of texts.

It computes nothing of a model and chooses no token.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache

Ids = Sequence[int]


@dataclass(frozen=True)
class Start:
    """A prefix that the model has read: for each layer its keys and values, shape (heads, length, dim). Virtual tokens
    of a prompt-tuned model come before those of the prefix."""

    prefix: Ids
    layers: list[tuple[Tensor, Tensor]]
    logits: Tensor

    @property
    def length(self) -> int:
        return self.layers[0][0].shape[1]

    @property
    def bytes_each(self) -> int:
        """What the keys and values of one token take."""
        return sum(each.nbytes // each.shape[1] for pair in self.layers for each in pair)

    def shared_with(self, prefix: Ids) -> int:
        """With how many of the same tokens another prefix begins, not counting its last, whose logits are wanted."""
        pairs = zip(self.prefix, prefix[:-1], strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    def beginning(self, tokens: int) -> DynamicCache:
        """A copy of what comes of the first so many tokens, to read on from."""
        end = self.length - len(self.prefix) + tokens
        return DynamicCache([(keys[None, :, :end], values[None, :, :end]) for keys, values in self.layers])


class Starts:
    """What the model makes of each prefix: read when it is first needed, on from where it is no more like the one that
    was read before, and kept until it is needed no more. Thousands of prefixes that differ would not fit in memory
    together."""

    def __init__(self, read: Callable[[Ids, Start | None], Start], prefixes: Sequence[Ids]) -> None:
        self._read = read
        self._wanted = Counter(map(tuple, prefixes))
        longest = max(self._wanted, key=len)
        self.longest = self._before = read(longest, None)
        self._kept: dict[tuple[int, ...], Start] = {longest: self.longest}

    def take(self, prefix: tuple[int, ...]) -> Start:
        """The start of a prefix, for one of the texts that follow on it."""
        self._wanted[prefix] -= 1
        found = self._kept.get(prefix)
        if found is None:
            found = self._before = self._read(prefix, self._before)
        if self._wanted[prefix]:
            self._kept[prefix] = found
        else:
            self._kept.pop(prefix, None)
        return found


class SlotCache(Cache):
    """Keys and values of all slots, each at its own place in its own text."""

    def __init__(self, slots: int, capacity: int, like: Start, device: torch.device) -> None:
        self._lengths = torch.zeros(slots, dtype=torch.long, device=device)
        self.positions = self._lengths
        self.longest = 0
        self._places = torch.arange(capacity, device=device)
        self._slot_layers = [_SlotLayer(self, slots, capacity, *pair) for pair in like.layers]
        super().__init__(layers=list(self._slot_layers))

    def start(self, slot: int, start: Start) -> None:
        """The slot forgets its text and has read the prefix."""
        self._lengths[slot] = start.length
        for layer, (keys, values) in zip(self._slot_layers, start.layers, strict=True):
            layer.put(slot, keys, values)

    def keep(self, slots: Tensor) -> None:
        """Only these slots, in this order."""
        self._lengths, self.positions = self._lengths[slots], self.positions[slots]
        for layer in self._slot_layers:
            layer.keep(slots)

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

    def __init__(self, cache: SlotCache, slots: int, capacity: int, keys: Tensor, values: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._cache = cache
        self._rows = torch.arange(slots, device=keys.device)
        self._keys = keys.new_zeros(slots, keys.shape[0], capacity, keys.shape[2])
        self._values = values.new_zeros(slots, values.shape[0], capacity, values.shape[2])
        self.is_initialized = True

    def put(self, slot: int, keys: Tensor, values: Tensor) -> None:
        """A prefix's keys and values, shape (heads, length, dim)."""
        self._keys[slot, :, : keys.shape[1]] = keys
        self._values[slot, :, : values.shape[1]] = values

    def keep(self, slots: Tensor) -> None:
        """Only these slots, in this order."""
        self._keys, self._values = self._keys[slots], self._values[slots]
        self._rows = self._rows[: len(slots)]

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing: the shapes are known from a prefix."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        del args, kwargs
        self._keys[self._rows, :, self._cache.positions] = key_states[:, :, 0]
        self._values[self._rows, :, self._cache.positions] = value_states[:, :, 0]
        return self._keys[:, :, : self._cache.longest], self._values[:, :, : self._cache.longest]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        del query_length
        return self._cache.longest, 0

    def get_seq_length(self) -> int:
        return self._cache.longest

    def get_max_length(self) -> int:
        return int(self._keys.shape[2])
