"""One training run as a process computes it: canaries, the DP-SGD loop, and what is written of it.

Knows a plan, a model and encoded records. It knows no contract, so that a process can do it that has none.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dpsynth_assets.audit.canaries import Canaries
from dpsynth_assets.audit.result import audit_result
from dpsynth_assets.language.promise import TrainingPromise
from dpsynth_assets.language.units import TextUnits
from dpsynth_assets.privacy.checkpoint import CheckpointFolder
from dpsynth_assets.privacy.plan import TrainingPlan
from dpsynth_assets.privacy.training import contribute, train
from dpsynth_assets.progress import Progress

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

    from dpsynth_assets.language.packed import Packed
    from dpsynth_assets.privacy.ranks import Ranks

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Job:
    """What is trained, where it begins and where it ends. Public throughout.

    Attributes:
        base_model: a folder or name, as `load_base_model` takes it.
        longest: bound on a record's tokens without virtual ones.
        prefix: bound from below on its tokens without a loss.
        folder: what is trained is written here.
        checkpoints: in the sensitive zone; a run that was killed there is continued.
        in_shards: the precision of the passes, where the base model's frozen layers are in shards over several
            processes. None: each process has the model whole, and finds out itself whether it may be bfloat16.
    """

    base_model: str
    plan: TrainingPlan
    longest: int
    prefix: int
    folder: Path
    checkpoints: CheckpointFolder | None
    in_shards: Precision | None = None


def tune(
    job: Job,
    model: PreTrainedModel | PeftModel,
    pad_token_id: int,
    records: Packed,
    *,
    bfloat16: bool,
    progress: Progress | None = None,
    ranks: Ranks | None = None,
) -> None:
    """Train the model on the records and write it to the job's folder; on a rank that does not lead, help with that.

    Args:
        model: from `trainable_model`, as is `bfloat16`; used up.
        records: with `ranks`, this rank's share of them.

    Raises: as `dpsynth_assets.privacy.training.train`.
    """
    plan = job.plan
    data = TextUnits(
        records,
        pad_token_id,
        plan.prompt_tokens or 0,
        longest=job.longest,
        prefix=job.prefix,
        bfloat16=bfloat16,
    )
    with _canaries(job, model, lead=ranks is None or ranks.lead) as canaries:
        if ranks is not None and not ranks.lead:
            contribute(
                model,
                data,
                plan.mechanism,
                micro_batch_tokens=plan.micro_batch_tokens,
                ranks=ranks,
                by_opacus=plan.engine == "opacus",
            )
            return
        run = train(
            model,
            data if canaries is None else canaries.beside(data),
            plan.mechanism,
            plan.learning,
            micro_batch_tokens=plan.micro_batch_tokens,
            progress=progress,
            checkpoints=job.checkpoints,
            observer=canaries,
            by_opacus=plan.engine == "opacus",
            ranks=ranks,
        )
    model.save_pretrained(job.folder, safe_serialization=True)
    if canaries is not None:
        event, replay = plan.mechanism.event(run.steps), plan.mechanism.event_of_replay(run.attempts)
        ran = [each for each in (event, replay) if each is not None]
        audit_result(canaries, TrainingPromise(ran, plan.delta), plan.mechanism.steps).save(job.folder)


def _canaries(job: Job, model: PreTrainedModel | PeftModel, *, lead: bool) -> AbstractContextManager[Canaries | None]:
    """The canaries that the plan asks for. Plain training promises nothing, so nothing of it is audited.

    A rank that does not lead has their coordinates, since the lead's sums have, and none of the canaries.
    """
    plan = job.plan
    if not plan.canaries or not plan.mechanism.is_private:
        return nullcontext()
    return Canaries(
        model,
        plan.canaries,
        plan.mechanism.clipping,
        records=min(2, plan.max_records),
        length=(plan.prompt_tokens or 0) + job.prefix + 1,
        folder=job.checkpoints.path if lead and job.checkpoints is not None else None,
    )
