"""What becomes of processes that verify a model before anything is charged."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from dpsynth_assets.language.in_ranks import (
    FAILED,
    HANDED_OVER,
    RanksLostError,
    UnfitRanksError,
    meet_in_ranks,
    tune_in_ranks,
    verify_in_ranks,
)


class Failing:
    """Starts nobody: one rank has written down what it failed of."""

    ranks, sharded = 2, True

    def __init__(self, said: str) -> None:
        self._said = said

    def __call__(self, module, environment, inherited, told):
        meeting = Path(json.loads(environment[HANDED_OVER])["meeting"])
        (meeting / f"{FAILED}1").write_text(self._said, encoding="utf-8")
        return False


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("MemoryError: ", MemoryError),
        ("ENOSPC: [Errno 28] No space left on device", OSError),
        ("ValueError: the weights are odd", UnfitRanksError),
    ],
)
def test_no_room_is_told_from_what_would_come_again(said, error):
    with pytest.raises(error) as raised:
        verify_in_ranks(SimpleNamespace(in_shards="float32"), Failing(said))
    if error is OSError:
        assert raised.value.errno == errno.ENOSPC
    if error is UnfitRanksError:
        assert "the weights are odd" in str(raised.value)


@pytest.mark.parametrize(("said", "error"), [("EAGAIN: no", BlockingIOError), ("OSError: no lo", UnfitRanksError)])
def test_what_keeps_them_from_meeting_is_told_apart_too(said, error):
    with pytest.raises(error):
        meet_in_ranks(Failing(said))


def test_a_charge_is_kept_where_ranks_began_with_other_files(tmp_path):
    """An upgrade between the trial and the training: the same run goes on in a process that has one version."""
    job = SimpleNamespace(in_shards="float32", checkpoints=SimpleNamespace(path=tmp_path / "kept"))
    with pytest.raises(RanksLostError, match="files of this program were changed"):
        tune_in_ranks(job, None, Failing("ProgramChangedError"), None)
