"""Checkpoints of a training run: it may be killed at any time, and every step that ever began is known afterwards.

A folder holds two files. `steps-begun` has one byte for each step that began, in this attempt at the run or an earlier
one, each made durable *before* its step reads a row: its size is the number of steps that has to be charged, whatever
was lost. The first byte of each attempt is another one. The state of the last finished interval is `state.pt`, replaced
atomically.

A checkpoint is an output of the mechanism, as private as the steps in it, but it is not the release: it stays where the
sensitive rows are, until the run is committed. What is *not* in it: the sampler's and the noise's generators,
nor the clipped sums that correlated noise remembers: those are sensitive, a checkpoint is not. Replayed steps draw
fresh batches and fresh noise, which is what makes them new steps of the mechanism; the same noise over other rows would
give the rows away. So the steps between the last checkpoint and the kill are run, and must be charged, a
second time: at most `every` of them per kill.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from dpsynth_assets.atomic import replacing, sync_folder

STATE, BEGUN = "state.pt", "steps-begun"
FIRST, LATER = b"|", b"."  # a byte of `steps-begun`: the first step of an attempt, and any other


class CheckpointError(RuntimeError):
    """A checkpoint folder that cannot be used for this run; the message says why and what to do."""


class CheckpointsInUseError(CheckpointError):
    """Another process trains there. What it leaves can be gone on with when it has ended."""


@dataclass(frozen=True)
class CheckpointFolder:
    """Where a run keeps its checkpoints.

    Attributes:
        path: a folder in the sensitive zone, of this run alone; made if need be.
        plan_digest: of the plan that is trained; a folder of another plan is refused.
        former_digests: by which the same plan was known to former versions of this program.
        every: steps from one checkpoint to the next; the most that a kill can cause to be run again.
    """

    path: Path
    plan_digest: str
    former_digests: tuple[str, ...] = ()
    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"a checkpoint every {self.every} steps is none")

    def steps_begun(self) -> int:
        """How many steps have ever begun in this folder. Needs neither the lock nor a state that can be read."""
        file = self.path / BEGUN
        return file.stat().st_size if file.exists() else 0

    def steps_of_attempts(self) -> tuple[int, ...]:
        """How many steps began in each attempt at the run, in order. As `steps_begun`."""
        file = self.path / BEGUN
        before, *attempts = file.read_bytes().split(FIRST) if file.exists() else (b"",)
        return ((len(before),) if before else ()) + tuple(1 + len(later) for later in attempts)

    def steps_saved(self) -> int:
        """How many steps are in the last state saved; 0 where there is none. Raises as `OpenFolder.load` does."""
        with self.open() as folder:
            state = folder.load()
        return int(state["step"]) if state else 0

    def discard(self) -> None:
        """Forgets the run, its count too. Call when the steps are charged and the release is committed."""
        for name in (STATE, BEGUN):
            (self.path / name).unlink(missing_ok=True)

    def open(self) -> OpenFolder:
        """Locks the folder for this process.

        Raises:
            CheckpointsInUseError: another process trains in it.
        """
        return OpenFolder(self)


class OpenFolder:
    """A checkpoint folder while its run trains; the kernel releases the lock when the process dies."""

    def __init__(self, folder: CheckpointFolder) -> None:
        self._folder = folder
        self._next = FIRST
        folder.path.mkdir(parents=True, exist_ok=True)
        self._begun = os.open(folder.path / BEGUN, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._begun, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._begun)
            raise CheckpointsInUseError(f"another process trains in {folder.path}: wait for it or stop it") from None
        sync_folder(folder.path)

    def __enter__(self) -> OpenFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._begun)

    def begin_step(self) -> None:
        """Makes durable that one more step begins. Returns before anything is read for it."""
        os.write(self._begun, self._next)
        os.fsync(self._begun)
        self._next = LATER

    def is_due(self, step: int, steps: int) -> bool:
        """Whether a state is to be saved after `step` of `steps` steps."""
        return step % self._folder.every == 0 or step == steps

    def load(self) -> dict[str, Any] | None:
        """The last state saved, or None.

        Raises:
            CheckpointError: it belongs to another plan, cannot be read, or has more steps than ever began.
        """
        file = self._folder.path / STATE
        if not file.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(file, weights_only=True)
            step, digest = int(state["step"]), state["plan_digest"]
        except Exception as error:  # torn bytes make torch raise anything
            raise CheckpointError(f"{file} cannot be read: charge the steps begun, and train anew elsewhere") from error
        if digest not in (self._folder.plan_digest, *self._folder.former_digests):
            raise CheckpointError(f"{file} belongs to another plan: train in a folder of its own")
        begun = self._folder.steps_begun()
        if step > begun:
            raise CheckpointError(f"{file} has {step} steps where {begun} began: its count was tampered with")
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Replaces the state in one piece: a kill leaves the old one or the new one."""
        with replacing(self._folder.path / STATE, mode=0o600) as file:
            torch.save({**state, "plan_digest": self._folder.plan_digest}, file)
