"""Work for the workers of a cluster, as a deployment's is named: by module and function."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any


def sleeping(setup: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """What gives a shard back after a while, with who it is and which variables it has."""

    def compute(shard: Mapping[str, Any]) -> dict[str, Any]:
        time.sleep(setup["seconds"])
        return {**shard, "worker": os.getpid(), "environment": dict(os.environ)}

    return compute


def failing(setup: Mapping[str, Any]) -> Callable[[Any], Any]:
    """What refuses every shard."""

    def compute(shard: Any) -> Any:
        raise ValueError(f"{setup['what']} is no {shard}")

    return compute


def dying(setup: Mapping[str, Any]) -> Callable[[Any], Any]:
    """What ends every worker that it is given to, as a shard that takes too much memory would."""
    del setup
    return lambda shard: os._exit(1)
