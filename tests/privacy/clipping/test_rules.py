"""What has no exact rule is refused by name, and the model is left alone."""

from __future__ import annotations

import pytest
from models import llama, lora, p_tuning
from torch import nn

from dpsynth_assets.privacy.clipping.engine import ClippedSum
from dpsynth_assets.privacy.clipping.errors import UnclippedGradientError
from dpsynth_assets.privacy.clipping_methods import FlatClipping


class Normalised(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.normalise = nn.Linear(4, 4), nn.BatchNorm1d(4)


class Looked(nn.Module):
    """An embedding that renormalises its rows: its gradient depends on which rows the batch holds."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(4, 4, max_norm=1.0)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: lora(llama(), use_dora=True), r"lora_magnitude_vector"),
        (lambda: p_tuning(llama(), "LSTM"), r"lstm_head"),
        (lambda: nn.Sequential(nn.Conv1d(2, 2, 1)), r"no exact rule for 0\.bias, 0\.weight"),
        (lambda: nn.LSTM(2, 2), r"weight_hh"),
        (Looked, r"table\.weight"),
        (Normalised, r"normalise is batch normalisation"),
    ],
    ids=["DoRA", "LSTM encoder", "convolution", "LSTM", "renormalising embedding", "batch normalisation"],
)
def test_refused_by_name(make, said):
    model = make()
    with pytest.raises(UnclippedGradientError, match=said):
        ClippedSum(model, FlatClipping(1.0))
    assert not any("forward" in module.__dict__ for module in model.modules())


def test_a_frozen_layer_of_any_kind_is_none_of_our_business():
    model = nn.Sequential(nn.Conv1d(2, 2, 1).requires_grad_(False), nn.Linear(2, 2))
    ClippedSum(model, FlatClipping(1.0)).close()
