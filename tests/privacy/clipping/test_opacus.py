"""Another implementation, layer by layer: Opacus' per-example gradients, clipped and summed by hand."""

from __future__ import annotations

import pytest
import torch
from definition import distance, engine_sum
from opacus.grad_sample import GradSampleHooks
from torch import nn

from dpsynth_assets.privacy.clipping_methods import ROUNDING_MARGIN, FlatClipping

RECORDS = 6


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.out = nn.Embedding(9, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.out(self.table((x[..., 0].abs() * 100).long() % 9))


LAYERS = {
    "linear": lambda: nn.Linear(8, 5),
    "linear without bias": lambda: nn.Linear(8, 5, bias=False),
    "layer norm": lambda: nn.LayerNorm(8),
    "rms norm": lambda: nn.RMSNorm(8),
    "embedding": Tokens,
    "two layers": lambda: nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.LayerNorm(16), nn.Linear(16, 4)),
}


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("layer", LAYERS)
def test_parity_with_opacus(layer):
    torch.manual_seed(0)
    model = LAYERS[layer]()
    inputs = torch.randn(RECORDS, 7, 8)

    def losses(chosen):
        return model(inputs[list(chosen)]).square().sum((1, 2))

    hooks = GradSampleHooks(model, batch_first=True, loss_reduction="sum")
    losses(range(RECORDS)).sum().backward()
    samples = [p.grad_sample.double() for p in model.parameters()]
    hooks.cleanup()
    for parameter in model.parameters():
        parameter.grad = None
    norms = torch.stack([s.flatten(1).norm(dim=1) for s in samples]).norm(dim=0)
    bound = float(norms.median())
    factors = (bound / norms).clamp(max=1.0)
    expected = [torch.tensordot(factors, s, dims=1) for s in samples]
    assert distance(engine_sum(model, losses, [1] * RECORDS, FlatClipping(bound / ROUNDING_MARGIN)), expected) < 1e-5
