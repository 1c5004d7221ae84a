"""Fine-tunes an adapter of a base model on sensitive records with the plan's DP-SGD mechanism.

What comes out, the adapter folder, has the guarantee of the plan's event. Nothing else comes out: no loss, no count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dpsynth_assets.language.base_model import load_base_model
from dpsynth_assets.language.objective import Encoded, encode, encode_prefix, losses
from dpsynth_assets.privacy.plan import TrainingPlan
from dpsynth_assets.privacy.training import Progress, train

if TYPE_CHECKING:
    import pandas as pd
    from peft import PeftModel
    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from dpsynth_assets.contract import Contract
    from ledger import PoissonSampledGaussian


@dataclass(frozen=True)
class FineTuned:
    """What a training run leaves: where the adapter is, and the event that really ran."""

    folder: Path
    event: PoissonSampledGaussian


class TextUnits:
    """Encoded records grouped by privacy unit (`dpsynth_assets.privacy.training.UnitData`). Sensitive throughout."""

    def __init__(self, records: Sequence[Encoded], units: Sequence[object], pad_token_id: int) -> None:
        groups: dict[object, list[int]] = {}
        for record, unit in enumerate(units):
            groups.setdefault(unit, []).append(record)
        self.records_of = list(groups.values())
        self.lengths = [len(record.ids) for record in records]
        self._records = records
        self._pad_token_id = pad_token_id

    def losses(self, model: nn.Module, records: Sequence[int]) -> Tensor:
        """Mean token loss of each of the records, shape (len(records),)."""
        return losses(model, [self._records[record] for record in records], self._pad_token_id)


def fine_tune(
    contract: Contract,
    plan: TrainingPlan,
    frame: pd.DataFrame,
    folder: Path,
    progress: Progress | None = None,
) -> FineTuned:
    """Trains the contract's adapter and writes it to `folder` (peft's format, safetensors).

    Args:
        plan: must be the one whose event was granted.
        frame: columns `unit`, `text` and the contract's label columns, one row per record, at most `plan.max_records`
            rows per unit, as the sensitive store hands them out.
        folder: created; must not hold another adapter.
        progress: told (steps done, steps in all).

    Raises:
        ValueError: a unit has more records than the plan bounds, which would break the declared sensitivity.
    """
    if not frame.empty and int(frame.groupby("unit", sort=False).size().max()) > plan.max_records:
        raise ValueError(f"a unit has more than max_records ({plan.max_records}) records: bound them on reading")
    model, tokenizer = load_base_model(plan.base_model)
    adapted = attach_adapter(model, plan)
    prefixes = {cell: encode_prefix(tokenizer, contract.plain_label(cell)) for cell in contract.cells}
    columns = [label.column for label in contract.privacy.labels]
    cells = list(frame[columns].itertuples(index=False, name=None))
    records = encode(tokenizer, [prefixes[cell] for cell in cells], frame["text"].tolist(), plan.max_tokens)
    data = TextUnits(records, frame["unit"].tolist(), tokenizer.pad_token_id)
    steps = train(
        adapted,
        data,
        plan.mechanism,
        learning_rate=plan.learning_rate,
        micro_batch_tokens=plan.micro_batch_tokens,
        progress=progress,
    )
    adapted.save_pretrained(folder, safe_serialization=True)
    return FineTuned(folder, plan.mechanism.event(steps))


def attach_adapter(model: PreTrainedModel, plan: TrainingPlan) -> PeftModel:
    """A peft model around `model` with the plan's LoRA on every linear layer but the head; nothing else is trainable.

    Without dropout: its masks would be one more source of variance, and clipping already bounds what one unit can do.
    """
    from peft import LoraConfig, TaskType, get_peft_model

    config = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=plan.rank,
        lora_alpha=plan.alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
        bias="none",
    )
    return get_peft_model(model, config)
