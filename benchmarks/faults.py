"""Faults of DP-SGD code, each put into this code by replacing a function or two, and the exact test that finds it.

    python -m benchmarks.faults "no noise" tests/privacy/test_noise.py      runs pytest with the fault in

They are of the kinds that were found in published code. The benchmark of the audit and the tests put in the very same.
Nothing that trains on real data imports this module.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dpsynth_assets.privacy import training
from dpsynth_assets.privacy.clipping.engine import ClippedSum
from dpsynth_assets.privacy.clipping_methods import Clipping
from dpsynth_assets.privacy.noise import GaussianNoise
from dpsynth_assets.privacy.sampling import PoissonSampler
from resources import formats

_ROOT = Path(__file__).parent.parent
_TESTS_FAILED = 100  # what pytest says of failed tests, 1, Python says too of a program that cannot be imported


@dataclass(frozen=True)
class Fault:
    """Attributes:
    test: the exact test that finds it, as pytest names it.
    put_in: the code has the fault within this context.
    in_training: whether it is in what an audit of training runs at all.
    """

    name: str
    test: str
    put_in: Callable[[], AbstractContextManager[None]]
    in_training: bool = True

    def is_found(self) -> bool:
        """Whether the exact test fails with the fault in, in a process of its own."""
        return not passes(self.test, fault=self.name)


def passes(*tests: str, fault: str = "") -> bool:
    """Whether tests pass, with the fault of that name in or without any.

    Raises:
        RuntimeError: they neither passed nor failed.
    """
    command = [sys.executable, "-m", "benchmarks.faults", fault, *tests]
    here = {**os.environ, "PYTHONPATH": str(_ROOT)}  # also where nothing is imported from the working directory
    ended = subprocess.run(command, cwd=_ROOT, env=here, capture_output=True, text=True, check=False)
    if ended.returncode not in {pytest.ExitCode.OK, _TESTS_FAILED}:
        raise RuntimeError(f"{', '.join(tests)} could not be run:\n{ended.stdout}{ended.stderr}")
    return ended.returncode == pytest.ExitCode.OK


@contextmanager
def _replaced(owner: Any, name: str, broken: Callable[[Any], Any]) -> Iterator[None]:
    """`broken` is given what is right and returns what takes its place."""
    right = getattr(owner, name)
    setattr(owner, name, broken(right))
    try:
        yield
    finally:
        setattr(owner, name, right)


def _scaled_noise(factor: float) -> Callable[[], AbstractContextManager[None]]:
    def broken(right: Any) -> Any:
        return lambda self, deviation: right(self, deviation * factor)

    return lambda: _replaced(GaussianNoise, "__init__", broken)


def _no_clipping() -> AbstractContextManager[None]:
    return _replaced(Clipping, "factors", lambda right: lambda self, norms: torch.ones_like(norms))


def _clipping_after_averaging() -> AbstractContextManager[None]:
    """A micro-batch's mean gradient is clipped, and counts once for each of its units."""

    def broken(right: Any) -> Any:
        def add(self: Any, losses: Any, records_of: Any) -> None:
            own = self._clipping
            if records_of:  # n times the mean clipped to C is the sum clipped to n C
                self._clipping = replace(own, l2_clip_norm=len(records_of) * own.l2_clip_norm)
            try:
                right(self, losses, [sum(records_of)] if records_of else records_of)
            finally:
                self._clipping = own

        return add

    return _replaced(ClippedSum, "add", broken)


def _records_clipped_one_by_one() -> AbstractContextManager[None]:
    def broken(right: Any) -> Any:
        return lambda self, losses, records_of: right(self, losses, [1] * sum(records_of))

    return _replaced(ClippedSum, "add", broken)


@contextmanager
def _noise_per_micro_batch() -> Iterator[None]:
    """Every micro-batch gets the noise of a step, so that a step without a micro-batch gets none."""
    micro_batches = 0

    class Noise:
        def __init__(self, right: Any) -> None:
            self.right = right

        def add_(self, sums: Any) -> None:
            nonlocal micro_batches
            for _ in range(micro_batches):
                self.right.add_(sums)
            micro_batches = 0

    def counted(right: Any) -> Any:
        def add(clipped: Any, model: Any, data: Any, group: Any) -> None:
            nonlocal micro_batches
            right(clipped, model, data, group)
            micro_batches += group.passes

        return add

    with ExitStack() as both:
        both.enter_context(_replaced(training, "add", counted))
        both.enter_context(_replaced(training, "_noise", lambda right: lambda mechanism: Noise(right(mechanism))))
        yield


def _fixed_batches() -> AbstractContextManager[None]:
    """Batches of one size, drawn without replacement."""

    def broken(right: Any) -> Any:
        def draw(self: Any) -> Any:
            members = self._groups[self._step % len(self._groups)]
            self._step += 1
            shuffled = np.argsort(self._stream.uniform(len(members)))
            return members[np.sort(shuffled[: round(self._sampling_probability * len(members))])]

        return draw

    return _replaced(PoissonSampler, "draw", broken)


def _same_noise_twice() -> AbstractContextManager[None]:
    """Every second step gets the noise of the one before."""

    def broken(right: Any) -> Any:
        def add_(self: Any, sums: Any) -> None:
            if kept := self.__dict__.pop("kept", None):
                for total, noise in zip(sums, kept, strict=True):
                    total.add_(noise)
                return
            before = [total.clone() for total in sums]
            right(self, sums)
            self.kept = [total - own for total, own in zip(sums, before, strict=True)]

        return add_

    return _replaced(GaussianNoise, "add_", broken)


def _parser_that_loses_the_next_record() -> AbstractContextManager[None]:
    """What follows a record of JSON Lines that cannot be read is skipped with it."""

    def broken(right: Any) -> Any:
        def json_lines(path: Any, kinds: Any) -> Iterator[Any]:
            lost = False
            for record in right(path, kinds):
                if not lost:
                    yield record
                lost = record is None and not lost

        return json_lines

    return _replaced(formats, "READERS", lambda right: {**right, ".jsonl": broken(right[".jsonl"])})


_NOISE, _TRAINING = "tests/privacy/test_noise.py::", "tests/privacy/test_training.py::"
_ENGINE, _SAMPLING = "tests/privacy/clipping/test_engine.py::", "tests/privacy/test_sampling.py::"
_OWN_BITS, _NEIGHBOURS = "tests/privacy/test_own_bits.py::", "tests/guarantee/test_neighbours.py::"

FAULTS = (
    Fault("no noise", f"{_NOISE}test_noise_is_gaussian_with_the_declared_deviation", _scaled_noise(0.0)),
    Fault("a tenth of the noise", f"{_NOISE}test_noise_is_gaussian_with_the_declared_deviation", _scaled_noise(0.1)),
    Fault("no clipping", f"{_ENGINE}test_no_unit_ever_contributes_more_than_the_sensitivity", _no_clipping),
    Fault(
        "clipping after averaging",
        f"{_OWN_BITS}test_who_joins_moves_the_sum_by_the_own_contribution_and_no_more_than_the_clip",
        _clipping_after_averaging,
    ),
    Fault(
        "a unit's records clipped one by one",
        f"{_ENGINE}test_the_clipped_sum_is_that_of_one_by_one_backward_passes",
        _records_clipped_one_by_one,
    ),
    Fault(
        "noise per micro-batch",
        f"{_TRAINING}test_noise_enters_once_per_step_whatever_the_micro_batches",
        _noise_per_micro_batch,
    ),
    Fault(
        "fixed batches accounted as Poisson",
        f"{_SAMPLING}test_batch_sizes_follow_the_declared_binomial_law",
        _fixed_batches,
    ),
    Fault("the same noise twice", f"{_NOISE}test_coordinates_parameters_and_steps_get_fresh_noise", _same_noise_twice),
    Fault(
        "a parser that lets one record move another",
        f"{_NEIGHBOURS}test_a_record_that_cannot_be_read_costs_nobody_elses",
        _parser_that_loses_the_next_record,
        in_training=False,
    ),
)


def main() -> None:
    name, *chosen = sys.argv[1:]
    fault = {fault.name: fault.put_in for fault in FAULTS}[name] if name else nullcontext
    with fault():
        ended = pytest.main(["-x", "-p", "no:cacheprovider", *chosen])
    sys.exit(_TESTS_FAILED if ended == pytest.ExitCode.TESTS_FAILED else ended)


if __name__ == "__main__":
    main()
