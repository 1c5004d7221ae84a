"""Classifiers that are trained by gradient descent on *synthetic* texts: one loop, one way of storing them.

A network says how a text becomes numbers and numbers become scores (`TextNetwork`); everything else is shared: classes
that weigh alike, a part of the synthetic rows held out to stop early and to set the temperature, the same result for
the same rows and seed. Nothing here is for sensitive rows: early stopping and temperature look at the loss.
`dpsynth_assets.classify.dp_training` trains one of these networks with DP-SGD instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from safetensors.torch import load, save
from scipy.special import softmax
from torch.nn.functional import cross_entropy

from dpsynth_assets.classify import storage
from dpsynth_assets.classify.errors import ClassifierError
from dpsynth_assets.classify.holdout import (
    class_codes,
    class_targets,
    class_weights,
    present_classes,
    split,
    temperature,
)
from dpsynth_assets.classify.training_rows import TrainingSet
from dpsynth_assets.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor, nn

HELD_OUT = 0.1  # share of the synthetic rows that training never sees
_PREDICT_AT_ONCE = 64


class TextNetwork(Protocol):
    """What a network of texts offers, beside being an nn.Module."""

    def prepare(self, texts: Sequence[str]) -> list[list[int]]:
        """Each text as numbers, no more of them than the network's bound."""

    def logits(self, prepared: Sequence[Sequence[int]]) -> Tensor:
        """Scores, shape (texts, classes); each text's depend on that text only."""

    def about(self) -> Mapping[str, Any]:
        """What is needed, beside the weights, to build the network again; plain values."""


@dataclass(frozen=True)
class Schedule:
    """How long is trained, and how fast. Public constants.

    Attributes:
        learning_rate: AdamW's, at its peak: a linear warm-up over a tenth of the steps, then linearly down to zero.
        epochs: at most so many passes over the rows.
        max_steps: at most so many steps, however many rows there are: the bound on time.
        patience: looks at the held-out rows without a better loss before training stops. There is a look after every
            pass, and at least ten in `max_steps`.
    """

    learning_rate: float
    batch_size: int
    epochs: int
    max_steps: int
    patience: int
    weight_decay: float = 0.01


@dataclass(frozen=True, eq=False)
class Neural:
    """A trained network with its classes. One without a training row is never predicted."""

    kind: str
    classes: tuple[str, ...]
    network: Any
    temperature: float = 1.0
    facts: Mapping[str, Any] = field(default_factory=dict)

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        """One row per text, one column per class."""
        scores = _scores(self.network, self.network.prepare(texts), len(self.classes)) / self.temperature
        without = [self.classes.index(name) for name in self.facts.get("classes_without_rows", ())]
        scores[:, without] = -np.inf
        return np.asarray(softmax(scores, axis=1))

    def save(self, folder: Path) -> None:
        """Write it to a folder (see `dpsynth_assets.classify.storage`)."""
        about = {
            "kind": self.kind,
            "classes": list(self.classes),
            "network": dict(self.network.about()),
            "temperature": self.temperature,
            "facts": dict(self.facts),
        }
        storage.save(folder, save({k: v.contiguous() for k, v in self.network.state_dict().items()}), about)

    @classmethod
    def load(cls, folder: Path, build: Callable[[Mapping[str, Any], int], nn.Module]) -> Neural:
        """Read it back; `build` makes the network from what `about` said and the number of classes."""
        weights, about = storage.load(folder)
        network = build(about["network"], len(about["classes"]))
        network.load_state_dict(load(weights))
        return cls(about["kind"], tuple(about["classes"]), network.eval(), about["temperature"], about["facts"])


def train_network(
    kind: str,
    build: Callable[[np.ndarray], nn.Module],
    training_set: TrainingSet,
    seed: int,
    schedule: Schedule,
    *,
    progress: Progress | None = None,
    provenance: Mapping[str, str] | None = None,
) -> Neural:
    """Train what `build` makes on a training set of synthetic texts, some of which are held out.

    `build` is called with the numbers of the rows to train on (a network may start from something that was fitted to
    them), under the seed. What comes out is the network at its best look at the held-out rows, the start included.

    Raises:
        ClassifierError: the rows cannot train a classifier.
    """
    classes = training_set.classes
    codes = class_codes(training_set.labels, classes)
    present_classes(codes, classes)
    rows, held_out = split(codes, HELD_OUT, seed)
    if not len(held_out):
        raise ClassifierError(f"{len(codes)} rows leave none to validate on; generate more rows")
    beside = training_set.beside(rows, held_out, seed)
    own_targets = class_targets(codes, len(classes), training_set.targets)
    wanted = np.concatenate([own_targets[rows], class_targets(class_codes(beside.labels, classes), len(classes))])
    weights = class_weights(wanted)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: Any = build(rows)
        prepared = network.prepare(training_set.texts)
        train = [*(prepared[row] for row in rows), *network.prepare(beside.texts)], torch.as_tensor(wanted).float()
        judge = [prepared[row] for row in held_out], own_targets[held_out]
        steps, loss = _fit(network, train, judge, torch.as_tensor(weights).float(), schedule, progress)
    best_temperature = temperature(_scores(network, judge[0], len(classes)), judge[1])
    facts = {
        "rows": len(codes),
        "rows_beside": len(beside),
        "held_out_rows": len(held_out),
        "seed": seed,
        "steps": steps,
        "held_out_loss": loss,
        "classes_without_rows": [name for i, name in enumerate(classes) if not wanted[:, i].any() and i not in codes],
        "provenance": dict(provenance or {}),
    }
    return Neural(kind, tuple(classes), network.eval(), best_temperature, facts)


def _fit(
    network: Any,
    train: tuple[list[list[int]], Tensor],
    judge: tuple[list[list[int]], np.ndarray],
    weights: Tensor,
    schedule: Schedule,
    progress: Progress | None,
) -> tuple[int, float]:
    """Trains in place; the steps of the state that is kept, and its loss on the held-out rows."""
    examples, wanted = train
    per_epoch = -(-len(examples) // schedule.batch_size)
    steps = min(schedule.epochs * per_epoch, schedule.max_steps)
    look_every = min(per_epoch, max(1, schedule.max_steps // 10))
    warm_up = max(1, steps // 10)
    optimiser = torch.optim.AdamW(network.parameters(), schedule.learning_rate, weight_decay=schedule.weight_decay)
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / warm_up, (steps - step) / max(1, steps - warm_up))
    )
    best = (0, _loss(network, judge, weights), _copy(network))
    bad_looks = 0
    order = torch.empty(0, dtype=torch.long)
    for step in range(1, steps + 1):
        if not len(order):
            order = torch.randperm(len(examples))
        chosen, order = order[: schedule.batch_size], order[schedule.batch_size :]
        network.train()
        logits = network.logits([examples[row] for row in chosen.tolist()])
        loss = _cross_entropy(logits, wanted[chosen], weights)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        rate.step()
        if progress is not None:
            progress(step, steps)
        if step % look_every == 0 or step == steps:
            held_out = _loss(network, judge, weights)
            bad_looks = 0 if held_out < best[1] else bad_looks + 1
            if held_out < best[1]:
                best = (step, held_out, _copy(network))
            if bad_looks >= schedule.patience:
                break
    network.load_state_dict(best[2])
    return best[:2]


def _loss(network: Any, judge: tuple[list[list[int]], np.ndarray], weights: Tensor) -> float:
    """Mean loss on held-out rows, weighted as in training."""
    examples, wanted = judge
    scores = torch.as_tensor(_scores(network, examples, len(weights)))
    return float(_cross_entropy(scores, torch.as_tensor(wanted), weights.double()))


def _cross_entropy(logits: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
    """Over the rows' weight, not their number: of certain targets that is the usual weighted mean."""
    return cross_entropy(logits, wanted, weights, reduction="sum") / (wanted @ weights).sum()


def _scores(network: Any, prepared: Sequence[list[int]], classes: int) -> np.ndarray:
    """Scores without dropout, float64, shape (texts, classes). Neighbours in length share a batch."""
    order = sorted(range(len(prepared)), key=lambda i: len(prepared[i]), reverse=True)
    scores = np.empty((len(prepared), classes))
    network.eval()
    with torch.inference_mode():
        for start in range(0, len(order), _PREDICT_AT_ONCE):
            rows = order[start : start + _PREDICT_AT_ONCE]
            scores[rows] = network.logits([prepared[i] for i in rows]).double().numpy()
    return scores


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
