"""The norms that decide the clipping, parameter by parameter, against those of one-by-one backward passes."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from definition import contributions, engine_sum
from models import CASES, RECORDS_OF, classifier, made

from dpsynth_assets.privacy.clipping.cost import Budget
from dpsynth_assets.privacy.clipping_methods import FlatClipping

CUTS = (0, 2, 3)


@dataclass(frozen=True)
class Recorded(FlatClipping):
    """Each parameter a group of its own, whose norms are kept."""

    seen: list = field(default_factory=list)

    def groups(self, names):
        return list(range(len(names)))

    def factors(self, norms):
        self.seen.append(norms)
        return torch.ones_like(norms)


@pytest.fixture(params=["gradients kept", "factors kept", "as the clock says"])
def kept(request, monkeypatch):
    if request.param != "as the clock says":
        monkeypatch.setattr(Budget, "keep_dense", lambda self, outer: request.param == "gradients kept")


def assert_norms(model, losses, expected):
    recorded = Recorded(1.0)
    engine_sum(model, losses, RECORDS_OF, recorded, CUTS)
    norms = torch.cat(recorded.seen, dim=1)
    assert norms.shape == expected.shape
    whole = expected.norm(dim=0)
    assert ((norms.norm(dim=0) - whole).abs() / whole).max() < 1e-5
    assert ((norms - expected).abs() / whole).max() < 1e-5


def norms_one_by_one(model, losses):
    """Shape (parameters, units), float64."""
    return torch.tensor([[float(t.norm()) for t in unit] for unit in contributions(model, losses, RECORDS_OF)]).mT


@pytest.mark.parametrize("case", CASES)
def test_of_every_method_and_layer(case, kept):
    model, losses = made(case)
    assert_norms(model, losses, norms_one_by_one(model, losses))


@pytest.mark.parametrize("kind", ["bert head", "bert full", "gpt2 head", "gpt2 full", "llama head", "llama full"])
def test_of_classifiers(kind, kept):
    model, losses = classifier(kind)
    if kind == "bert full":  # token types come as one row for all records
        model.bert.embeddings.token_type_embeddings.requires_grad_(False)
    assert_norms(model, losses, norms_one_by_one(model, losses))


@pytest.mark.parametrize("case", ["lora on llama", "full gpt2", "full llama, tied"])
def test_of_checkpointed_layers(case, kept):
    model, losses = made(case)
    expected = norms_one_by_one(model, losses)
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    base.activation_checkpointing_enable({"use_reentrant": False})
    assert_norms(model, losses, expected)
