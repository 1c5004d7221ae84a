"""Runs that are killed: every step that began is known, what is resumed is the same mechanism with fresh randomness."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from dpsynth_assets.privacy import training
from dpsynth_assets.privacy.checkpoint import BEGUN, STATE, CheckpointError, CheckpointFolder
from dpsynth_assets.privacy.plan import DpSgd, Learning

MECHANISM = DpSgd(1.0, 1.0, 1.0, expected_batch_size=4, steps=7)
LEARNING = Learning(0.01, averaging=0.5, optimiser="adam_noise_corrected")


class Killed(BaseException):
    pass


def run(model, units, folder, kill_after=None, mechanism=MECHANISM):
    done = []

    def progress(step, total):
        done.append(step)
        if len(done) == kill_after:
            raise Killed

    result = training.train(
        model, units, mechanism, LEARNING, micro_batch_tokens=200, progress=progress, checkpoints=folder
    )
    return result, done


def test_steps_lost_to_a_kill_are_run_again_and_counted(adapted, units, tmp_path):
    folder = CheckpointFolder(tmp_path, "digest", every=2)
    with pytest.raises(Killed):
        run(copy.deepcopy(adapted), units, folder, kill_after=3)
    assert folder.steps_begun() == 3
    with pytest.raises(Killed):
        run(copy.deepcopy(adapted), units, folder, kill_after=3)
    result, done = run(adapted, units, folder)
    assert done == [5, 6, 7]
    assert result.steps == 7
    assert result.attempts == folder.steps_of_attempts() == (3, 3, 3)
    assert result.steps_run_in_all == folder.steps_begun() == 3 + 3 + 3
    assert sum(result.attempts) - result.steps == 2
    assert MECHANISM.event_of_replay(result.attempts) == MECHANISM.event(2)


def test_a_finished_run_is_not_run_again(adapted, units, tmp_path):
    folder = CheckpointFolder(tmp_path, "digest", every=3)
    run(adapted, units, folder)
    trained = [p.detach().clone() for p in adapted.parameters() if p.requires_grad]
    other = copy.deepcopy(adapted)
    result, done = run(other, units, folder)
    assert done == []
    assert sum(result.attempts) - result.steps == 0
    for now, then in zip((p for p in other.parameters() if p.requires_grad), trained, strict=True):
        torch.testing.assert_close(now.detach(), then)  # averages included


def test_a_resumed_run_without_noise_ends_where_an_unbroken_one_does(adapted, units, tmp_path):
    """With everybody sampled and no noise a run is deterministic: state, moments and average must all be restored."""
    quiet = DpSgd(1.0, 0.0, 1.0, expected_batch_size=4, steps=7)
    whole, broken = copy.deepcopy(adapted), copy.deepcopy(adapted)
    run(whole, units, None, mechanism=quiet)
    folder = CheckpointFolder(tmp_path, "digest", every=2)
    with pytest.raises(Killed):
        run(broken, units, folder, kill_after=5, mechanism=quiet)
    fresh = copy.deepcopy(adapted)
    run(fresh, units, folder, mechanism=quiet)
    for a, b in zip(whole.parameters(), fresh.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_replayed_steps_draw_fresh_noise(adapted, units, tmp_path):
    """Twice from the same checkpoint: the same rows, other parameters."""
    folder = CheckpointFolder(tmp_path, "digest", every=6)
    with pytest.raises(Killed):
        run(copy.deepcopy(adapted), units, folder, kill_after=6)
    saved = (tmp_path / STATE).read_bytes()
    ends = []
    for _ in range(2):
        (tmp_path / STATE).write_bytes(saved)
        model = copy.deepcopy(adapted)
        run(model, units, folder)
        ends.append(torch.cat([p.detach().flatten() for p in model.parameters() if p.requires_grad]))
    assert not torch.equal(*ends)


def test_no_generator_s_state_is_kept(adapted, units, tmp_path):
    folder = CheckpointFolder(tmp_path, "digest", every=7)
    run(adapted, units, folder)
    state = torch.load(tmp_path / STATE, weights_only=True)
    assert set(state) == {"step", "initial", "parameters", "optimiser", "average", "plan_digest"}


def test_a_life_with_bands_has_groups_noise_and_charge_of_its_own(adapted, units, tmp_path, monkeypatch):
    banded = replace(MECHANISM, sampling_probability=0.25, num_bands=3)
    made = []

    class Watched(training.BandedNoise):
        def __init__(self, *constants):
            super().__init__(*constants)
            self.steps = 0
            made.append(self)

        def add_(self, sums):
            super().add_(sums)
            self.steps += 1

    monkeypatch.setattr(training, "BandedNoise", Watched)
    folder = CheckpointFolder(tmp_path, "digest", every=2)
    with pytest.raises(Killed):
        run(copy.deepcopy(adapted), units, folder, kill_after=3, mechanism=banded)
    result, done = run(adapted, units, folder, mechanism=banded)
    assert done == [3, 4, 5, 6, 7]
    assert [noise.steps for noise in made] == [3, 5]
    assert result.attempts == (3, 5)
    assert banded.event().steps == 3  # of 7 steps
    assert banded.event_of_replay(result.attempts) is None  # 1 and 2
    assert banded.event_of_replay((4, 4)).steps == 1  # 2 and 2
    state = torch.load(tmp_path / STATE, weights_only=True)
    assert set(state) == {"step", "initial", "parameters", "optimiser", "average", "plan_digest"}  # no sums


def test_folders_that_cannot_be_this_run_s_are_refused(adapted, units, tmp_path):
    folder = CheckpointFolder(tmp_path, "digest", every=2)
    run(copy.deepcopy(adapted), units, folder)
    with pytest.raises(CheckpointError, match="another plan"):
        run(adapted, units, replace(folder, plan_digest="other"))
    (tmp_path / BEGUN).write_bytes(b".")
    with pytest.raises(CheckpointError, match="tampered"):
        run(adapted, units, folder)
    (tmp_path / STATE).write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match="cannot be read"):
        run(adapted, units, folder)
    with folder.open(), pytest.raises(CheckpointError, match="another process"):
        run(adapted, units, folder)
    folder.discard()
    assert folder.steps_begun() == 0


KILLED_BY_FORCE = """
import os, signal, sys
from pathlib import Path
from dpsynth_assets.privacy.checkpoint import CheckpointFolder
with CheckpointFolder(Path(sys.argv[1]), "digest").open() as folder:
    for step in range(5):
        folder.begin_step()
        folder.save({"step": step})
    folder.begin_step()
    (Path(sys.argv[1]) / ".state.pt.0.tmp").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_sigkill_loses_no_count_and_no_state(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED_BY_FORCE, str(tmp_path)], env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL
    folder = CheckpointFolder(tmp_path, "digest")
    assert folder.steps_begun() == 6
    with folder.open() as again:
        assert again.load()["step"] == 4
