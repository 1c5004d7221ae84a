"""Which errors say that something was short, as they come from whoever raises them."""

import errno
import resource
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pytest
import torch

from dpsynth_assets.releases.shortage import shortage_called, shortage_of


def without_memory_of_torch():
    torch.empty(2**60, dtype=torch.uint8)


def without_memory_of_numpy():
    np.empty(2**60, dtype=np.uint8)


def without_memory_of_duckdb():
    duckdb.connect(config={"memory_limit": "1MB"}).sql("select list(range) from range(10_000_000)").fetchall()


@pytest.mark.parametrize("raising", [without_memory_of_torch, without_memory_of_numpy, without_memory_of_duckdb])
def test_no_memory_is_one_whoever_says_so(raising):
    with pytest.raises(Exception) as raised:  # noqa: PT011 - each has a kind of its own
        raising()
    assert shortage_of(raised.value) == "MemoryError"


def test_so_is_a_gpus():
    assert shortage_of(torch.OutOfMemoryError("CUDA out of memory")) == "MemoryError"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE])
def test_and_what_the_system_has_none_left_of(number):
    name = shortage_of(OSError(number, "none left"))
    assert name == errno.errorcode[number]
    assert shortage_called(name).errno == number


THREADS = """
import resource, threading
from dpsynth_assets.releases.shortage import shortage_of
resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))
threading.stack_size(2**30)
try:
    threading.Thread(target=print).start()
except RuntimeError as error:
    print(shortage_of(error))
"""


def test_and_threads():
    done = subprocess.run(
        [sys.executable, "-c", THREADS], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    )
    assert done.stdout == "EAGAIN\n"
    assert resource.getrlimit(resource.RLIMIT_AS)[0] != 2**29  # of this process nothing was taken


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes do not match"), ValueError("no"), OSError(errno.EACCES, "no"), KeyError(), OSError()]
)
def test_other_errors_would_come_again(error):
    assert shortage_of(error) is None
    assert shortage_called(type(error).__name__) is None
