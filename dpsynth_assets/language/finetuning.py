"""Fine-tunes a base model, or an adapter of it, on sensitive records with the plan's DP-SGD mechanism.

What comes out, the folder with the adapter or the model, has the guarantee of the plan's event. Nothing else comes
out: no loss, no count.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, PeftConfig, PeftModel, PromptTuningConfig, PromptTuningInit, TaskType, get_peft_model
from torch import nn
from transformers import AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from dpsynth_assets.audit.canaries import Canaries
from dpsynth_assets.audit.result import audit_result
from dpsynth_assets.language.base_model import device, has_bfloat16, load_base_model
from dpsynth_assets.language.model_places import BaseModelError, located
from dpsynth_assets.language.objective import Encoded, encode, losses, verify_objective
from dpsynth_assets.language.promise import TrainingPromise
from dpsynth_assets.language.prompts import prefixes_of
from dpsynth_assets.language.rounding import round_frozen_layers
from dpsynth_assets.language.untouched import is_untouched
from dpsynth_assets.privacy.checkpoint import CheckpointFolder
from dpsynth_assets.privacy.clipping.errors import UnclippedGradientError
from dpsynth_assets.privacy.clipping.verification import verify_exactness, verify_own_bits
from dpsynth_assets.privacy.plan import TrainingPlan
from dpsynth_assets.privacy.shapes import Shape, public_shapes
from dpsynth_assets.privacy.training import train
from dpsynth_assets.progress import Progress

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from dpsynth_assets.contract import Contract
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


class TextUnits:
    """Encoded records grouped by privacy unit (`dpsynth_assets.privacy.training.UnitData`). Sensitive throughout.

    Args:
        longest: a public bound on the records' lengths. None takes their longest, for records that are not private.
        prefix: a public bound from below on their tokens without a loss.
        virtual_tokens: what the model puts before each text; counts towards the lengths, hence towards memory.
        bfloat16: the passes are computed under autocast. Gradients get rounder; norms and sums are taken in full
            precision of whatever gradients there are.
    """

    def __init__(
        self,
        records: Sequence[Encoded],
        units: Sequence[object],
        pad_token_id: int,
        virtual_tokens: int = 0,
        *,
        longest: int | None = None,
        prefix: int = 1,
        bfloat16: bool = False,
    ) -> None:
        by_unit: dict[object, list[int]] = {}
        for record, unit in enumerate(units):
            by_unit.setdefault(unit, []).append(record)
        self.records_of = list(by_unit.values())
        self.lengths = [len(record.ids) + virtual_tokens for record in records]
        self.longest = virtual_tokens + longest if longest is not None else max(self.lengths, default=1)
        self._records = records
        self._pad_token_id = pad_token_id
        self._virtual_tokens = virtual_tokens
        self._prefix = prefix
        self._bfloat16 = bfloat16

    def losses(self, model: nn.Module, records: Sequence[int], shape: Shape | None = None) -> Tensor:
        """Mean token loss of each of the records, shape (shape.rows,); without a shape, (len(records),)."""
        text = None if shape is None else Shape(shape.width - self._virtual_tokens, shape.rows)
        chosen = [self._records[record] for record in records]
        with torch.autocast(next(model.parameters()).device.type, torch.bfloat16, enabled=self._bfloat16):
            return losses(model, chosen, self._pad_token_id, text, self._prefix)


@dataclass(frozen=True)
class Prepared:
    """A model that can be trained on this machine, in a precision in which nobody's record touches another's numbers.

    Attributes:
        longest: bound on a record's tokens without virtual ones; public, of the contract's labels and `max_tokens`.
        prefix: bound from below on its tokens without a loss; public.
    """

    model: PreTrainedModel | PeftModel
    tokenizer: PreTrainedTokenizerBase
    prefixes: dict[tuple[str, ...], tuple[int, ...]]
    longest: int
    prefix: int
    bfloat16: bool


def prepare(contract: Contract, plan: TrainingPlan) -> Prepared:
    """What `fine_tune` needs and can be had, and can fail, without a row.

    A plan with precision bfloat16 is computed in float32 where the processor has none, or where its products in
    bfloat16 give a record other bits beside other records. The guarantee is the same.

    Raises:
        BaseModelError, PromptError, ObjectiveError, UnclippedGradientError: the model cannot be trained with the
            plan's guarantee, here or anywhere; found on made-up records.
    """
    base, tokenizer = load_base_model(located(plan.base_model, contract))
    prefixes = prefixes_of(contract, tokenizer)
    lengths = [len(prefix) for prefix in prefixes.values()]
    longest = max(lengths) + plan.max_tokens
    _require_context(base, plan, longest - plan.max_tokens)
    model: Any = attach_adapter(base, plan)
    model.to(base.device)  # an adapter's own parameters are made on the CPU
    if plan.gradient_checkpointing:
        base.activation_checkpointing_enable({"use_reentrant": False})
    rounder = plan.precision == "bfloat16" and has_bfloat16()
    bfloat16 = _verify(model, plan, tokenizer.pad_token_id, len(tokenizer), longest, min(lengths), rounder)
    return Prepared(model, tokenizer, prefixes, longest, min(lengths), bfloat16)


def fine_tune(
    contract: Contract,
    plan: TrainingPlan,
    frame: pd.DataFrame,
    folder: Path,
    progress: Progress | None = None,
    checkpoints: CheckpointFolder | None = None,
    prepared: Prepared | None = None,
) -> FineTuned:
    """Trains what the plan's method trains and writes it to `folder` (safetensors).

    Args:
        plan: must be the one whose event was granted.
        frame: columns `unit`, `text` and the contract's label columns, one row per record, at most `plan.max_records`
            rows per unit, as the sensitive store hands them out.
        folder: created; must not hold another adapter.
        progress: told (steps done, steps in all).
        checkpoints: in the sensitive zone; a run that was killed there is continued.
        prepared: by `prepare` for this plan, before anything was spent; used up. None prepares now.

    Raises:
        ValueError: a unit has more records than the plan bounds, which would break the declared sensitivity.
        UnclippedGradientError, ObjectiveError: as `prepare`.
    """
    if not frame.empty and int(frame.groupby("unit", sort=False).size().max()) > plan.max_records:
        raise ValueError(f"a unit has more than max_records ({plan.max_records}) records: bound them on reading")
    ready = prepared or prepare(contract, plan)
    columns = [label.column for label in contract.privacy.labels]
    cells = list(frame[columns].itertuples(index=False, name=None))
    texts = frame["text"].tolist()
    records = encode(ready.tokenizer, [ready.prefixes[cell] for cell in cells], texts, plan.max_tokens)
    data = TextUnits(
        records,
        frame["unit"].tolist(),
        ready.tokenizer.pad_token_id,
        plan.prompt_tokens or 0,
        longest=ready.longest,
        prefix=ready.prefix,
        bfloat16=ready.bfloat16,
    )
    with _canaries(plan, ready, checkpoints) as canaries:
        run = train(
            ready.model,
            data if canaries is None else canaries.beside(data),
            plan.mechanism,
            plan.learning,
            micro_batch_tokens=plan.micro_batch_tokens,
            progress=progress,
            checkpoints=checkpoints,
            observer=canaries,
            by_opacus=plan.engine == "opacus",
        )
    ready.model.save_pretrained(folder, safe_serialization=True)
    mechanism, precision = plan.mechanism, "bfloat16" if ready.bfloat16 else "float32"
    if not mechanism.is_private:
        return FineTuned(folder, None, precision=precision)
    event, replay = mechanism.event(run.steps), mechanism.event_of_replay(run.attempts)
    if canaries is not None:
        ran = [each for each in (event, replay) if each is not None]
        audit_result(canaries, TrainingPromise(ran, plan.delta), mechanism.steps).save(folder)
    return FineTuned(folder, event, replay, precision)


def _canaries(
    plan: TrainingPlan, ready: Prepared, checkpoints: CheckpointFolder | None
) -> AbstractContextManager[Canaries | None]:
    """The canaries that the plan asks for. Plain training promises nothing, so nothing of it is audited."""
    if not plan.canaries or not plan.mechanism.is_private:
        return nullcontext()
    return Canaries(
        ready.model,
        plan.canaries,
        plan.mechanism.clipping,
        records=min(2, plan.max_records),
        length=(plan.prompt_tokens or 0) + ready.prefix + 1,
        folder=None if checkpoints is None else checkpoints.path,
    )


def _require_context(base: PreTrainedModel, plan: TrainingPlan, prefix: int) -> None:
    """BaseModelError where the longest record, `prefix` tokens before it, has more than the model has places for."""
    places = getattr(base.config.get_text_config(), "max_position_embeddings", None)
    needed = prefix + plan.max_tokens + (plan.prompt_tokens or 0)
    if places is not None and needed > places:
        asked = "its labels" if plan.prompt is None else f"its prompt of {prefix} tokens"
        shorter = "" if plan.prompt is None else "shorten `prompt.template`, "
        left = plan.max_tokens - needed + places
        lower = f"lower `text.max_tokens` from {plan.max_tokens} to {left} or less, " if left >= 4 else ""
        raise BaseModelError(
            f"base model {plan.base_model!r} reads {places} tokens at once, and a text with {asked} in front may "
            f"have {needed}: {lower}{shorter}or name a model with a longer context"
        )


def attach_adapter(model: PreTrainedModel, plan: TrainingPlan) -> PreTrainedModel | PeftModel:
    """The model with what the plan's method trains, and only that, trainable. In training mode only once it is trained.

    `lora`: low-rank matrices on every linear layer but the head. `prompt`: virtual tokens, which start as tokens of the
    vocabulary. `full`: every parameter.

    Without dropout: its masks would be one more source of variance, and clipping already bounds what one unit can do.

    Raises:
        BaseModelError: peft cannot adapt this kind of model.
    """
    _without_dropout(model)
    if plan.method == "full":
        return model.requires_grad_(True)
    try:
        return get_peft_model(model, _adapter_config(model, plan))
    except (ValueError, TypeError, AttributeError, NotImplementedError) as error:
        raise BaseModelError(
            f"base model {plan.base_model!r} ({type(model).__name__}) cannot be adapted by method `{plan.method}` "
            f"({error}): write `method: full`, or name a model of attention layers"
        ) from error


def _adapter_config(model: PreTrainedModel, plan: TrainingPlan) -> PeftConfig:
    if plan.method == "prompt":
        assert plan.prompt_tokens is not None
        return PromptTuningConfig(
            task_type=TaskType.CAUSAL_LM,
            num_virtual_tokens=plan.prompt_tokens,
            prompt_tuning_init=PromptTuningInit.SAMPLE_VOCAB,
        )
    return LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=plan.rank,
        lora_alpha=plan.alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
        bias="none",
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),  # GPT-2's way of storing
    )


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


def _without_dropout(model: nn.Module) -> None:
    """Base models that come with dropout (GPT-2) are trained without it, for the same reason as the adapters."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ("attn_dropout", "attention_dropout", "resid_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


def _verify(
    model: nn.Module, plan: TrainingPlan, pad: int, vocabulary: int, longest: int, prefix: int, bfloat16: bool
) -> bool:
    """Objective, exactness and own bits on made-up records; whether the passes may be computed in bfloat16.

    Where they may, the frozen layers are left rounded: own bits are checked on the very weights that training uses.
    """
    made_up = [
        Encoded(tuple((7 * place + 3 * record) % vocabulary for place in range(6 + 3 * record)), prefix=2 + record % 2)
        for record in range(4)
    ]
    verify_objective(model, made_up[0], pad)
    data = TextUnits(made_up, [0, 1, 1, 2], pad)
    by_opacus = plan.engine == "opacus"
    verify_exactness(model, lambda records: data.losses(model, records), [1, 2, 1], by_opacus=by_opacus)
    if bfloat16:
        put_back = round_frozen_layers(model)
        try:
            if plan.mechanism.is_private:
                _verify_own_bits(model, plan, pad, vocabulary, longest, prefix, bfloat16=True)
            return True
        except UnclippedGradientError:
            put_back()  # float32 is another chance
    if plan.mechanism.is_private:
        _verify_own_bits(model, plan, pad, vocabulary, longest, prefix, bfloat16=False)
    return False


def _verify_own_bits(
    model: nn.Module, plan: TrainingPlan, pad: int, vocabulary: int, longest: int, prefix: int, *, bfloat16: bool
) -> None:
    """`verify_own_bits` at every shape that training will use, as training computes it."""
    virtual = plan.prompt_tokens or 0
    model.train()
    try:
        for shape in public_shapes(virtual + longest, plan.micro_batch_tokens, plan.mechanism.expected_batch_size):
            width = min(shape.width - virtual, longest)
            if width <= prefix:
                continue  # no record is so short
            lengths = [width, prefix + 1, (width + prefix + 1) // 2]
            made_up = [
                Encoded(tuple((11 * place + 5 * record + 1) % vocabulary for place in range(length)), prefix)
                for record, length in enumerate(lengths)
            ]
            data = TextUnits(made_up, [0, 1, 2], pad, virtual, longest=longest, prefix=prefix, bfloat16=bfloat16)

            def losses(records: Sequence[int], shape: Shape, data: TextUnits = data) -> Tensor:
                return data.losses(model, records, shape)

            verify_own_bits(model, losses, shape, [0, 1, 2], by_opacus=plan.engine == "opacus")
    finally:
        model.eval()
