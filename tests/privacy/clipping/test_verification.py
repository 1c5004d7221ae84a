"""A model or loss whose records touch one another is found on made-up records; an honest one passes unchanged."""

from __future__ import annotations

import pytest
import torch
from models import RECORDS_OF, made
from torch import nn

from dpsynth_assets.privacy.clipping.errors import UnclippedGradientError
from dpsynth_assets.privacy.clipping.verification import verify_exactness

INPUTS = torch.linspace(-1, 1, 5 * 6 * 4).sin().view(5, 6, 4)


@pytest.mark.parametrize("case", ["lora on llama", "full gpt2", "prompt on llama"])
def test_an_honest_model_passes_and_is_left_as_it_was(case):
    model, losses = made(case)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    verify_exactness(model, losses, RECORDS_OF)
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


class Centred(nn.Module):
    """Takes the batch's mean away, as batch normalisation does by another name."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        y = self.layer(x)
        return (y - y.mean(0, keepdim=True) if len(y) > 1 else y).square().sum((1, 2))


class Swapped(nn.Module):
    """Folds the batch with the tokens where both are equally many: no shape tells."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        if len(x) != x.shape[1]:
            return self.layer(x).square().sum((1, 2))
        return self.layer(x.transpose(0, 1)).transpose(0, 1).square().sum((1, 2))


@pytest.mark.parametrize("kind", [Centred, Swapped])
def test_records_that_touch_one_another_are_found(kind):
    model = kind()
    inputs = INPUTS[:, :5]
    with pytest.raises(UnclippedGradientError, match=r"layer\.weight differs"):
        verify_exactness(model, lambda chosen: model(inputs[list(chosen)]), [1, 2, 2])


def test_a_loss_over_the_batch_s_tokens_is_found():
    model, losses = made("lora on llama")
    with pytest.raises(UnclippedGradientError, match="depend on the others"):
        verify_exactness(model, lambda chosen: losses(chosen) / len(chosen), RECORDS_OF)


def test_an_adapter_that_is_not_in_the_model_is_found():
    model, losses = made("lora on llama")
    model.beside = nn.Linear(2, 2)
    with pytest.raises(UnclippedGradientError, match=r"beside\.weight.*no influence"):
        verify_exactness(model, losses, RECORDS_OF)
