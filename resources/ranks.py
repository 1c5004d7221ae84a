"""Starts the processes of one release on this machine and waits for them, within a Dagster Pipes session.

How many is the deployment's business: no contract and no run config says it. Knows no platform: what the processes do
is the module's that they are started with.

What they say passes as custom messages, and nothing else of what Pipes can carry: an error or a log line may quote what
they compute with. What they print goes where this process's own output goes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import dagster as dg
from dagster._core.pipes.context import PipesMessageHandler
from dagster_pipes import PipesMessage, PipesParams

from resources.deployed import OfDeployment

RANKS = "DPSYNTH_RANKS"
SHARDED = "DPSYNTH_SHARDED"
_LOOK = 0.2  # seconds between two looks at the processes
_PASSED = ("opened", "closed")

Told = Callable[[Mapping[str, Any]], None]


class RanksError(ValueError):
    """The deployment's settings cannot be used; the message says which, and what to write."""


@dataclass(frozen=True)
class Launcher:
    """Starts one step's processes.

    Attributes:
        ranks: how many.
        sharded: whether they divide among them what is public and too large for one of them.
    """

    context: dg.OpExecutionContext
    ranks: int
    sharded: bool = False

    def __call__(self, module: str, environment: Mapping[str, str], inherited: Sequence[int], told: Told) -> bool:
        """Run `python -P -m module` as often as there are ranks; gives whether all ended well. Where one does not, the
        others are ended.

        Args:
            environment: added to this process's own; each also has its `RANK`, and `WORLD_SIZE`.
            inherited: descriptors of this process that they have too, under the same numbers.
            told: what the first of them says, while it runs.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.PreviewWarning)  # of a part of Pipes that is not used here
            reader = _OnlyMessages(told)
            context = dg.PipesEnvContextInjector()  # a kill leaves no file of it
            with dg.open_pipes_session(self.context, context, reader) as session:
                threads = str(max(1, (os.cpu_count() or 1) // self.ranks))  # unless somebody has said how many
                own = {"OMP_NUM_THREADS": threads, **os.environ, **environment, "WORLD_SIZE": str(self.ranks)}
                pipes = session.get_bootstrap_env_vars()
                started: list[subprocess.Popen[bytes]] = []
                try:
                    for rank in range(self.ranks):
                        started.append(
                            subprocess.Popen(
                                [sys.executable, "-P", "-m", module],  # nothing from the working directory
                                env={**own, "RANK": str(rank), **(pipes if rank == 0 else {})},
                                pass_fds=inherited,
                                start_new_session=True,  # Ctrl-C reaches this process, which decides
                            )
                        )
                    return _all_end_well(started)
                finally:
                    _end(started)


class RankLauncher(OfDeployment):
    """How many processes train together: $DPSYNTH_RANKS, one if it is not set. With $DPSYNTH_SHARDED they hold the base
    model in shards."""

    def of(self, context: dg.AssetExecutionContext) -> Launcher | None:
        """What starts them; None where training stays in this process.

        Raises:
            RanksError: the settings cannot be used.
        """
        said = os.environ.get(RANKS, "1")
        if not (said.isdecimal() and int(said) > 0):
            raise RanksError(f"{RANKS} is {said!r}: write how many processes train together on this machine, 1 or more")
        if (shards := os.environ.get(SHARDED, "0")) not in ("0", "1"):
            raise RanksError(f"{SHARDED} is {shards!r}: write 1 to hold the base model in shards, or leave it unset")
        if int(said) == 1:
            if shards == "1":
                raise RanksError(f"{SHARDED} is 1, and {RANKS} {said}: it takes two processes or more to hold shards")
            return None
        from torch.cuda import device_count

        if 0 < device_count() < int(said):  # NCCL gives each GPU one process, and would say so after the charge
            raise RanksError(f"{RANKS} is {said}, and this machine has {device_count()} GPUs: write as many, or fewer")
        return Launcher(context.op_execution_context, int(said), sharded=shards == "1")


class _OnlyMessages(dg.PipesTempFileMessageReader):
    """Hands on what the processes say to whoever started them, while they run, and drops all else."""

    def __init__(self, told: Told) -> None:
        super().__init__()
        self._told = told

    @contextmanager
    def read_messages(self, handler: PipesMessageHandler) -> Iterator[PipesParams]:
        with super().read_messages(cast("PipesMessageHandler", _Filter(handler, self._told))) as params:
            yield params


class _Filter:
    def __init__(self, handler: PipesMessageHandler, told: Told) -> None:
        self._handler, self._told = handler, told

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handler, name)

    def handle_message(self, message: PipesMessage) -> None:
        if message["method"] == "report_custom_message":
            self._told((message["params"] or {})["payload"])
        elif message["method"] in _PASSED:
            self._handler.handle_message(cast("PipesMessage", {**message, "params": {}}))


def _all_end_well(started: Sequence[subprocess.Popen[bytes]]) -> bool:
    while True:
        ended = [process.poll() for process in started]
        if any(ended):
            return False
        if None not in ended:
            return True
        time.sleep(_LOOK)


def _end(started: Sequence[subprocess.Popen[bytes]]) -> None:
    """Nobody would use what they compute now."""
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
    for process in started:
        process.wait()
