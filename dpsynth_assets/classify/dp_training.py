"""A classifier trained on the sensitive rows themselves with DP-SGD. A release of its own.

Two of them can be planned: `labeller`, which judges synthetic texts, and `dp_baseline`, the bar for what is trained on
synthetic texts.

Formal guarantee: that of the plan's event (`dpsynth_assets.privacy.plan.DpSgd`), under add/remove of one privacy unit:
the losses of a unit's records are summed before its gradient is clipped. It covers the stored classifier and whatever
is computed from it, such as its accuracy on public rows. Nothing else comes out: no loss, no count, no validation.

Misuse that breaks it: a vocabulary, class weights, a temperature or a number of steps taken from the rows; showing how
far the encoding of the rows has come (their number is sensitive); training twice and keeping the better one; vectors
of sensitive texts by an encoder to which it matters who else is encoded (`dpsynth_assets.classify.apart`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from dpsynth_assets.classify import encoder as encoders
from dpsynth_assets.classify.apart import apart
from dpsynth_assets.classify.dp_plan import DpClassifierPlan
from dpsynth_assets.classify.encoder import DIMENSION, padded
from dpsynth_assets.classify.head import Head
from dpsynth_assets.classify.holdout import class_codes
from dpsynth_assets.classify.neural import Neural
from dpsynth_assets.classify.vectors import public_encoder
from dpsynth_assets.classify.word_cnn import CnnShape, WordCnn, hashed
from dpsynth_assets.mapped import mapped
from dpsynth_assets.privacy.checkpoint import CheckpointFolder
from dpsynth_assets.privacy.clipping.verification import verify_exactness, verify_own_bits
from dpsynth_assets.privacy.shapes import public_shapes
from dpsynth_assets.privacy.training import TrainingRun, train
from dpsynth_assets.privacy.unit_numbers import Groups, UnitNumbers, require_bounded
from dpsynth_assets.progress import Progress
from dpsynth_assets.releases.classifiers import CLASSIFIER
from dpsynth_assets.releases.release import Launch, Made, Ran, Workspace

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from dpsynth_assets.classify.encoder import Encoder
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.privacy.shapes import Shape
    from dpsynth_assets.releases.rows import Rows

# How much is computed at once, in records for the head, in words for the word-CNN.
_MICRO_BATCH = 8192
_RANDOM = 24  # made-up records by which it is looked at whether a row matters: fewer may all happen to round alike


class LabelledUnits:
    """Labelled records grouped by privacy unit (`dpsynth_assets.privacy.training.UnitData`). Sensitive throughout.

    Args:
        method: whose examples they are.
        examples: what the model takes, shape (records, width).
        codes: the class of each record.
        units: the number of each record's privacy unit.
    """

    def __init__(
        self,
        method: _Head | _Cnn,
        examples: Tensor,
        codes: Sequence[int] | NDArray[np.int64],
        units: Sequence[int] | NDArray[np.int64],
    ) -> None:
        self.records_of = Groups(np.asarray(units, dtype=np.int64))
        self.lengths = method.lengths(examples)
        self.longest = method.longest
        self._logits = method.logits
        self._examples, self._codes = examples, torch.as_tensor(codes, dtype=torch.int64)

    def losses(self, model: nn.Module, records: Sequence[int], shape: Shape | None = None) -> Tensor:
        """Cross-entropy of each of the records, then of made-up ones, shape (shape.rows,); without a shape, of the
        records alone. Classes weigh as often as they occur."""
        made_up = 0 if shape is None else shape.rows - len(records)
        rows = torch.as_tensor(records, dtype=torch.int64)
        # A made-up row is zeros: a vector of nothing, or an empty text.
        examples = torch.nn.functional.pad(self._examples[rows], (0, 0, 0, made_up))
        codes = torch.nn.functional.pad(self._codes[rows], (0, made_up))
        scores = self._logits(model, examples, None if shape is None else shape.width)
        return torch.nn.functional.cross_entropy(scores, codes, reduction="none")


def train_with_dp(
    plan: DpClassifierPlan,
    rows: Rows,
    folder: Path,
    progress: Progress | None = None,
    checkpoints: CheckpointFolder | None = None,
    encoder: Encoder | None = None,
) -> TrainingRun:
    """Train the plan's classifier on the sensitive rows and write it to `folder` (read it with `load_classifier`).

    Args:
        plan: must be the one whose event was granted.
        rows: at most `plan.max_records` of each unit, as the sensitive store hands them out.
        progress: told (steps done, steps in all), and nothing of the rows' encoding before.
        checkpoints: in the sensitive zone; a run that was killed there is continued.
        encoder: for *public* rows, one that remembers them, so that many settings can be tried. For sensitive ones
            None: theirs is looked at first (`dpsynth_assets.classify.apart`).

    Raises:
        ValueError: a unit has more records than the plan bounds, which would break the declared sensitivity.
        UnclippedGradientError: the model cannot be trained exactly; found on made-up records.
    """
    method = _method(plan, encoder)
    model = method.model()
    _verify(plan, method, model)
    data = _labelled(plan, method, rows, checkpoints.path if checkpoints else None)
    run = train(
        model,
        data,
        plan.mechanism,
        plan.learning,
        micro_batch_tokens=_MICRO_BATCH,
        shapes=method.shapes,
        progress=progress,
        checkpoints=checkpoints,
    )
    method.save(model, folder)
    return run


def _labelled(plan: DpClassifierPlan, method: _Head | _Cnn, rows: Rows, folder: Path | None) -> LabelledUnits:
    """The records as the model takes them. What it takes of them lies in `folder`, in a file without a name."""
    codes, units = [np.empty(0, np.int64)], UnitNumbers()

    def examples() -> Iterator[NDArray[Any]]:
        for frame in rows:
            codes.append(class_codes(frame[plan.target].tolist(), plan.classes))
            units.extend(frame["unit"])
            yield method.examples(frame["text"].tolist()).numpy()

    taken = mapped(examples(), method.examples([]).numpy(), folder)
    require_bounded(units.numbers(), plan.max_records)
    return LabelledUnits(method, torch.from_numpy(taken), np.concatenate(codes), units.numbers())


def check_trainable(plan: DpClassifierPlan) -> None:
    """Raise now what training would raise without having seen a row: an encoder or a model that cannot be used."""
    method = _method(plan)
    _verify(plan, method, method.model())


def check(
    contract: Contract,
    plan: DpClassifierPlan,
    made_from: Mapping[str, Made],
    progress: Progress,
    launch: Launch | None = None,
) -> None:
    """As `check_trainable`, for the gate."""
    check_trainable(plan)


def run(contract: Contract, plan: DpClassifierPlan, rows: Rows, ready: None, work: Workspace) -> Ran:
    """Train the release's classifier. Of a public source the vectors of its texts are remembered."""
    public = plan.classifier == "minilm" and contract.privacy.source_is_public
    encoder = public_encoder(plan.max_tokens) if public else None
    checkpoints = CheckpointFolder(work.checkpoints, plan.digest(), plan.former_digests())
    trained = train_with_dp(plan, rows, work.folder / CLASSIFIER, work.progress, checkpoints, encoder)
    facts, mechanism = {"classifier": plan.classifier, "target": plan.target, **plan.figures()}, plan.mechanism
    if not mechanism.is_private:
        return Ran(None, facts=facts)
    return Ran(mechanism.event(trained.steps), mechanism.event_of_replay(trained.attempts), facts)


def _method(plan: DpClassifierPlan, encoder: Encoder | None = None) -> _Head | _Cnn:
    return _Head(plan, encoder) if plan.classifier == "minilm" else _Cnn(plan)


def _verify(plan: DpClassifierPlan, method: _Head | _Cnn, model: nn.Module) -> None:
    """On made-up records: the clipped sum is that of the records one by one, and each contributes the same bits in
    every place and company, at each of the shapes that training uses."""
    codes = [record % len(plan.classes) for record in range(_RANDOM)]
    data = LabelledUnits(method, method.made_up(), codes[:4], [0, 1, 1, 2])
    verify_exactness(model, lambda records: data.losses(model, records), [1, 2, 1])
    for shape in method.shapes:
        examples = method.random(shape.width)
        data = LabelledUnits(method, examples, codes, range(len(examples)))
        verify_own_bits(model, partial(data.losses, model), shape, range(len(examples)))


def _shapes(plan: DpClassifierPlan, longest: int) -> tuple[Shape, ...]:
    """The public shapes of either classifier.

    A micro-batch costs as much time as 1,500 words of the word-CNN before it has any. So there are two widths, and half
    the expected batch may be one micro-batch.
    """
    return public_shapes(longest, _MICRO_BATCH, plan.mechanism.expected_batch_size, eighths=(4, 8), share=2)


class _Head:
    """A linear layer on vectors of the frozen encoder, from zero. A record is one row of the micro-batch."""

    longest = 1

    def __init__(self, plan: DpClassifierPlan, encoder: Encoder | None = None) -> None:
        self._plan = plan
        self._encoder = encoder or apart(encoders.MiniLM(max_tokens=plan.max_tokens))

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return _shapes(self._plan, self.longest)

    def model(self) -> nn.Module:
        linear = nn.Linear(DIMENSION, len(self._plan.classes))
        nn.init.zeros_(linear.weight)
        nn.init.zeros_(linear.bias)
        return linear

    def examples(self, texts: Sequence[str]) -> Tensor:
        """What the model takes of each text, shape (texts, width)."""
        return torch.as_tensor(self._encoder.encode(texts))

    def made_up(self) -> Tensor:
        """Four examples."""
        waves = [torch.sin(torch.arange(1, DIMENSION + 1) * (record + 1.0)) for record in range(4)]
        return torch.stack([wave / wave.norm() for wave in waves])

    def random(self, width: int) -> Tensor:
        """Examples of public randomness, of the one length that there is."""
        drawn = torch.randn(_RANDOM, DIMENSION, generator=torch.Generator().manual_seed(0))
        normed: Tensor = drawn / drawn.norm(dim=1, keepdim=True)
        return normed

    def lengths(self, examples: Tensor) -> list[int]:
        return [1] * len(examples)

    @staticmethod
    def logits(model: Any, examples: Tensor, width: int | None = None) -> Tensor:
        """Scores of rows of `stacked`, shape (rows, classes), each from its own row alone."""
        scores: Tensor = model(examples)
        return scores

    def save(self, model: Any, folder: Path) -> None:
        weights, bias = (parameter.detach().double().numpy() for parameter in (model.weight, model.bias))
        facts = {"plan": self._plan.digest(), "max_tokens": self._plan.max_tokens}
        Head(self._plan.classes, weights, bias, facts).save(folder)


class _Cnn:
    """The word-CNN without dropout, from public first weights. A record is as long as its words."""

    def __init__(self, plan: DpClassifierPlan) -> None:
        self._plan = plan
        words = max(plan.max_tokens, *plan.widths)
        self._shape = CnnShape(plan.buckets, plan.dimension, plan.filters, plan.widths, words)
        self.longest = words

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Those that a record can be computed in: none is shorter than the widest convolution (`lengths`)."""
        return tuple(s for s in _shapes(self._plan, self.longest) if s.width >= max(self._plan.widths))

    def model(self) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._plan.seed)
            return WordCnn(self._shape, len(self._plan.classes))

    def examples(self, texts: Sequence[str]) -> Tensor:
        """What the model takes of each text, shape (texts, width): its words' numbers, then zeros."""
        return self.filled_up(hashed(texts, self._shape))

    def made_up(self) -> Tensor:
        """Four examples of different lengths, the last of one word. They share words."""
        some = min(16, self._shape.buckets)
        return self.filled_up(
            [[1 + (7 * place + 3 * record) % some for place in range(13 - 4 * record)] for record in range(4)]
        )

    def random(self, width: int) -> Tensor:
        """Examples of public randomness, the first of them so many words long."""
        draw = Random(0)
        sizes = (width, *(draw.randint(1, width) for _ in range(_RANDOM - 1)))
        return self.filled_up([[draw.randint(1, self._shape.buckets) for _ in range(size)] for size in sizes])

    def filled_up(self, words: Sequence[Sequence[int]]) -> Tensor:
        """Examples of these words, shape (examples, width)."""
        return padded(words, least=self.longest)[0].int() if words else torch.empty(0, self.longest, dtype=torch.int32)

    def lengths(self, examples: Tensor) -> list[int]:
        words = (examples != 0).sum(dim=1)
        found: list[int] = words.clamp(min=max(self._shape.widths)).tolist()
        return found

    @staticmethod
    def logits(model: Any, examples: Tensor, width: int | None = None) -> Tensor:
        """Scores of rows of `stacked`, shape (rows, classes), computed at that many words or as wide as they are."""
        scores: Tensor = model(examples[:, :width].long())
        return scores

    def save(self, model: Any, folder: Path) -> None:
        Neural("word_cnn", self._plan.classes, model, facts={"plan": self._plan.digest()}).save(folder)
