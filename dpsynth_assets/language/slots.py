"""Keys and values of many texts that are written at once: prefixes that a model has read, and the slots of texts.

It computes nothing of a model and chooses no token.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache

Ids = Sequence[int]
_TOKENS = 2048  # of prefixes that are read together


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

    def beginning(self, tokens: int, count: int) -> DynamicCache:
        """As many copies of what comes of the first tokens, to read on from."""
        end = self.length - len(self.prefix) + tokens
        return DynamicCache([tuple(each[:, :end].expand(count, -1, -1, -1) for each in pair) for pair in self.layers])


def in_order(prefix: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """In which order prefixes are taken: short ones first, and those together that begin alike."""
    return len(prefix), prefix


class Starts:
    """What the model makes of each prefix: read when it is first needed, with some of those that come next, on from
    where they are no more like what was read before, and kept until it is needed no more. Thousands of prefixes that
    differ would not fit in memory together.

    Args:
        read: from prefixes of one length, and one that was read already, to what the model makes of each.
        prefixes: all that will be taken, `in_order`.
    """

    def __init__(self, read: Callable[[Sequence[Ids], Start | None], list[Start]], prefixes: Sequence[Ids]) -> None:
        self._read = read
        self._wanted = Counter(map(tuple, prefixes))
        longest = max(self._wanted, key=len)
        self._next = deque(sorted(self._wanted.keys() - {longest}, key=in_order))
        (self.longest,) = read([longest], None)
        self._before = self.longest
        self._kept: dict[tuple[int, ...], Start] = {longest: self.longest}

    def take(self, prefix: tuple[int, ...]) -> Start:
        """The start of a prefix, for one of the texts that follow on it."""
        self._wanted[prefix] -= 1
        if prefix not in self._kept:
            self._read_next(prefix)
        found = self._kept[prefix]
        if self._wanted[prefix]:
            self._kept[prefix] = found
        else:
            del self._kept[prefix]
        return found

    def _read_next(self, prefix: tuple[int, ...]) -> None:
        together, shared = [self._next.popleft()], self._before.shared_with(prefix)
        while (
            self._next
            and len(self._next[0]) == len(prefix)
            and len(together) < _TOKENS // len(prefix)
            and self._before.shared_with(self._next[0]) >= shared
        ):
            together.append(self._next.popleft())
        for start in self._read(together, self._before):
            self._before = self._kept[tuple(start.prefix)] = start


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
