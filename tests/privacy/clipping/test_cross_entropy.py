"""Chunked token losses against torch's: values, gradients, and logits that are not kept."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from dpsynth_assets.privacy.clipping import cross_entropy
from dpsynth_assets.privacy.clipping.cross_entropy import chunks, token_losses


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("trains", [False, True])
def test_values_and_gradients_are_those_of_cross_entropy(bias, trains, monkeypatch):
    monkeypatch.setattr(cross_entropy, "_CHUNK", 4)
    torch.manual_seed(0)
    head = nn.Linear(8, 30, bias=bias).requires_grad_(trains)
    hidden, targets, weights = torch.randn(3, 5, 8, requires_grad=True), torch.randint(0, 30, (3, 5)), torch.rand(3, 5)
    counted = torch.rand(3, 5) < 0.7
    ours = token_losses(head, hidden, targets, counted)
    own = F.cross_entropy(head(hidden).flatten(0, 1), targets.flatten(), reduction="none").view(3, 5) * counted
    torch.testing.assert_close(ours, own)
    wanted = [hidden, *(head.parameters() if trains else ())]
    for a, b in zip(
        torch.autograd.grad((ours * weights).sum(), wanted),
        torch.autograd.grad((own * weights).sum(), wanted),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_a_target_that_is_all_but_impossible_has_the_loss_of_cross_entropy():
    head = nn.Linear(3, 3, bias=False).requires_grad_(False)
    head.weight.copy_(torch.eye(3))
    hidden, targets = torch.tensor([[[300.0, 0.0, -300.0]]], requires_grad=True), torch.tensor([[2]])
    losses = token_losses(head, hidden, targets, torch.ones(1, 1, dtype=torch.bool))
    assert losses.item() == 600.0  # a probability of exp(-600) is 0 in float32
    (gradient,) = torch.autograd.grad(losses.sum(), hidden)
    assert gradient.tolist() == [[[1.0, 0.0, -1.0]]]


def test_a_frozen_head_keeps_nothing_of_the_vocabulary_s_size():
    head = nn.Linear(8, 5000).requires_grad_(False)
    hidden = torch.randn(2, 32, 8, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        token_losses(
            head, hidden, torch.randint(0, 5000, (2, 32)), torch.ones(2, 32, dtype=torch.bool)
        ).sum().backward()
    assert max(kept) <= hidden.numel()


@pytest.mark.parametrize(
    ("rows", "tokens"), [(16, 64), (12, 100), (7, 30), (10, 64), (7, 64), (3, 300), (1, 1), (4, 1000)]
)
def test_chunks_are_cut_at_the_same_places_of_every_row(rows, tokens):
    cut = chunks(rows, tokens)
    places = [place for chunk in cut for place in range(chunk.start, chunk.stop)]
    assert places == list(range(rows * tokens))
    assert max(chunk.stop - chunk.start for chunk in cut) <= cross_entropy._CHUNK
    if tokens <= cross_entropy._CHUNK:
        assert len({chunk.stop - chunk.start for chunk in cut}) == 1
        assert all(chunk.start % tokens == 0 for chunk in cut)
    else:
        inside = [
            [(c.start - row * tokens, c.stop - row * tokens) for c in cut if c.start // tokens == row]
            for row in range(rows)
        ]
        assert all(places == inside[0] for places in inside)


@pytest.mark.parametrize(("rows", "tokens"), [(10, 64), (7, 50), (2, 300)])
def test_every_product_is_one_of_the_chunks(rows, tokens, monkeypatch):
    heights, linear = [], F.linear

    def seen(inputs, *others):
        heights.append(len(inputs))
        return linear(inputs, *others)

    monkeypatch.setattr(cross_entropy.F, "linear", seen)
    head = nn.Linear(4, 9).requires_grad_(False)
    targets = torch.zeros(rows, tokens, dtype=torch.long)
    token_losses(head, torch.randn(rows, tokens, 4, requires_grad=True), targets, torch.ones_like(targets).bool())
    assert heights == [chunk.stop - chunk.start for chunk in chunks(rows, tokens)]
