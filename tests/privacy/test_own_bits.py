"""|S(D + u) - S(D)| <= C for the sums as computed: a unit's contribution has the same bits whoever else is there."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from dpsynth_assets.language.objective import Encoded
from dpsynth_assets.language.packed import Packed
from dpsynth_assets.language.trainable import attach_adapter
from dpsynth_assets.language.units import TextUnits
from dpsynth_assets.privacy.clipping.engine import ClippedSum
from dpsynth_assets.privacy.clipping.errors import UnclippedGradientError
from dpsynth_assets.privacy.clipping.verification import verify_own_bits
from dpsynth_assets.privacy.clipping_methods import CLIPPING_METHODS
from dpsynth_assets.privacy.shapes import Shape, groups, public_shapes
from dpsynth_assets.privacy.training import add

pytestmark = pytest.mark.slow

CLIP, LONGEST, PREFIX, PROMPT = 0.5, 40, 3, 6


def model_of(method):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=64,
        intermediate_size=172,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=True,
    )
    plan = SimpleNamespace(method=method, rank=4, alpha=8.0, prompt_tokens=PROMPT)
    model = attach_adapter(LlamaForCausalLM(config), plan).train()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad and method != "full":
                parameter.add_(torch.randn_like(parameter), alpha=0.02)
    return model


def record(rng, length):
    return Encoded(tuple(rng.randrange(3, 300) for _ in range(length)), PREFIX)


def population(kind, count=60):
    """Records and their units. The last unit, one long record, is the one that joins."""
    rng = random.Random(0)
    if kind == "same":
        records, owners = [record(rng, LONGEST)] * count, list(range(count))
    elif kind == "short":
        records, owners = [record(rng, 6)] * count, list(range(count))
    else:
        records = [record(rng, 4 + 5 * i % 37) for i in range(count)]
        owners = list(range(count)) if kind == "mixed" else [min(i // 3, 10) for i in range(count)]  # the last has 30
    return [*records, record(rng, LONGEST)], [*owners, "joins"]


def data_of(kind, method, bfloat16=False):
    virtual = PROMPT if method == "prompt" else 0
    return TextUnits(Packed.of(*population(kind)), 0, virtual, longest=LONGEST, prefix=PREFIX, bfloat16=bfloat16)


def clipped_sum(model, data, units, strategy="flat", tokens=320):
    shapes = public_shapes(data.longest, tokens, 64)
    with ClippedSum(model, CLIPPING_METHODS[strategy](CLIP)) as clipped:
        for group in groups(units, data.records_of, data.lengths, shapes):
            add(clipped, model, data, group)
        return torch.cat([total.flatten() for total in clipped.take()])


@pytest.mark.parametrize("bfloat16", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["same", "short", "mixed", "several records"])
@pytest.mark.parametrize(
    ("method", "strategy"), [("lora", "per_layer"), ("lora", "automatic"), ("prompt", "flat"), ("full", "flat")]
)
def test_who_joins_moves_the_sum_by_the_own_contribution_and_no_more_than_the_clip(method, strategy, kind, bfloat16):
    model, data = model_of(method), data_of(kind, method, bfloat16)
    everybody = list(range(len(data.records_of)))
    with_ = clipped_sum(model, data, everybody, strategy)
    without = clipped_sum(model, data, everybody[:-1], strategy)
    own = clipped_sum(model, data, everybody[-1:], strategy)
    assert torch.equal(with_ - without, own)
    assert 0.1 * CLIP < float(own.norm()) <= CLIP


@pytest.mark.parametrize("method", ["lora", "prompt", "full"])
@pytest.mark.parametrize("kind", ["mixed", "several records"])
def test_the_sum_is_that_of_its_units_one_by_one_in_any_order(method, kind):
    model, data = model_of(method), data_of(kind, method)
    everybody = list(range(len(data.records_of)))
    total = clipped_sum(model, data, everybody)
    random.Random(1).shuffle(everybody)
    assert torch.equal(total, clipped_sum(model, data, everybody))
    each = [clipped_sum(model, data, [unit]) for unit in everybody]
    assert torch.equal(total, sum(each))
    assert all(float(one.norm()) <= CLIP for one in each)


def test_a_unit_with_more_records_than_rows_is_clipped_as_one():
    """In several passes the same gradient as in one, but for rounding."""
    model, data = model_of("lora"), data_of("several records", "lora")
    largest = max(range(len(data.records_of)), key=lambda unit: len(data.records_of[unit]))
    assert len(data.records_of[largest]) == 30
    in_passes = clipped_sum(model, data, [largest], tokens=160)
    in_one = clipped_sum_in(Shape(40, 64), model, data, [largest])
    assert float((in_passes - in_one).norm()) < 1e-4 * CLIP
    assert float(in_passes.norm()) <= CLIP


def clipped_sum_in(shape, model, data, units):
    with ClippedSum(model, CLIPPING_METHODS["flat"](CLIP)) as clipped:
        for group in groups(units, data.records_of, data.lengths, [shape]):
            add(clipped, model, data, group)
        return torch.cat([total.flatten() for total in clipped.take()])


def test_made_up_rows_contribute_exactly_nothing():
    """Whatever their loss is, and though one is no number."""
    model, data = model_of("full"), data_of("mixed", "full")
    with ClippedSum(model, CLIPPING_METHODS["flat"](CLIP)) as clipped:
        sums = []
        for made_up in ([], [5, 6], [7]):
            losses = data.losses(model, [0, 1, *made_up], Shape(40, 4))
            if made_up == [7]:
                losses = losses * torch.tensor([1.0, 1.0, torch.nan, 1.0])
            clipped.add(losses, [1, 1])
            sums.append(torch.cat([total.flatten() for total in clipped.take()]))
    assert torch.equal(sums[0], sums[1])
    assert torch.equal(sums[0], sums[2])


def test_a_unit_whose_gradient_is_no_number_leaves_the_others_as_they_are():
    model, data = model_of("full"), data_of("mixed", "full")
    weights = torch.tensor([1.0, torch.inf, 1.0, 1.0])
    with ClippedSum(model, CLIPPING_METHODS["flat"](CLIP)) as clipped:
        clipped.add(data.losses(model, [0, 1, 2], Shape(40, 4)) * weights, [1, 1, 1])
        with_ = clipped.take()
        clipped.add(data.losses(model, [0, 2], Shape(40, 4)), [1, 1])
        without = clipped.take()
    assert all(torch.equal(a, b) for a, b in zip(with_, without, strict=True))


class ByNeighbours(nn.Module):
    """A layer whose rounding depends on the other rows, by far less than a check of exactness would see."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x) * (1 + 1e-6 * float(x[1:].detach().mean() > x[:1].detach().mean()))


class ByPlace(ByNeighbours):
    def forward(self, x):
        return self.layer(x) * (1 + 2.0**-22 * (torch.arange(len(x)) > 1).view(-1, 1, 1))


def made_up_losses(model):
    rng = random.Random(3)
    data = TextUnits(Packed.of(record(rng, n) for n in (40, 4, 22)), 0, longest=40, prefix=PREFIX)
    return lambda records, shape: data.losses(model, records, shape)


@pytest.mark.parametrize("kind", [ByNeighbours, ByPlace])
def test_a_model_that_rounds_a_record_by_what_stands_beside_it_is_refused(kind):
    model = model_of("lora")
    verify_own_bits(model, made_up_losses(model), Shape(40, 8), [0, 1, 2])
    block = model.base_model.model.model.layers[0]
    block.mlp = kind(block.mlp)
    with pytest.raises(UnclippedGradientError, match="other bits with other records beside it"):
        verify_own_bits(model, made_up_losses(model), Shape(40, 8), [0, 1, 2])


@pytest.mark.parametrize(("row", "record"), [(1, 0), (0, 2), (5, 1), (7, 2)])
def test_the_check_puts_every_record_into_every_row(row, record):
    model = model_of("lora")
    honest = made_up_losses(model)

    def coarse(records, shape):
        factors = torch.ones(shape.rows)
        if len(records) > 1 and records[row] == record:
            factors[row] += 2.0**-20
        return honest(records, shape) * factors

    with pytest.raises(UnclippedGradientError, match="other bits with other records beside it"):
        verify_own_bits(model, coarse, Shape(40, 8), [0, 1, 2])


def test_the_check_puts_a_record_beside_itself_alone():
    """Where nothing is padded some models take another way, for all."""
    model = model_of("lora")
    honest = made_up_losses(model)

    def coarse(records, shape):
        return honest(records, shape) * (1 + 2.0**-20 * (list(records) == [0] * shape.rows))

    with pytest.raises(UnclippedGradientError, match="other bits with other records beside it"):
        verify_own_bits(model, coarse, Shape(40, 8), [0, 1, 2])


def test_the_check_sees_what_training_s_grid_would_cut_off():
    model, values = nn.Linear(1, 1, bias=False), torch.tensor([[0.3], [0.2], [0.1]])

    def losses(records, shape, factor=1.0):
        x = torch.zeros(shape.rows, 1)
        x[: len(records)] = values[list(records)]
        beside = torch.where(torch.arange(shape.rows) > 0, factor, 1.0)
        return model(x)[:, 0] * beside

    verify_own_bits(model, losses, Shape(1, 8), [0, 1, 2])
    with pytest.raises(UnclippedGradientError, match="other bits with other records beside it"):
        verify_own_bits(model, lambda *asked: losses(*asked, factor=1 + 2.0**-22), Shape(1, 8), [0, 1, 2])


def test_the_check_leaves_the_model_as_it_was():
    model = model_of("full")
    before = [parameter.detach().clone() for parameter in model.parameters()]
    verify_own_bits(model, made_up_losses(model), Shape(40, 4), [0, 1, 2])
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
