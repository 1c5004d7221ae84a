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
from safetensors import SafetensorError

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


def checkpoint_on_a_full_disk():
    with open("/dev/full", "wb") as file:  # noqa: PTH123
        torch.save({"a": torch.zeros(2**20)}, file)


def adapter_on_a_full_disk():
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def adapter_beyond_a_quota():
    raise SafetensorError("Error while serializing: I/O error: Disk quota exceeded (os error 122)")


def table_on_a_full_disk():
    raise duckdb.IOException('IO Error: Could not write file "/x": No space left on device')


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
@pytest.mark.parametrize("raising", [checkpoint_on_a_full_disk, adapter_on_a_full_disk, table_on_a_full_disk])
def test_a_full_disk_is_one_whoever_says_so(raising):
    with pytest.raises(Exception) as raised:  # noqa: PT011 - each has a kind of its own
        raising()
    assert shortage_of(raised.value) == "ENOSPC"


def hidden(full: OSError, *, put_away: bool) -> RuntimeError:
    """An error that somebody raised while handling another one."""
    try:
        try:
            raise full
        except OSError:
            raise RuntimeError("unexpected pos") from None if put_away else full
    except RuntimeError as error:
        return error


def test_so_is_what_it_was_raised_from_but_not_what_was_put_away():
    full = OSError(errno.ENOSPC, "full")
    assert shortage_of(hidden(full, put_away=False)) == "ENOSPC"
    assert shortage_of(hidden(full, put_away=True)) is None


def test_a_quota_is_a_disk_that_is_full():
    with pytest.raises(SafetensorError) as raised:
        adapter_beyond_a_quota()
    assert shortage_of(raised.value) == "EDQUOT"


def test_errors_that_lead_to_each_other_are_looked_at_once():
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert shortage_of(one) is None


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
