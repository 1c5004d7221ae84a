"""The Dagster instance of a run in the terminal, which keeps what its steps print in the instance's files only.

Dagster's own manager copies it to the terminal too, by two programs a step. They belong to the terminal's foreground,
so Ctrl-C ends them with traces of their own, and what they copy is libraries' talk: the run says itself what it does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import dagster as dg
from dagster._core.execution.compute_logs import redirect_to_file
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.compute_log_manager import CapturedLogContext, ComputeIOType
from dagster._core.storage.local_compute_log_manager import IO_TYPE_EXTENSION, LocalComputeLogManager
from dagster._serdes import ConfigurableClassData
from dagster._utils import ensure_file, touch_file

from resources.home import Home


class QuietComputeLogManager(LocalComputeLogManager):
    """Puts what a step prints where Dagster's local manager looks for it, and nowhere else."""

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        return cls(inst_data=inst_data, **config_value)  # Dagster's makes one of its own class

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Iterator[CapturedLogContext]:
        out, err = (
            self.get_captured_local_path(log_key, IO_TYPE_EXTENSION[each])
            for each in (ComputeIOType.STDOUT, ComputeIOType.STDERR)
        )
        ensure_file(out)
        ensure_file(err)
        with redirect_to_file(sys.stdout, out), redirect_to_file(sys.stderr, err):
            yield CapturedLogContext(log_key)
        touch_file(self.complete_artifact_path(log_key))  # type: ignore[no-untyped-call]


def instance_of(home: Home) -> dg.DagsterInstance:
    """The home's instance. One whose dagster.yaml says where compute logs go has them there."""
    folder = str(home.dagster)
    kept = InstanceRef.from_dir(folder).compute_logs_data
    if kept.class_name != LocalComputeLogManager.__name__:
        return dg.DagsterInstance.get()
    quiet = {
        "module": QuietComputeLogManager.__module__,
        "class": QuietComputeLogManager.__name__,
        "config": kept.config_dict,
    }
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(folder, overrides={"compute_logs": quiet}))
