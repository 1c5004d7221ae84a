"""Hands shards to the workers of a Ray cluster: `python -m resources.ray_driver`, as `ray_workers` has it started.

A process of its own, because Ray ends its driver when one of its parts dies, and because this one never had a row or a
key in its memory. It reads lines of JSON: a work, then its shards, then the next work; and writes lines of JSON: what
became of each shard, as they end. It ends, and the cluster with it, when whoever writes the lines does.

What a worker is sent is JSON as well, so that it can be sent plain values and nothing else.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NoReturn

from resources import ray_cluster

_Say = Callable[[Mapping[str, Any]], None]
_TRIES_AGAIN = 3  # of a shard whose worker died; one that ends each of its workers must end in an error


class Worker:
    """Computes shards one after another, with what it was made of once.

    Args:
        maker: `module:function`; from the setup that function gives what computes a shard.
        setup: in JSON.
    """

    def __init__(self, maker: str, setup: str) -> None:
        self._maker, self._setup = maker, setup
        self._computes: Callable[[Any], Any] | None = None

    def compute(self, shard: str) -> str:
        """The result of a shard, both in JSON. It depends on the shard and the setup only, so a shard whose worker died
        is computed again by another."""
        if self._computes is None:  # here, where an error is told as that of a shard is
            module, _, name = self._maker.partition(":")
            self._computes = getattr(import_module(module), name)(json.loads(self._setup))
        return json.dumps(self._computes(json.loads(shard)))


class _Crew:
    """So many workers, all made for one work."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._made_for: Mapping[str, Any] | None = None
        self._idle: list[Any] = []

    def drive(self, work: Mapping[str, Any], shards: int, take: Callable[[], str], say: _Say) -> bool:
        """Have so many shards computed; gives whether all were."""
        import ray

        self._make(work)
        running: dict[Any, tuple[int, Any]] = {}
        given = 0
        while given < shards or running:
            while self._idle and given < shards:
                worker = self._idle.pop()
                running[worker.compute.remote(take())] = given, worker
                given += 1
            ended = ray.wait(list(running), num_returns=1)[0][0]
            place, worker = running.pop(ended)
            try:
                say({"place": place, "result": ray.get(ended)})
            except ray.exceptions.RayTaskError as error:
                say({"failed": f"{type(error.cause).__name__}: {error.cause}"})
                return False
            except ray.exceptions.RayError as error:
                lost = f"a shard's worker was lost, and no other could compute it ({type(error).__name__})"
                say({"failed": lost + ": memory may be short"})
                return False
            self._idle.append(worker)
        return True

    def _make(self, work: Mapping[str, Any]) -> None:
        """Workers hold what they were made of, a model say, so those of another work go first."""
        import ray

        if self._made_for == work:
            return
        for worker in self._idle:
            ray.kill(worker)
        gpus = ray.cluster_resources().get("GPU", 0.0)
        share = 1.0 if gpus >= self._workers else int(10_000 * gpus / self._workers) / 10_000  # Ray counts so
        made = ray.remote(num_cpus=1, num_gpus=share, max_restarts=-1, max_task_retries=_TRIES_AGAIN)(Worker)
        self._idle = [made.remote(work["maker"], json.dumps(work["setup"])) for _ in range(self._workers)]
        self._made_for = work


def main() -> None:
    folder, workers = Path(sys.argv[1]), int(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else prints
    lines: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()

    def say(message: Mapping[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    try:
        ray_cluster.start(folder, workers)
        crew, going = _Crew(workers), True
        while going:
            begun = json.loads(lines.get())
            going = crew.drive(begun["work"], begun["shards"], lines.get, say)
    except ray_cluster.ClusterError as error:
        say({"failed": str(error)})
    except Exception as error:  # of Ray's own: it has seen nothing that may not be told
        say({"failed": f"{type(error).__name__}: {error}"})
    finally:
        _end()


def _read(lines: SimpleQueue[str]) -> None:
    """Hand on what is read, and end when nobody is left to write."""
    for line in sys.stdin:
        lines.put(line)
    _end()


def _end() -> NoReturn:
    """This process, and most parts of Ray. `ray_folder` ends the others and deletes the folder."""
    os.killpg(0, signal.SIGKILL)
    raise AssertionError("not killed")


if __name__ == "__main__":
    main()
