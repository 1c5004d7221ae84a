"""Which settings suit a contract's adapter at one epsilon of its own: loss on rows set aside from the train split.

    python -m benchmarks.settings contracts/ag_news_smollm2.odcs.yaml --source ../shared/data/ag_news.parquet \
        --epsilon 2.4778 --out settings --try learning_rate=0.005 expected_batch_size=512 rank=16,learning_rate=0.001

What is tried changes terms of `releases.adapter`, as the contract writes them; the rest stays. Each run trains the
whole release that the terms plan, with noise calibrated to the epsilon, and touches no ledger: *public* sources only.
Only rows of the contract's own source are read, never its test split. Repeated, it goes on where it was. The loss tells
settings apart, but not what a classifier makes of the texts.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress

from benchmarks.public_source import public_contract, rows_of
from dpsynth_assets.language.finetuning import fine_tune, load_tuned
from dpsynth_assets.language.model_places import located
from dpsynth_assets.language.objective import encode, losses
from dpsynth_assets.language.prompts import prefixes_of
from dpsynth_assets.language.untouched import untouched
from dpsynth_assets.markdown import row, table
from dpsynth_assets.privacy.checkpoint import CheckpointFolder
from dpsynth_assets.privacy.plan import TrainingPlan
from dpsynth_assets.releases.adapter import ADAPTER, AdapterTerms
from dpsynth_assets.releases.rows import cells_of

if TYPE_CHECKING:
    import pandas as pd

    from dpsynth_assets.contract import Contract

UNTRAINED = "base model as it comes"


def tried(contract: Contract, setting: str, epsilon: float, units: int) -> Contract:
    """The contract with the terms of `setting`, `NAME=VALUE[,NAME=VALUE]`, at that epsilon and number of units.

    Raises:
        ValueError: the terms are none of an adapter's.
    """
    terms = contract.privacy
    written = dict(each.partition("=")[::2] for each in setting.split(","))
    changed = {name: _value(text) for name, text in written.items()}
    if priced := {"epsilon", "share"} & set(changed):
        raise ValueError(f"{setting}: {priced.pop()} is the same for all: --epsilon")
    stated = terms.releases[ADAPTER].model_dump(exclude_unset=True) | changed
    try:
        adapter = AdapterTerms.model_validate({**stated, "epsilon": 1.0})
    except ValidationError as error:
        raise ValueError(f"{setting}: {error.errors()[0]['msg']}") from None
    adapter = adapter.model_copy(update={"epsilon": epsilon, "share": None})
    unit = terms.unit.model_copy(update={"public_count": units})
    releases = terms.releases.but(ADAPTER, adapter)
    return replace(contract, privacy=terms.model_copy(update={"unit": unit, "releases": releases}))


def _value(text: str) -> Any:
    """A number, or the word as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def trained(contract: Contract, plan: TrainingPlan, train: pd.DataFrame, folder: Path) -> Path:
    """The folder of the adapter, trained there before or now, in one process."""
    ready, work = folder / "adapter", folder / "unfinished"
    if not ready.exists():
        shutil.rmtree(work, ignore_errors=True)
        with Progress(console=Console(stderr=True)) as bar:
            moved = partial(bar.update, bar.add_task("steps", total=plan.mechanism.steps))
            fine_tune(
                contract,
                plan,
                [train],
                work,
                progress=lambda done, _: moved(completed=done),
                checkpoints=CheckpointFolder(folder / "checkpoints", plan.digest()),
            )
        work.rename(ready)
    return ready


def loss(contract: Contract, plan: TrainingPlan, adapter: Path, aside: pd.DataFrame) -> float:
    """Mean over texts of the mean loss of a text's tokens, in nats."""
    model, tokenizer = load_tuned(located(plan.base_model, contract), plan.method, adapter)
    prefixes, pad = prefixes_of(contract, tokenizer), int(tokenizer.pad_token_id)
    asked = (prefixes[cell] for cell in cells_of(aside, contract))
    judged = list(encode(tokenizer, asked, aside["text"], plan.max_tokens))
    with torch.no_grad():
        parts = [losses(model, judged[start : start + 32], pad) for start in range(0, len(judged), 32)]
    return float(torch.cat(parts).mean())


def measured(contract: Contract, train: pd.DataFrame, aside: pd.DataFrame, out: Path, about: list[Any]) -> list[object]:
    """The figures of a line: noise over the clipping norm in a mean gradient, loss, minutes."""
    plan = TrainingPlan.from_contract(contract)
    folder = out / hashlib.sha256(json.dumps([plan.digest(), *about]).encode()).hexdigest()[:16]
    found = folder / "found.json"
    kept: dict[str, Any] = json.loads(found.read_text(encoding="utf-8")) if found.exists() else {}
    if not kept:
        begun = time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)
        kept = {"loss": loss(contract, plan, trained(contract, plan, train, folder), aside)}
        kept["minutes"] = (time.monotonic() - begun) / 60
        found.write_text(json.dumps(kept), encoding="utf-8")
    mechanism = plan.mechanism
    noise = mechanism.noise_in_mean / mechanism.l2_clip_norm if mechanism.is_private else 0.0
    return [f"{noise:.4f}", f"{kept['loss']:.3f}", f"{kept['minutes']:.0f}"]


def untrained(contract: Contract, aside: pd.DataFrame, out: Path) -> float:
    """The loss of the base model as it comes."""
    folder = out / "untrained"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    untouched(contract, folder)
    return loss(contract, TrainingPlan.from_contract(contract), folder, aside)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("contract", type=Path)
    parser.add_argument("--source", help="another copy of the source")
    parser.add_argument("--epsilon", type=float, required=True, help="of the adapter alone; inf: no clip and no noise")
    parser.add_argument("--try", dest="tried", nargs="+", required=True, metavar="NAME=VALUE[,NAME=VALUE]")
    parser.add_argument("--aside", type=int, default=512, help="rows of the train split that judge")
    parser.add_argument("--out", type=Path, required=True, help="a folder that keeps what was trained")
    chosen = parser.parse_args()
    if not chosen.epsilon > 0:
        parser.error(f"--epsilon is above 0, or inf for training without privacy, not {chosen.epsilon:g}")
    contract = public_contract(chosen.contract, chosen.source)
    rows = rows_of(contract).sample(frac=1.0, random_state=0)  # the cut is public
    aside, train = rows.head(chosen.aside), rows.iloc[chosen.aside :]
    epsilon = chosen.epsilon
    try:
        changed = {each: tried(contract, each, epsilon, len(train)) for each in chosen.tried}
    except ValueError as error:
        sys.exit(str(error))
    print(f"{len(train)} rows to train on, {len(aside)} set aside; epsilon {epsilon:g}\n")
    print(table(["setting", "noise in a mean gradient, in clips", "loss on rows set aside", "minutes"], []), flush=True)
    any_one = next(iter(changed.values()))
    print(row([UNTRAINED, "", f"{untrained(any_one, aside, chosen.out):.3f}", ""]), flush=True)
    about = [contract.id, contract.source, len(train), len(aside)]
    for setting, each in changed.items():
        print(row([setting, *measured(each, train, aside, chosen.out, about)]), flush=True)


if __name__ == "__main__":
    main()
