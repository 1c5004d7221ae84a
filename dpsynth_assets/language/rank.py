"""One training process of several: `python -m dpsynth_assets.language.rank`, as `in_ranks` has it started.

What leaves for the process that waits goes through Dagster Pipes: steps done, and the precision. What a rank prints is
as confined as its parent's output.
"""

from __future__ import annotations

import json
import os
import pickle
import socket
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from dagster_pipes import open_dagster_pipes

from dpsynth_assets.language.base_model import load_base_model
from dpsynth_assets.language.in_ranks import FAILED, HANDED_OVER, kind_of
from dpsynth_assets.language.job import Job, tune
from dpsynth_assets.language.packed import Packed
from dpsynth_assets.language.trainable import trainable_in_shards, trainable_model
from dpsynth_assets.privacy.ranks import LostRankError, Ranks
from dpsynth_assets.program import require_unchanged

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

_PATIENCE = timedelta(days=1)  # of one rank with another's step; who waits for both ends the one whose other is gone


def main() -> None:
    where = json.loads(os.environ[HANDED_OVER])
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    threading.Thread(target=_end_with, args=(where["alive"],), daemon=True).start()
    try:
        require_unchanged(where["program"])
        with open(where["work"][rank], "rb") as file:  # noqa: PTH123 - a descriptor
            job, share = pickle.load(file)
        ranks = _joined(Path(where["meeting"]), rank, size, in_step=job is not None and job.in_shards is not None)
        if ranks.lead:
            _report(lambda told: _work(job, share, ranks, told))
        else:
            _work(job, share, ranks, lambda message: None)
        dist.destroy_process_group()
    except LostRankError:
        raise  # it is the other one that says why, if anybody does
    except Exception as error:
        said = f": {error}" if where["verifies"] else ""  # it has seen made-up records only
        (Path(where["meeting"]) / f"{FAILED}{rank}").write_text(f"{kind_of(error)}{said}", encoding="utf-8")
        raise


def _work(job: Job | None, share: Packed | None, ranks: Ranks, told: Callable[[Mapping[str, Any]], None]) -> None:
    """This rank's part of the training. Without records, of all that comes before it; without a job, of the meeting."""
    if job is None:
        dist.barrier()
        told({"met": True})
        return
    model: PreTrainedModel | PeftModel
    if job.in_shards is None:
        base, tokenizer = load_base_model(job.base_model)
        model, bfloat16 = trainable_model(base, tokenizer, job.plan, job.longest, job.prefix)
    else:
        bfloat16 = job.in_shards == "bfloat16"
        model, tokenizer = trainable_in_shards(job.base_model, job.plan, job.longest, job.prefix, bfloat16=bfloat16)

    def progress(step: int, steps: int) -> None:
        told({"step": step, "steps": steps})

    if share is not None:
        tune(job, model, tokenizer.pad_token_id, share, bfloat16=bfloat16, progress=progress, ranks=ranks)
    told({"bfloat16": bfloat16})


def _joined(meeting: Path, rank: int, size: int, *, in_step: bool) -> Ranks:
    """The process group, over this machine's loopback. Ranks meet by a file that only this account reads; what they
    send are tensors, which nothing runs that is sent in their place."""
    if torch.cuda.is_available():
        torch.cuda.set_device(rank % torch.cuda.device_count())
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    os.environ |= {"GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": loopback}
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    store = dist.FileStore(str(meeting / "store"), size)  # type: ignore[attr-defined]  # not in its __all__
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_PATIENCE)
    return Ranks(in_step=in_step)


def _end_with(alive: int) -> None:
    """End this process when the one does that holds the other end of the pipe: nobody would use what it computes."""
    os.read(alive, 1)
    os._exit(1)


def _report(computes: Callable[[Callable[[Mapping[str, Any]], None]], None]) -> None:
    """Compute with somebody to tell. An error is not told: it may quote what was computed with."""
    failure: BaseException | None = None
    with open_dagster_pipes() as pipes:
        try:
            computes(lambda message: pipes.report_custom_message(dict(message)))
        except BaseException as error:
            failure = error
    if failure is not None:
        raise failure


if __name__ == "__main__":
    main()
