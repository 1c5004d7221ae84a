"""Makes a base model one that can be trained with a plan's guarantee, and looks on made-up records that it is.

Knows models and plans. It sees no record of anybody.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from peft import LoraConfig, PeftConfig, PromptTuningConfig, PromptTuningInit, TaskType, get_peft_model
from torch import nn
from torch.distributed.fsdp import FSDPModule
from transformers.pytorch_utils import Conv1D

from dpsynth_assets.language.base_model import has_bfloat16
from dpsynth_assets.language.model_places import BaseModelError
from dpsynth_assets.language.objective import Encoded, verify_objective
from dpsynth_assets.language.packed import Packed
from dpsynth_assets.language.rounding import round_frozen_layers
from dpsynth_assets.language.sharding import load_in_shards
from dpsynth_assets.language.units import TextUnits
from dpsynth_assets.privacy.clipping.errors import UnclippedGradientError
from dpsynth_assets.privacy.clipping.verification import verify_exactness, verify_own_bits
from dpsynth_assets.privacy.shapes import Shape, public_shapes

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from dpsynth_assets.privacy.plan import TrainingPlan


def trainable_model(
    base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, plan: TrainingPlan, longest: int, prefix: int
) -> tuple[PreTrainedModel | PeftModel, bool]:
    """The model with what the plan trains of it, verified; and whether its passes are computed in bfloat16.

    A plan with precision bfloat16 is computed in float32 where the processor has none, or where its products in
    bfloat16 give a record other bits beside other records. The guarantee is the same.

    Args:
        base: from `load_base_model`; used up.
        longest: bound on a record's tokens without virtual ones; public.
        prefix: bound from below on its tokens without a loss; public.

    Raises:
        BaseModelError, ObjectiveError, UnclippedGradientError: the model cannot be trained with the plan's guarantee,
            here or anywhere; found on made-up records.
    """
    require_context(base, plan, longest - plan.max_tokens)
    model = _adapted(base, plan)
    rounder = plan.precision == "bfloat16" and has_bfloat16()
    bfloat16 = _verify(model, plan, tokenizer.pad_token_id, len(tokenizer), longest, prefix, rounder)
    return model, bfloat16


def trainable_in_shards(
    name: str, plan: TrainingPlan, longest: int, prefix: int, *, bfloat16: bool
) -> tuple[PeftModel, PreTrainedTokenizerBase]:
    """As `trainable_model`, with the base model's frozen layers in shards over this process's ranks, in a precision
    that whoever started them chose: ranks that chose for themselves could choose differently, and wait for each other.

    All ranks call this together. With bfloat16 the files are read twice: rounded weights cannot be compared in float32.

    Raises:
        BaseModelError, ObjectiveError, UnclippedGradientError: the model cannot be trained like this.
        LostRankError: another rank is gone.
    """
    base, tokenizer = load_in_shards(name, bfloat16=False)
    model = _adapted(base, plan)
    _verify_sums(model, plan, tokenizer.pad_token_id, len(tokenizer))
    if bfloat16:
        del base, model
        gc.collect()  # shards refer to each other
        base, _ = load_in_shards(name, bfloat16=True)
        model = _adapted(base, plan)
    if plan.mechanism.is_private:
        _verify_own_bits(model, plan, tokenizer.pad_token_id, len(tokenizer), longest, prefix, bfloat16=bfloat16)
    return model, tokenizer


def _adapted(base: PreTrainedModel, plan: TrainingPlan) -> Any:
    model: Any = attach_adapter(base, plan)
    model.to(base.device)  # an adapter's own parameters are made on the CPU
    if plan.gradient_checkpointing:
        base.activation_checkpointing_enable({"use_reentrant": False})
    return model


def require_context(base: PreTrainedModel, plan: TrainingPlan, prefix: int) -> None:
    """Pass if the model has places for the longest record, `prefix` tokens before it. Looks at no weight.

    Raises:
        BaseModelError: it has not.
    """
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
        sharded = isinstance(model, FSDPModule)
        in_full = f"{'leave DPSYNTH_SHARDED unset and ' if sharded else ''}write `method: full`"
        raise BaseModelError(
            f"base model {plan.base_model!r} ({type(model).__name__}) cannot be adapted by method `{plan.method}` "
            f"({error}): {in_full}, or name a model of attention layers"
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
    _verify_sums(model, plan, pad, vocabulary)
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


def _verify_sums(model: nn.Module, plan: TrainingPlan, pad: int, vocabulary: int) -> None:
    """Objective and exactness, in float32."""
    made_up = [
        Encoded(tuple((7 * place + 3 * record) % vocabulary for place in range(6 + 3 * record)), prefix=2 + record % 2)
        for record in range(4)
    ]
    verify_objective(model, made_up[0], pad)
    data = TextUnits(Packed.of(made_up, [0, 1, 1, 2]), pad)
    by_opacus = plan.engine == "opacus"
    verify_exactness(model, lambda records: data.losses(model, records), [1, 2, 1], by_opacus=by_opacus)


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
            records = Packed.of(made_up)
            data = TextUnits(records, pad, virtual, longest=longest, prefix=prefix, bfloat16=bfloat16)

            def losses(records: Sequence[int], shape: Shape, data: TextUnits = data) -> Tensor:
                return data.losses(model, records, shape)

            verify_own_bits(model, losses, shape, [0, 1, 2], by_opacus=plan.engine == "opacus")
    finally:
        model.eval()
