"""Chunked token losses against torch's: values, gradients, and logits that are not kept."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from dpsynth_assets.privacy.clipping import cross_entropy
from dpsynth_assets.privacy.clipping.cross_entropy import token_losses


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("trains", [False, True])
def test_values_and_gradients_are_those_of_cross_entropy(bias, trains, monkeypatch):
    monkeypatch.setattr(cross_entropy, "_CHUNK", 4)
    torch.manual_seed(0)
    head = nn.Linear(8, 30, bias=bias).requires_grad_(trains)
    hidden, targets, weights = torch.randn(11, 8, requires_grad=True), torch.randint(0, 30, (11,)), torch.rand(11)
    ours = token_losses(head, hidden, targets, [5, 6])
    own = F.cross_entropy(head(hidden), targets, reduction="none")
    torch.testing.assert_close(ours, own)
    wanted = [hidden, *(head.parameters() if trains else ())]
    for a, b in zip(
        torch.autograd.grad((ours * weights).sum(), wanted),
        torch.autograd.grad((own * weights).sum(), wanted),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_a_frozen_head_keeps_nothing_of_the_vocabulary_s_size():
    head = nn.Linear(8, 5000).requires_grad_(False)
    hidden = torch.randn(64, 8, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        token_losses(head, hidden, torch.randint(0, 5000, (64,)), [64]).sum().backward()
    assert max(kept) <= hidden.numel()
