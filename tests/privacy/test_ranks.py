"""Several processes: the same parameters as one, the declared sampler over all, noise once, and no end in silence."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from scipy import stats

from dpsynth_assets.privacy import training
from dpsynth_assets.privacy.clipping.grid import UNITS
from dpsynth_assets.privacy.plan import DpSgd, Learning
from dpsynth_assets.privacy.ranks import Ranks, shares
from tests.privacy import rank_worker as worker

ROWS = torch.randn(40, 16, generator=torch.Generator().manual_seed(3))


def run(folder, size, mechanisms, how, rows=ROWS, killed_at=0, dealt=None):
    """What each rank wrote down, of each mechanism."""
    folder.mkdir()
    dealt = shares(len(rows), size) if dealt is None else dealt
    mp.spawn(worker.main, (size, str(folder), rows, dealt, mechanisms, how, killed_at), nprocs=size)
    return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(size)]


@pytest.mark.parametrize("size", [2, 3])
def test_ranks_reach_the_parameters_of_one_process(tmp_path, size):
    """To the bit: clipped sums add up exactly, and the lead alone steps."""
    mechanisms = [
        DpSgd(0.9, 1.0, 1.0, expected_batch_size=36, steps=6, clipping_method=method)
        for method in ("flat", "per_layer", "automatic")
    ]
    lead, *others = run(tmp_path / "run", size, mechanisms, "nothing random")
    for place, mechanism in enumerate(mechanisms):
        alone = worker.moved(worker.small_model())
        with worker.nothing_random():
            training.train(alone, worker.Numbers(ROWS), mechanism, Learning(0.1), micro_batch_tokens=16)
        assert lead[place]["parameters"] == worker.parameters_of(alone)
        assert all(each[place]["parameters"] == others[0][place]["parameters"] for each in others)


def test_ranks_in_step_make_as_many_passes_with_unlike_shares(tmp_path):
    """One rank has most units, one has none; what nobody's passes contribute is nothing, to the bit. Batches that are
    drawn are other ones in each step, and so is who makes passes that are nobody's."""
    mechanism = DpSgd(0.9, 1.0, 1.0, expected_batch_size=36, steps=6)
    dealt = [np.arange(9), np.arange(9, 40), np.arange(0)]
    ranks = [each for [each] in run(tmp_path / "run", 3, [mechanism], "nothing random, in step", dealt=dealt)]
    alone = worker.moved(worker.small_model())
    with worker.nothing_random():
        training.train(alone, worker.Numbers(ROWS), mechanism, Learning(0.1), micro_batch_tokens=16)
    assert ranks[0]["parameters"] == worker.parameters_of(alone)
    assert [len(rank["passes"]) for rank in ranks] == [len(ranks[1]["passes"])] * 3
    assert 0 not in ranks[1]["passes"]
    assert set(ranks[2]["passes"]) == {0}

    mechanism = DpSgd(0.4, 1.0, 1.0, expected_batch_size=32, steps=60)  # a rank draws one micro-batch, or a bit more
    how, rows, dealt = "draws observed, in step", torch.ones(80, 16), [np.arange(40), np.arange(40, 80)]
    drawn = [each for [each] in run(tmp_path / "drawn", 2, [mechanism], how, rows, dealt=dealt)]
    assert len(drawn[0]["passes"]) == len(drawn[1]["passes"])
    assert all(0 in rank["passes"] for rank in drawn)


def test_the_union_of_the_ranks_batches_follows_the_declared_sampler(tmp_path):
    """Each unit in each step by a coin of its own: how often, how many at once, and no two ranks alike. With banded
    noise, of one group of units after the other."""
    units, steps, probability = 60, 600, 0.25
    mechanisms = [DpSgd(probability, 1.0, 1.0, 15, steps, num_bands=bands) for bands in (1, 2)]
    lead, other = run(tmp_path / "run", 2, mechanisms, "draws observed", rows=torch.ones(units, 16))
    for place, mechanism in enumerate(mechanisms):
        assert sorted(lead[place]["share"] + other[place]["share"]) == list(range(units))
        bands, included = mechanism.num_bands, np.zeros((2, steps, units))
        for rank, each in enumerate((lead, other)):
            for step, drawn in enumerate(each[place]["drawn"]):
                included[rank, step, drawn] = 1
        union = included.sum(0)
        assert union.max() == 1
        turns, rate = steps // bands, probability * bands  # a unit's group has a turn every `bands` steps
        deviations = (union.sum(0) - turns * rate) / np.sqrt(turns * rate * (1 - rate))
        assert stats.kstest(deviations, "norm").pvalue > 1e-4
        if bands == 1:
            deviations = (union.sum(1) - units * rate) / np.sqrt(units * rate * (1 - rate))
            assert abs(deviations.mean()) < 0.2
            assert 0.85 < deviations.std() < 1.15
        else:
            groups = [set(np.flatnonzero(union[turn::bands].sum(0))) for turn in range(bands)]
            assert not groups[0] & groups[1]
        first, second = (included[rank].sum(1)[::bands] for rank in range(2))
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.25


def test_noise_is_added_once_whatever_the_number_of_ranks(tmp_path):
    """Of data without a gradient the noisy sums are one Gaussian for each parameter."""
    mechanism = DpSgd(1.0, 4.0, 1.0, expected_batch_size=1, steps=1)
    lead, other = run(tmp_path / "run", 2, [mechanism], "draws observed", rows=torch.zeros(2, 16))
    # Of a record of zeros the biases have gradients: bounded by the clip, beside noise of four times that.
    noise = np.array(lead[0]["noisy"]) / 4.0
    assert stats.kstest(noise, "norm").pvalue > 1e-4
    assert 0.9 < noise.std() < 1.1
    assert other[0]["noisy"] == []


def test_a_rank_that_is_killed_ends_the_others(tmp_path):
    """Nobody waits for ever, and nobody goes on with half a batch."""
    mechanism = DpSgd(0.9, 1.0, 1.0, expected_batch_size=36, steps=50)
    with pytest.raises(mp.ProcessExitedException):
        run(tmp_path / "run", 2, [mechanism], "draws observed", killed_at=7)
    assert not list((tmp_path / "run").glob("rank-*.json"))


def test_a_unit_s_rank_is_a_draw_of_its_own():
    dealt = shares(9000, 3)
    assert sorted(np.concatenate(dealt).tolist()) == list(range(9000))
    assert stats.chisquare([len(share) for share in dealt]).pvalue > 1e-6
    rank_of = np.zeros(9000)
    for rank, share in enumerate(dealt):
        rank_of[share] = rank
    assert abs(np.corrcoef(rank_of[:-1], rank_of[1:])[0, 1]) < 0.06


def test_more_units_than_can_be_added_up_exactly_are_refused():
    ranks = Ranks.__new__(Ranks)
    ranks.rank, ranks.size = 0, 4
    ranks.require_exact(UNITS // 4)
    with pytest.raises(OverflowError, match="not be exact"):
        ranks.require_exact(UNITS // 4 + 1)
