"""Shards of post-processing, computed by the workers of a Ray cluster of this machine.

How many is the deployment's business: no contract and no run config says it. Knows no platform: what computes is named
by whoever asks, and is handed plain values. What Ray may be given is theirs to answer for: public constants and what
was released, never a row, a grant or the ledger.

A cluster is made for one asset's work, and ends with the process that waits for it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any, cast

from resources import ray_folder
from resources.deployed import OfDeployment
from resources.own_process import TORCH_CACHE

RAY = "DPSYNTH_RAY"
_LEAST = (2, 60)  # the first whose token and certificates were looked at
_INSTALL = "`pip install 'ray>=2.60,<3'`"
# What the cluster's processes have of this one's environment, each by its name: keys and passwords are not among it.
_KEPT = (
    *("PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH"),
    *("PYTHONHOME", "PYTHONNOUSERSITE", "HF_HUB_OFFLINE"),
    *("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS", "MKL_CBWR"),  # on which last bits and speed depend
    *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES"),
)
_KEPT_PLACES = ("XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE")  # made absolute: workers are in another folder


class WorkersError(RuntimeError):
    """Workers cannot be had, or what they were given could not be computed; the message says which, and what to do."""


class ClusterGoneError(WorkersError):
    """The cluster ended without a word."""


class RayPool:
    """Computes shards in so many processes of a Ray cluster, which is started when it is first asked."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._driver: _Driver | None = None

    def map(
        self, maker: str, setup: Mapping[str, Any], environment: Mapping[str, str], shards: Sequence[Any]
    ) -> Generator[tuple[int, Any]]:
        """Each shard's place and result, as they end. A shard whose worker dies is computed again by another one; where
        the cluster dies, another one is started for what is left, once. Where the iterator is closed before all was
        taken, what runs is ended.

        Args:
            maker: `module:function`. The function is given the setup, once in each worker, and gives what computes a
                shard. A result must depend on setup and shard only.
            setup, shards: plain values, as JSON has them; results too.
            environment: added to the little that workers have of this process's; of the first work that is asked for.

        Raises:
            WorkersError: a shard cannot be computed, or two clusters ended.
            TypeError: something else than plain values was to be handed over.
        """
        work, left = {"maker": maker, "setup": setup}, dict(enumerate(shards))
        for again in (True, False):
            places = list(left)
            try:
                for place, result in self._computed(work, environment, list(left.values())):
                    del left[places[place]]
                    yield places[place], result
                return
            except ClusterGoneError:
                if not again:
                    raise

    def _computed(
        self, work: Mapping[str, Any], environment: Mapping[str, str], shards: Sequence[Any]
    ) -> Generator[tuple[int, Any]]:
        if not shards:
            return
        lines = [json.dumps({"work": work, "shards": len(shards)}), *map(json.dumps, shards)]
        self._driver = self._driver or _Driver(self._workers, environment)
        done = False
        try:
            self._driver.write(lines)
            for _ in shards:
                yield self._driver.answer()
            done = True
        finally:
            if not done:
                self.close()

    def close(self) -> None:
        """End the cluster."""
        if self._driver is not None:
            self._driver.end()
            self._driver = None


class RayWorkers(OfDeployment):
    """How many workers of a Ray cluster draw and encode texts: $DPSYNTH_RAY; without it the asset's process does."""

    @contextmanager
    def pool(self) -> Iterator[RayPool | None]:
        """What computes shards, until the block ends; None where this process does.

        Raises:
            WorkersError: the setting cannot be used, Ray is not installed, or its files would not be safe.
        """
        workers = self.require()
        if workers is None:
            yield None
            return
        pool = RayPool(workers)
        try:
            yield pool
        finally:
            pool.close()

    def require(self) -> int | None:
        """How many workers; None where there are none. Starts no process, and raises as `pool` does."""
        said = os.environ.get(RAY)
        if not said:
            return None
        if not (said.isdecimal() and int(said) > 0):
            raise WorkersError(
                f"{RAY} is {said!r}: write how many workers draw and encode on this machine, 1 or more. A cluster of "
                "several machines is not offered"
            )
        try:
            found = version("ray")
        except PackageNotFoundError:
            raise WorkersError(f"{RAY} is {said}, and Ray is not installed: {_INSTALL}, or unset {RAY}") from None
        if tuple(map(int, found.split(".")[:2])) < _LEAST:
            raise WorkersError(
                f"{RAY} is {said}, and the Ray {found} that is installed is too old to be safe beside other accounts: "
                f"{_INSTALL}"
            )
        try:
            ray_folder.above()
        except ray_folder.FolderError as error:
            raise WorkersError(f"{RAY} is {said}, and {error}; or unset {RAY}") from None
        return int(said)


class _Driver:
    """The process that starts the cluster and hands out shards."""

    def __init__(self, workers: int, environment: Mapping[str, str]) -> None:
        try:
            self._folder = ray_folder.new()
        except ray_folder.FolderError as error:
            raise WorkersError(str(error)) from None
        # One thread each, unless somebody has said how many. By the number of workers it would be another one for each
        # number, and results could differ in their last bits. Nothing is imported from a working directory.
        own = {"OMP_NUM_THREADS": "1", **_kept(), **environment, "PYTHONSAFEPATH": "1"}
        own[TORCH_CACHE] = str(self._folder / "torch")  # and not by a name that another account can take
        self._watcher = _python(ray_folder.__name__, [str(self._folder)], self._folder.parent, own, subprocess.DEVNULL)
        with (self._folder / "driver.log").open("wb") as log:
            self._process = _python(
                "resources.ray_driver", [str(self._folder), str(workers)], ray_folder.work_in(self._folder), own, log
            )
        self._to = cast("IO[str]", self._process.stdin)
        self._from = cast("IO[str]", self._process.stdout)

    def write(self, lines: Sequence[str]) -> None:
        """Hand over lines, while the other side takes them."""
        threading.Thread(target=self._write, args=(lines,), daemon=True).start()

    def _write(self, lines: Sequence[str]) -> None:
        with suppress(OSError, ValueError):  # the other side ended, and who waits for answers is told
            for line in lines:
                self._to.write(line + "\n")
            self._to.flush()

    def answer(self) -> tuple[int, Any]:
        """A shard's place and result."""
        said = json.loads(self._from.readline() or "{}")
        if "failed" in said:
            raise WorkersError(f"Ray's workers could not go on: {said['failed']}")
        if "result" not in said:
            raise ClusterGoneError(
                "Ray ended before the work was done (a kill, no memory, no room on the disk): run it again, or without "
                f"{RAY}"
            )
        return said["place"], json.loads(said["result"])

    def end(self) -> None:
        """Nobody would use what they compute now."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # before it is waited for: nobody else has its number yet
        self._process.wait()
        ray_folder.remove(self._folder)
        for pipe in (self._to, self._from):
            with suppress(OSError):
                pipe.close()
        self._watcher.communicate()  # which ends, since there is nothing left to do


def _python(
    module: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], log: int | IO[bytes]
) -> subprocess.Popen[str]:
    """A module as a process of its own, in a folder from which it imports nothing."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        encoding="utf-8",
        start_new_session=True,  # Ctrl-C reaches this process, which decides
    )


def _kept() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    for name in _KEPT_PLACES:
        if said := os.environ.get(name):
            kept[name] = str(Path(said).expanduser().absolute())
    searched = [str(Path(each).absolute()) for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    return {**kept, "PYTHONPATH": os.pathsep.join(searched)} if searched else kept
