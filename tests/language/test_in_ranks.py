"""What becomes of processes that verify a model before anything is charged."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from dpsynth_assets.language.in_ranks import FAILED, HANDED_OVER, UnfitRanksError, verify_in_ranks


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
