"""What a unit adds to the sum of a DP-trained head is its own, to the bit: the sum moves by that, and by no more than
the clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth_assets.classify import dp_training
from dpsynth_assets.classify.dp_plan import DpClassifierPlan
from dpsynth_assets.classify.dp_training import LabelledUnits, check_trainable
from dpsynth_assets.classify.encoder import DIMENSION
from dpsynth_assets.privacy.clipping.engine import ClippedSum
from dpsynth_assets.privacy.clipping.errors import UnclippedGradientError
from dpsynth_assets.privacy.clipping.grid import fine_grid_of
from dpsynth_assets.privacy.clipping_methods import CLIPPING_METHODS
from dpsynth_assets.privacy.plan import DpSgd, Learning
from dpsynth_assets.privacy.shapes import groups
from dpsynth_assets.privacy.training import add

pytestmark = pytest.mark.slow

CLASSIFIERS = ("minilm", "word_cnn")
CLASSES = ("card", "loan", "other")
WORDS, CLIP, BATCH = 24, 0.01, 8


@dataclass(frozen=True)
class Unit:
    """A unit's records: for each its length in words, its class and what else it says."""

    records: tuple[tuple[int, int, int], ...]


records = st.tuples(st.integers(0, WORDS + 6), st.integers(0, 2), st.integers(0, 40))
somebody = st.lists(records, min_size=1, max_size=4).map(tuple).map(Unit)
many_records = st.builds(lambda count: Unit(((5, 1, 7),) * count), st.integers(60, 300))
everybody = st.lists(somebody, max_size=20) | st.integers(1, 300).map(lambda count: [Unit(((WORDS, 0, 3),))] * count)
few = settings(max_examples=20, deadline=None)


class World:
    """A classifier a little way into its training, and its clipped sums."""

    def __init__(self, classifier: str, clipping: str = "flat") -> None:
        plan = DpClassifierPlan(
            mechanism=DpSgd(0.5, 1.0, CLIP, expected_batch_size=BATCH, steps=1),
            learning=Learning(0.1),
            epsilon=1.0,
            delta=1e-5,
            unit="customer",
            neighbouring_relation="add_or_remove_one_unit",
            max_records=400,
            classifier=classifier,
            target="topic",
            classes=CLASSES,
            max_tokens=WORDS,
            buckets=64,
            dimension=8,
            filters=4,
        )
        # No text is encoded here: `tests.guarantee.test_encoder` is about that.
        self.method = dp_training._method(plan, encoder=object() if classifier == "minilm" else None)
        self.model = self.method.model()
        self.clipping = CLIPPING_METHODS[clipping](CLIP)
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
        self.vectors = torch.randn(64, DIMENSION, generator=generator)
        self.vectors /= self.vectors.norm(dim=1, keepdim=True)

    def example(self, length: int, said: int):
        if isinstance(self.method, dp_training._Cnn):
            return [1 + (said + place * (1 + said % 3)) % 63 for place in range(min(length, WORDS))]
        return self.vectors[(length + said) % 64]

    def stacked(self, examples):
        if self.method.longest > 1:
            return self.method.filled_up(examples)
        return torch.stack(examples) if examples else torch.empty(0, DIMENSION)

    def sums(self, units: list[Unit], *, fine: bool = False) -> list[np.ndarray]:
        """The clipped sum; on a `fine` grid, where a contribution that moves by a last bit shows."""
        rows = [(number, *record) for number, unit in enumerate(units) for record in unit.records]
        data = LabelledUnits(
            self.method,
            self.stacked([self.example(length, said) for _, length, _, said in rows]),
            [code for _, _, code, _ in rows],
            [number for number, *_ in rows],
        )
        with ClippedSum(self.model, self.clipping) as clipped:
            if fine:
                clipped.grid = fine_grid_of(CLIP)
            for group in groups(range(len(units)), data.records_of, data.lengths, self.method.shapes):
                add(clipped, self.model, data, group)
            return [total.numpy() for total in clipped.take()]


@pytest.fixture(scope="module", params=CLASSIFIERS)
def world(request):
    return World(request.param)


def check(world, others, joins):
    """The sum with somebody, less the sum without, is what they add alone: exactly, and within the clip."""
    for fine in (True, False):
        without, with_one, alone = (world.sums(units, fine=fine) for units in (others, [*others, joins], [joins]))
        moved = [more - less for more, less in zip(with_one, without, strict=True)]
        assert all(np.array_equal(part, own) for part, own in zip(moved, alone, strict=True))
    assert np.sqrt(sum((part**2).sum() for part in moved)) <= CLIP
    assert any(part.any() for part in alone)


@few
@given(everybody, somebody)
def test_who_joins_adds_their_own_part_and_changes_no_other(world, others, joins):
    check(world, others, joins)


@settings(max_examples=6, deadline=None)
@given(everybody, many_records)
def test_nor_does_somebody_with_more_records_than_a_micro_batch_holds(world, others, joins):
    check(world, others, joins)


@few
@given(everybody, st.randoms(use_true_random=False))
def test_the_order_of_units_does_not_change_the_sum(world, units, chance):
    mixed = list(units)
    chance.shuffle(mixed)
    assert all(np.array_equal(a, b) for a, b in zip(world.sums(units), world.sums(mixed), strict=True))


@pytest.mark.parametrize("clipping", ["automatic", "per_layer"])
@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_so_it_is_with_every_clipping(classifier, clipping):
    others = [Unit(((place % 20, place % 3, place),)) for place in range(30)]
    check(World(classifier, clipping), others, Unit(((WORDS, 0, 5), (2, 1, 1))))


@pytest.mark.parametrize("worst", [float("nan"), float("inf"), 1e38])
def test_a_record_whose_gradient_is_no_number_adds_nothing_and_spoils_nothing(worst):
    """Such as a network may have for one word that nobody else writes."""
    world = World("word_cnn")
    others = [Unit(((6, place % 3, 3 * place),)) for place in range(30)]
    strange = Unit(((1, 0, 62), (4, 1, 0)))
    with torch.no_grad():
        world.model.embedding.weight[63] = worst
    clean = [unit for unit in others if not any(63 in world.example(n, said) for n, _, said in unit.records)]
    without, with_one = world.sums(clean), world.sums([*clean, strange])
    assert all(np.isfinite(total).all() for total in with_one)
    assert np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(with_one, without, strict=True))) <= CLIP


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_a_network_that_feels_its_neighbours_in_the_last_bit_is_refused_before_a_row_is_read(classifier, monkeypatch):
    """The difference is far below what a comparison up to rounding sees."""
    kind = dp_training._Head if classifier == "minilm" else dp_training._Cnn
    right = kind.logits

    def coupled(model, examples, width=0):
        scores = right(model, examples, width)
        others = scores.detach().sum() - scores.detach().sum(1, keepdim=True)
        return scores * (1 + 1e-6 * others)

    plan = World(classifier).method._plan
    check_trainable(plan)
    monkeypatch.setattr(kind, "logits", staticmethod(coupled))
    with pytest.raises(UnclippedGradientError, match="other bits with other records beside it"):
        check_trainable(plan)


@pytest.mark.parametrize("place", [0, -1])
def test_every_shape_that_training_uses_is_looked_at_before_a_row_is_read(place, monkeypatch):
    plan = World("word_cnn").method._plan
    right, widths = dp_training._Cnn.logits, []

    def coupled(model, examples, width=0):
        scores = right(model, examples, width)
        widths.append(width)
        return scores * (1 + 1e-6 * (width == coupled_at and len({str(each) for each in examples}) > 2))

    coupled_at = None
    monkeypatch.setattr(dp_training._Cnn, "logits", staticmethod(coupled))
    check_trainable(plan)
    shapes = sorted({width for width in widths if width})
    assert len(shapes) > 1
    coupled_at = shapes[place]
    with pytest.raises(UnclippedGradientError, match=f"of {coupled_at} tokens at once"):
        check_trainable(plan)
