"""Canaries that have coordinates of their own in a training run, and the attack on them.

Each layer that is trained gets m parameters more, one for each canary. A canary's loss is the sum of its own ones,
times a constant, so its gradient is longer than any clip, lies in these coordinates and nowhere else, and no record of
anybody has a gradient there. Which canaries take part is decided by fair coins; those that do are units like any other:
the same sampler draws them, the same rule clips them, the same noise goes on top, with what other units contribute in
the same batch. (The Dirac canary of Nasr et al. 2023, "Tight auditing of differentially private machine learning".)

The attack sees what the noisy sums hold in a canary's coordinates, over all layers, in units of what a canary adds that
is drawn once: added up over the steps (its score), and the most in one step (its peak). No attack that sees only noisy
sums has more of a unit: its contribution is as long as the clip allows, and nothing but noise is beside it. Canaries
that are texts are far weaker. They share coordinates with everybody's texts, which hide them even without noise.

**Guarantee.** Nobody else's is touched. The coordinates, their noisy sums and the scores are functions of coins,
sampling of canaries and noise, all independent of the other units; so are coins and scores when they are published.
What other units contribute is the same as without canaries, to the bit, but for which of them are computed together.

**What it cannot see:** whether a record's gradient is computed right (made-up records are compared before each run,
`clipping.verification`), and all that happens before units are handed to training or after the noisy sums.

**What would break it:** coins that somebody knows; a model that is released with these coordinates (harmless to others,
but whoever has it can repeat the attack); scores made of a clean sum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar, overload
from zipfile import BadZipFile

import numpy as np
import torch
from torch import nn

from dpsynth_assets.atomic import replacing
from dpsynth_assets.audit.guesses import coins
from dpsynth_assets.privacy.clipping_methods import layer_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from dpsynth_assets.privacy.clipping_methods import Clipping
    from dpsynth_assets.privacy.shapes import Shape
    from dpsynth_assets.privacy.training import UnitData

_T = TypeVar("_T")

FILE = "canaries.npz"  # coins and scores so far: as secret as a checkpoint, beside which it lies
_NAME = "lora_canaries"  # a layer's parameters are told by names: peft's begin like this (`clipping_methods.layer_of`)
_LONG = 100.0  # how much longer than the clip a canary's gradient is in each layer


class Canaries:
    """m canaries in a model, an observer for `train`:

        with Canaries(model, 200, mechanism.clipping) as canaries:
            train(model, canaries.beside(data), mechanism, learning, ..., observer=canaries)
        audit_result(canaries, promise)

    At the end of the block the model is what it was before, but for what was trained of it.

    Args:
        model: with its trainable parameters; each layer of them gets the canaries'.
        count: m.
        clipping: the mechanism's.
        records: of a canary, at most as many as of any unit: one that has several must be clipped as one.
        length: of a canary's record in tokens, public: it is computed in the shape for that length.
        folder: where coins and scores are kept after each step, so that a run that was killed goes on with the same
            ones; in the sensitive zone. None keeps nothing.
    """

    def __init__(
        self,
        model: nn.Module,
        count: int,
        clipping: Clipping,
        *,
        records: int = 1,
        length: int = 1,
        folder: Path | None = None,
    ) -> None:
        self._model = model
        self._layers = sorted({layer_of(name) for name, p in model.named_parameters() if p.requires_grad})
        self.records, self.length = records, length
        self._strength = _LONG * clipping.l2_clip_norm
        self._once = clipping.sensitivity * math.sqrt(len(self._layers))  # what one that is drawn once adds
        self._file = None if folder is None else folder / FILE
        self.included: NDArray[np.bool_] = coins(count)
        self.scores: NDArray[np.float64] = np.zeros(count)
        self.peaks: NDArray[np.float64] = np.full(count, -np.inf)
        self.steps = 0
        self._reserved: list[nn.Embedding] = []
        self._go_on()

    def __enter__(self) -> Canaries:
        for layer in self._layers:
            module = self._model.get_submodule(layer)
            near = next(module.parameters())
            reserved = nn.Embedding(len(self.included), 1, device=near.device, dtype=torch.float32)
            nn.init.zeros_(reserved.weight)
            module.add_module(_NAME, reserved)
            self._reserved.append(reserved)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for layer in self._layers:
            del self._model.get_submodule(layer)._modules[_NAME]
        self._reserved = []

    def beside(self, data: UnitData) -> UnitData:
        """The data's units, and after them the canaries that take part."""
        return _UnitsAndCanaries(data, self)

    def __call__(self, noisy_sums: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> None:
        own = {id(reserved.weight) for reserved in self._reserved}
        step = np.zeros(len(self.scores))
        for noisy, parameter in zip(noisy_sums, parameters, strict=True):
            if id(parameter) in own:
                step += noisy.double().flatten().cpu().numpy() / self._once
        self.scores += step
        self.peaks = np.maximum(self.peaks, step)
        self.steps += 1
        self._keep()

    def losses(self, which: Sequence[int | None], device: torch.device) -> Tensor:
        """For each row the loss of its canary, zero where it has none; shape (rows,)."""
        ids = torch.tensor([0 if canary is None else canary for canary in which], device=device)
        strength = torch.tensor([0.0 if canary is None else self._strength for canary in which], device=device)
        total = torch.stack([reserved(ids[:, None])[:, 0, 0] for reserved in self._reserved]).sum(0)
        return strength * total

    def _keep(self) -> None:
        if self._file is not None:
            with replacing(self._file, 0o600) as file:
                np.savez(file, included=self.included, scores=self.scores, peaks=self.peaks, steps=self.steps)

    def _go_on(self) -> None:
        """Takes up what an earlier attempt at the run left, or makes its coins durable.

        What cannot be read is begun anew, with other coins: the guesses are then about the steps from here on, and
        right no more often than those promise.
        """
        if self._file is None:
            return
        with suppress(OSError, EOFError, ValueError, TypeError, KeyError, BadZipFile), self._file.open("rb") as file:
            kept = np.load(file, allow_pickle=False)
            found = kept["included"], kept["scores"], kept["peaks"], int(kept["steps"])
            ours = all(part.shape == self.included.shape and not np.isnan(part).any() for part in found[:3])
            if ours and found[0].dtype == np.bool_:
                self.included, self.scores, self.peaks, self.steps = found
                return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._keep()


class _Both(Sequence[_T]):
    """Two sequences as one, none of which is copied."""

    def __init__(self, first: Sequence[_T], then: Sequence[_T]) -> None:
        self._first, self._then = first, then

    def __len__(self) -> int:
        return len(self._first) + len(self._then)

    @overload
    def __getitem__(self, which: int) -> _T: ...

    @overload
    def __getitem__(self, which: slice) -> Sequence[_T]: ...

    def __getitem__(self, which: int | slice) -> _T | Sequence[_T]:
        if isinstance(which, slice):
            return [self[each] for each in range(*which.indices(len(self)))]
        which = range(len(self))[which]
        behind = which - len(self._first)
        return self._first[which] if behind < 0 else self._then[behind]


class _UnitsAndCanaries:
    """Other units' data with canaries after them (`UnitData`)."""

    def __init__(self, data: UnitData, canaries: Canaries) -> None:
        self._data, self._canaries = data, canaries
        self._others = len(data.lengths)
        taking_part = np.flatnonzero(canaries.included).tolist()
        of_each = canaries.records
        self._canary_of = [canary for canary in taking_part for _ in range(of_each)]
        first = self._others
        own = [range(first + i * of_each, first + (i + 1) * of_each) for i in range(len(taking_part))]
        self.records_of: Sequence[Sequence[int]] = _Both(data.records_of, own)
        self.lengths: Sequence[int] = _Both(data.lengths, [canaries.length] * len(self._canary_of))
        self.longest = data.longest

    def losses(self, model: nn.Module, records: Sequence[int], shape: Shape) -> Tensor:
        """A row of a canary is a made-up one to the others' losses, which have no gradient there."""
        others = [record for record in records if record < self._others]
        if list(records[: len(others)]) != others:
            raise ValueError("canaries stand after the other units: rows and gradients would not belong together")
        total = self._data.losses(model, others, shape)
        if len(others) == len(records):
            return total
        which: list[int | None] = [None] * len(total)
        which[len(others) : len(records)] = [
            self._canary_of[record - self._others] for record in records[len(others) :]
        ]
        return total + self._canaries.losses(which, total.device).to(total.dtype)
