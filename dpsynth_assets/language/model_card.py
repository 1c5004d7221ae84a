"""The README of an adapter's folder: what was trained, on whose rows, by which mechanism, and how it is used.

In Hugging Face's form: what a program reads in front. It takes the place of PEFT's template, which names a folder of
the machine that trained. Public terms of contract and plan only; no loss and no row.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from dpsynth_assets.contract.base_models import is_path
from dpsynth_assets.markdown import code, escaped, table
from dpsynth_assets.privacy.plan import TrainingPlan

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract

README = "README.md"
_TRAINED = {
    "lora": "A low-rank adapter (LoRA)",
    "prompt": "A prompt of virtual tokens",
    "full": "All weights",
}
_LIBRARIES = {"lora": "peft", "prompt": "peft", "full": "transformers"}


def model_card(contract: Contract, plan: TrainingPlan) -> str:
    """The README of what a plan has trained."""
    base, mechanism = base_name(plan.base_model), plan.mechanism
    private = mechanism.is_private
    front = {
        "library_name": _LIBRARIES[plan.method],
        "pipeline_tag": "text-generation",
        "tags": ["differential-privacy" if private else "no-privacy", "dp-sgd", "dpsynth"],
    }
    shape = {"rank": plan.rank, "alpha": plan.alpha, "virtual tokens": plan.prompt_tokens}
    numbers = {
        "noise multiplier": f"{mechanism.noise_multiplier:g}" if private else "none",
        "sampling rate": f"{mechanism.sampling_probability:g}",
        "steps": f"{mechanism.steps:,}",
        f"expected batch, in {plan.unit}s": f"{mechanism.expected_batch_size:,}",
        "clipping": mechanism.clipping_method,
        "clipping norm": f"{mechanism.l2_clip_norm:g}" if private else "none",
        "steps that noise is correlated over": f"{mechanism.num_bands}",
        "optimiser": f"{plan.learning.optimiser}, learning rate {plan.learning.learning_rate:g}",
        **{name: f"{value:g}" for name, value in shape.items() if value is not None},
        "tokens of a text": f"{plan.max_tokens:,}",
    }
    lines = [
        "---",
        *(f"{name}: {json.dumps(value)}" for name, value in front.items()),
        "---",
        "",
        f"# {escaped(contract.title)}: what writes its synthetic texts",
        "",
        f"{_TRAINED[plan.method]} of base model {code(base)}, trained on the source of contract {code(contract.id)}, "
        f"version {escaped(contract.version)} (SHA-256 {code(contract.digest[:16])}). {_promised(contract, plan)}",
        "",
        table(["", ""], [(escaped(name), escaped(value)) for name, value in numbers.items()]),
        "",
        "## Using it",
        "",
        f"The platform draws texts with it. One is asked for by {code(contract.asking(contract.cells[0]))}, say.",
        "",
        _loaded(plan, base),
        "",
        "## What it does not promise",
        "",
        "What the base model has memorised, no noise takes away. A text that it writes is an invention, whatever names "
        "and numbers it holds.",
        "",
        "`seal.json`, beside this file, says what the ledger of privacy promises of exactly these files; `dpsynth "
        "verify FOLDER --key KEY` checks it, offline.",
    ]
    return "\n".join(lines) + "\n"


def base_name(name: str) -> str:
    """A base model's name without the folders of this machine."""
    return Path(name).name if is_path(name) else name


def _promised(contract: Contract, plan: TrainingPlan) -> str:
    if not plan.mechanism.is_private:
        return "It was trained without noise and has no privacy guarantee at all: it may repeat what people wrote."
    records = "" if plan.max_records == 1 else f" with up to {plan.max_records} records"
    return (
        f"It is ({plan.epsilon:g}, {plan.delta:g})-differentially private, by itself, for adding or removing one "
        f"{plan.unit}{records} of population {contract.privacy.population}. Whatever is made of it has the same "
        "guarantee at no further cost."
    )


def _loaded(plan: TrainingPlan, base: str) -> str:
    if plan.method == "full":
        return "With other programs: `transformers.AutoModelForCausalLM.from_pretrained(FOLDER)`."
    return (
        f"With other programs: `peft.PeftModel.from_pretrained(model, FOLDER)`, where `model` is {code(base)} as "
        "transformers loads it."
    )
