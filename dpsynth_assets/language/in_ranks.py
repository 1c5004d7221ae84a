"""Trains in several processes that somebody else starts: hands them the records, and says what became of them.

What they do together stands in `privacy.ranks`, what each of them does in `language.rank`. This process keeps the grant
and waits.

Each rank's records lie in a file of its own that has no name, in the sensitive zone, and go with the last process that
has it open. The ranks end with this process: each watches a pipe that only this one holds.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile, mkdtemp
from typing import TYPE_CHECKING, Any

from dpsynth_assets.privacy.clipping.errors import UnclippedGradientError
from dpsynth_assets.privacy.ranks import shares
from dpsynth_assets.program import BEGAN_WITH, ProgramChangedError
from dpsynth_assets.releases.release import AwayError
from dpsynth_assets.releases.shortage import shortage_called, shortage_of

if TYPE_CHECKING:
    from dpsynth_assets.language.job import Job
    from dpsynth_assets.language.packed import Packed
    from dpsynth_assets.progress import Progress
    from dpsynth_assets.releases.release import Launch

MODULE = "dpsynth_assets.language.rank"
HANDED_OVER = "DPSYNTH_HANDED_OVER"  # the variable that says where
FAILED = "failed-"  # and the rank: a file with the kind of an error
_MEETING = "ranks-"
# Whole blocks come and go. glibc would keep the holes that they leave, and small things that live longer move in there:
# what was saved by shards would be lost again. From so many bytes on, memory goes back to the system when it is free.
GIVEN_BACK = {"MALLOC_MMAP_THRESHOLD_": str(1 << 20)}
_LOST = "a training process ended before its work was done, as one does that is killed, or that finds no memory."


class RanksLostError(AwayError):
    """Training processes ended without a word, by a kill, say; or they began with other files of this program."""


class UnfitRanksError(RuntimeError):
    """Training processes cannot do what they would be paid for. They have seen no record of anybody, so it says why."""


class RanksFailedError(RuntimeError):
    """A training process ended with an error, which another attempt would end with too."""


def tune_in_ranks(job: Job, records: Packed, launch: Launch, progress: Progress | None) -> bool:
    """Train in other processes (`dpsynth_assets.language.job.tune`); gives whether the first computed in bfloat16.

    Raises:
        RanksLostError: one of them is gone. What was trained up to the last checkpoint is kept.
        RanksFailedError: one of them failed.
        OSError, MemoryError: one of them had no room, which may pass.
    """
    assert job.checkpoints is not None, "a release has a folder for what a kill leaves"
    job.checkpoints.path.mkdir(parents=True, exist_ok=True)
    for left in job.checkpoints.path.glob(f"{_MEETING}*"):
        shutil.rmtree(left, ignore_errors=True)  # a killed run's
    failures, said = _launched(job, records, launch, Path(mkdtemp(prefix=_MEETING, dir=job.checkpoints.path)), progress)
    if ProgramChangedError.__name__ in failures:
        raise RanksLostError("the files of this program were changed while it ran, as by an upgrade")
    _raise(failures)
    if "bfloat16" not in said:
        raise RanksLostError(f"{_LOST} Run the same again: it goes on from the last checkpoint")
    return bool(said["bfloat16"])


def meet_in_ranks(launch: Launch) -> None:
    """Have the processes begin, meet and end, so that what keeps them from that does before anything is charged.

    Raises:
        UnfitRanksError: they cannot meet; it says why.
        OSError, MemoryError: something was short.
    """
    failures, said = _launched(None, None, launch, Path(mkdtemp(prefix=_MEETING)), None)
    _raise_unfit(failures, "could not meet")
    if "met" not in said:
        raise UnfitRanksError(_LOST)


def verify_in_ranks(job: Job, launch: Launch) -> Job:
    """Have the processes do all that comes before training: hold the base model in shards, and verify it on made-up
    records. Needs no record and no folder, so that what fails does before anything is charged.

    Args:
        job: in shards; where its precision is bfloat16, and a record would then have other bits beside other records,
            it is tried in float32.

    Returns:
        The job in the precision that can be had.

    Raises:
        UnfitRanksError: the model cannot be trained by them, or one of them is gone.
        OSError, MemoryError: one of them had no room.
    """
    assert job.in_shards is not None, "this process verifies what is not in shards"
    failures, said = _launched(job, None, launch, Path(mkdtemp(prefix=_MEETING)), None)
    if job.in_shards == "bfloat16" and any(each.startswith(UnclippedGradientError.__name__) for each in failures):
        return verify_in_ranks(replace(job, in_shards="float32"), launch)
    _raise_unfit(failures, "failed on made-up records")
    if "bfloat16" not in said:
        raise UnfitRanksError(_LOST)
    return job


def _launched(
    job: Job | None, records: Packed | None, launch: Launch, meeting: Path, progress: Progress | None
) -> tuple[list[str], dict[str, Any]]:
    """The failures that the processes wrote down, and what the first of them said if all came to their ends. Without a
    job they meet, and no more."""
    said: dict[str, Any] = {}

    def told(message: Mapping[str, Any]) -> None:
        said.update(message)
        if progress is not None and "step" in message:
            progress(int(message["step"]), int(message["steps"]))

    try:
        with _handed_over(job, records, launch.ranks, meeting) as (where, inherited):
            given_back = {} if job is None or job.in_shards is None else GIVEN_BACK
            well = launch(MODULE, {HANDED_OVER: json.dumps(where), **given_back}, inherited, told)
        failures = sorted({file.read_text(encoding="utf-8") for file in meeting.glob(f"{FAILED}*")})
    finally:
        shutil.rmtree(meeting, ignore_errors=True)
    return failures, said if well else {}


def kind_of(error: BaseException) -> str:
    """What may be known of a rank's error: what was short, or its type."""
    return shortage_of(error) or type(error).__name__


def _raise(failures: list[str]) -> None:
    short = [shortage_called(kind) for kind in failures]
    if None in short:
        final = [kind for kind, error in zip(failures, short, strict=True) if error is None]
        raise RanksFailedError(f"training processes failed: {', '.join(final)}. What they said is in the output file")
    for error in filter(None, short):
        raise error


def _raise_unfit(failures: list[str], what: str) -> None:
    """Of processes that have seen no record: what led to a failure stands behind its kind."""
    for failure in failures:
        if (error := shortage_called(failure.partition(":")[0])) is not None:
            raise error
    if failures:
        raise UnfitRanksError(f"training processes {what}: {'; '.join(failures)}")


@contextmanager
def _handed_over(
    job: Job | None, records: Packed | None, ranks: int, meeting: Path
) -> Iterator[tuple[dict[str, Any], list[int]]]:
    """Where the processes find their work, see that this one lives, and meet; and the descriptors that they inherit."""
    with ExitStack() as opened:
        watched, held = os.pipe()
        opened.callback(os.close, held)
        opened.callback(os.close, watched)
        work = []
        dealt = [None] * ranks if records is None else map(records.of_units, shares(records.unit_count, ranks))
        for share in dealt:
            file = opened.enter_context(TemporaryFile(dir=meeting))
            pickle.dump((job, share), file)
            file.seek(0)
            work.append(file.fileno())
        where = {
            "work": work,
            "alive": watched,
            "meeting": str(meeting),
            "verifies": records is None,
            "program": BEGAN_WITH,
        }
        yield where, [*work, watched]
