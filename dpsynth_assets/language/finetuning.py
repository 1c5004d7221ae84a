"""Fine-tunes a base model, or an adapter of it, on sensitive records with the plan's DP-SGD mechanism.

What comes out, the folder with the adapter or the model, has the guarantee of the plan's event. Nothing else comes
out: no loss, no count.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peft import PeftModel
from peft.utils import CONFIG_NAME
from transformers import AutoModelForCausalLM

from dpsynth_assets.language.base_model import device, has_bfloat16, load_base_model
from dpsynth_assets.language.in_ranks import meet_in_ranks, tune_in_ranks, verify_in_ranks
from dpsynth_assets.language.job import Job, Precision, tune
from dpsynth_assets.language.model_card import README, base_name, model_card
from dpsynth_assets.language.model_places import BaseModelError, located
from dpsynth_assets.language.objective import encode
from dpsynth_assets.language.packed import Packed
from dpsynth_assets.language.prompts import prefixes_of
from dpsynth_assets.language.sharding import require_shardable
from dpsynth_assets.language.stored import stored_base_model
from dpsynth_assets.language.trainable import require_context, trainable_model
from dpsynth_assets.language.untouched import is_untouched
from dpsynth_assets.privacy.checkpoint import CheckpointFolder
from dpsynth_assets.privacy.plan import TrainingPlan
from dpsynth_assets.privacy.unit_numbers import require_bounded
from dpsynth_assets.progress import Progress
from dpsynth_assets.releases.rows import cells_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from dpsynth_assets.contract import Contract
    from dpsynth_assets.language.objective import Encoded
    from dpsynth_assets.releases.release import Launch
    from dpsynth_assets.releases.rows import Rows
    from ledger import PoissonSampledGaussian


@dataclass(frozen=True)
class FineTuned:
    """What a training run leaves.

    Attributes:
        folder: the adapter in peft's format, or for method `full` the model.
        event: the mechanism that ran, as planned; None for plain training, which no guarantee covers.
        replay: what has to be charged on top, where the run was killed and some of its steps ran twice; else None.
        precision: of the passes, as they were computed.
    """

    folder: Path
    event: PoissonSampledGaussian | None
    replay: PoissonSampledGaussian | None = None
    precision: str = "float32"


@dataclass(frozen=True)
class Prepared:
    """A model that can be trained on this machine, in a precision in which nobody's record touches another's numbers.

    Attributes:
        model: None where other processes hold it in shards, which no single one could hold.
        longest: bound on a record's tokens without virtual ones; public, of the contract's labels and `max_tokens`.
        prefix: bound from below on its tokens without a loss; public.
    """

    model: PreTrainedModel | PeftModel | None
    tokenizer: PreTrainedTokenizerBase
    prefixes: dict[tuple[str, ...], tuple[int, ...]]
    longest: int
    prefix: int
    bfloat16: bool


def prepare_for(contract: Contract, plan: TrainingPlan, launch: Launch | None) -> Prepared:
    """`prepare_in_shards` or `prepare`, whichever is for who trains; that other processes can is tried.

    Raises:
        UnfitRanksError, OSError, MemoryError: as `meet_in_ranks`, besides what the two raise.
    """
    if launch is not None and launch.sharded:
        return prepare_in_shards(contract, plan, launch)
    prepared = prepare(contract, plan)
    if launch is not None:
        meet_in_ranks(launch)
    return prepared


def prepare(contract: Contract, plan: TrainingPlan) -> Prepared:
    """What `fine_tune` needs and can be had, and can fail, without a row.

    Raises:
        BaseModelError, PromptError, ObjectiveError, UnclippedGradientError: as `trainable_model`.
    """
    base, tokenizer = load_base_model(located(plan.base_model, contract))
    prefixes = prefixes_of(contract, tokenizer)
    longest, prefix = _bounds(prefixes, plan)
    model, bfloat16 = trainable_model(base, tokenizer, plan, longest, prefix)
    return Prepared(model, tokenizer, prefixes, longest, prefix, bfloat16)


def prepare_in_shards(contract: Contract, plan: TrainingPlan, launch: Launch) -> Prepared:
    """As `prepare`, for a base model that processes hold in shards: they hold it and verify it once before they are
    given a row. This process reads no weight.

    Raises:
        BaseModelError, PromptError: the model cannot be had in shards, or not with this plan.
        UnfitRanksError, OSError, MemoryError: as `verify_in_ranks`.
    """
    if plan.method == "full":
        raise BaseModelError(
            "method `full` trains every weight, and only frozen ones can be in shards: write `method: lora`, or leave "
            "DPSYNTH_SHARDED unset"
        )
    name = located(plan.base_model, contract)
    stored = stored_base_model(name)
    require_shardable(stored.model, name)
    prefixes = prefixes_of(contract, stored.tokenizer)
    longest, prefix = _bounds(prefixes, plan)
    require_context(stored.model, plan, longest - plan.max_tokens)
    wanted = _precision(bfloat16=plan.precision == "bfloat16" and has_bfloat16())
    job = verify_in_ranks(Job(name, plan, longest, prefix, Path(), None, wanted), launch)
    return Prepared(None, stored.tokenizer, prefixes, longest, prefix, job.in_shards == "bfloat16")


def _bounds(prefixes: Mapping[tuple[str, ...], tuple[int, ...]], plan: TrainingPlan) -> tuple[int, int]:
    """`longest` and `prefix` of `Prepared`."""
    lengths = [len(prefix) for prefix in prefixes.values()]
    return max(lengths) + plan.max_tokens, min(lengths)


def fine_tune(
    contract: Contract,
    plan: TrainingPlan,
    rows: Rows,
    folder: Path,
    progress: Progress | None = None,
    checkpoints: CheckpointFolder | None = None,
    prepared: Prepared | None = None,
    launch: Launch | None = None,
) -> FineTuned:
    """Trains what the plan's method trains and writes it to `folder` (safetensors).

    Args:
        plan: must be the one whose event was granted.
        rows: at most `plan.max_records` of each unit, as the sensitive store hands them out.
        folder: created; must not hold another adapter.
        progress: told (steps done, steps in all).
        checkpoints: in the sensitive zone; a run that was killed there is continued.
        prepared: by `prepare_for` this plan and launch, before anything was spent; used up. None prepares now.
        launch: starts other processes, which train in this one's place; needs `checkpoints`. None trains here.

    Raises:
        ValueError: a unit has more records than the plan bounds, which would break the declared sensitivity.
        UnclippedGradientError, ObjectiveError: as `prepare`.
        RanksFailedError, RanksLostError: as `tune_in_ranks`.
    """
    in_shards = launch is not None and launch.sharded
    ready = prepared or prepare_for(contract, plan, launch)
    records = Packed.of_pairs(_encoded(contract, plan, rows, ready))
    require_bounded(records.units, plan.max_records)
    name, precision = located(plan.base_model, contract), _precision(bfloat16=ready.bfloat16)
    job = Job(name, plan, ready.longest, ready.prefix, folder, checkpoints, precision if in_shards else None)
    if launch is not None:
        bfloat16 = tune_in_ranks(job, records, launch, progress)
    else:
        assert ready.model is not None, "prepared for other processes"
        bfloat16 = ready.bfloat16
        tune(job, ready.model, ready.tokenizer.pad_token_id, records, bfloat16=bfloat16, progress=progress)
    _describe(folder, contract, plan)
    mechanism, precision = plan.mechanism, _precision(bfloat16=bfloat16)
    if not mechanism.is_private:
        return FineTuned(folder, None, precision=precision)
    attempts = (mechanism.steps,) if checkpoints is None else checkpoints.steps_of_attempts()
    return FineTuned(folder, mechanism.event(mechanism.steps), mechanism.event_of_replay(attempts), precision)


def _encoded(contract: Contract, plan: TrainingPlan, rows: Rows, ready: Prepared) -> Iterator[tuple[str, Encoded]]:
    """Whose each record is, and the record."""
    for frame in rows:
        prefixes = (ready.prefixes[cell] for cell in cells_of(frame, contract))
        yield from zip(frame["unit"], encode(ready.tokenizer, prefixes, frame["text"], plan.max_tokens), strict=True)


def _precision(*, bfloat16: bool) -> Precision:
    return "bfloat16" if bfloat16 else "float32"


def _describe(folder: Path, contract: Contract, plan: TrainingPlan) -> None:
    """Say beside what was trained what it is, with no name of a folder of this machine."""
    if (stated := folder / CONFIG_NAME).exists():  # PEFT looks for the base model by what stands here, so it is last
        config = {
            **json.loads(stated.read_text(encoding="utf-8")),
            "base_model_name_or_path": base_name(plan.base_model),
        }
        stated.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")
    (folder / README).write_text(model_card(contract, plan), encoding="utf-8")


def load_tuned(
    base_model: str, method: str, folder: Path
) -> tuple[PreTrainedModel | PeftModel, PreTrainedTokenizerBase]:
    """What `fine_tune` wrote to `folder`, ready to generate from, and its tokenizer; or the base model as it comes."""
    if is_untouched(folder):
        return load_base_model(base_model)
    if method == "full":
        _, tokenizer = load_base_model(base_model)
        model: Any = AutoModelForCausalLM.from_pretrained(str(folder), dtype="float32")
        return model.to(device()).eval(), tokenizer
    base, tokenizer = load_base_model(base_model)
    tuned = PeftModel.from_pretrained(base, str(folder)).to(base.device)
    # Merging a low-rank adapter into the weights gives the same function with fewer products per token.
    return (tuned.merge_and_unload() if method == "lora" else tuned).eval(), tokenizer
