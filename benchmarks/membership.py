"""What an outsider can tell: who was trained on, from the released adapter, and from the synthetic texts alone.

    OMP_NUM_THREADS=1 python -m benchmarks.membership --out membership.json

The people are customers of the demo's fictional bank. A fair draw makes half of them members, who are trained on; the
others are the holdout. The demo contract's adapter is trained three times, in a quick pass for half as many people as
it counts: with the contract's ε; without privacy; and, to show that the attacks can win, without privacy on few of the
members, over and over, with a wider adapter. Each adapter writes a table. The labels of the tables are in the
proportions of everybody, so they tell nothing.

The attacker knows the records that were used, or would have been, and the base model, whose loss is taken off other
losses. A unit's score is the mean of its records' scores. "Caught" is the share of the members above all but 1 % of the
holdout. Intervals are of 95 %, from resampled units, and say nothing of another training run. After The Canary's Echo
(arXiv 2502.14921) and, for the test of a whole table against a holdout, Phantoms and Disclosures (arXiv 2606.16952).

On real people these figures would be a release. Here nobody is real, so everything may be looked at.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.attacks import (
    FALSE_ALARMS,
    Disclosure,
    Figure,
    Floats,
    auc,
    by_unit,
    caught,
    estimated,
    holdout_test,
    ngram_losses,
    shared_ngrams,
)
from dpsynth_assets.classify.encoder import MiniLM, padded, sentence_vectors
from dpsynth_assets.contract import Contract, load_contract
from dpsynth_assets.demo.inbox import Parameters, generate
from dpsynth_assets.language.base_model import load_base_model
from dpsynth_assets.language.finetuning import fine_tune, load_tuned
from dpsynth_assets.language.generation import generate_corpus
from dpsynth_assets.language.objective import Encoded, encode, losses
from dpsynth_assets.language.prompts import prefixes_of
from dpsynth_assets.privacy.plan import TrainingPlan, calibrated
from dpsynth_assets.synthesis.candidates import rows_wanted
from resources.bounding import bound_units

CONTRACT = Path(__file__).parents[1] / "contracts" / "inbox.odcs.yaml"
SEED = 7  # of the people, who is a member, and the resampling; training has fresh noise and batches each time
SIZE = 0.5  # of the contract's people, as in `dpsynth run --size`: fewer steps and more noise at the same ε
MESSAGES_EACH = 2.5  # as in the demo
# The control: so few members that many passes over them take minutes, and an adapter that has room for them.
CONTROL_MEMBERS, CONTROL_BATCH, CONTROL_STEPS, CONTROL_RANK = 200, 50, 80, 32
AT_ONCE = 64  # texts in a forward pass


def vectors(encoder: MiniLM, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """As the encoder's, with many texts in a forward pass: their last bits may differ, which matters to nobody here."""
    tokens = encoder.tokenize(texts)
    found = np.empty((len(tokens), encoder.model.config.hidden_size), np.float32)
    with torch.inference_mode():
        for places in _alike(list(map(len, tokens))):
            found[places] = sentence_vectors(encoder.model, *padded([tokens[place] for place in places])).numpy()
    return found


def _alike(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places of `AT_ONCE` texts that are about as long."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    yield from (order[start : start + AT_ONCE] for start in range(0, len(order), AT_ONCE))


# What the adapter tells.


def model_losses(model: Any, tokenizer: Any, records: Sequence[Encoded]) -> Floats:
    """The mean token loss of each record's text."""
    found = np.empty(len(records))
    with torch.inference_mode():
        for places in _alike([len(record.ids) for record in records]):
            some = [records[place] for place in places]
            found[places] = losses(model.eval(), some, tokenizer.pad_token_id).float().numpy()
    return found


# People, adapters and tables.


def members_of(contract: Contract) -> int:
    """How many people are members; as many others are the holdout."""
    return round(SIZE * contract.privacy.unit.public_count)


def people(contract: Contract) -> pd.DataFrame:
    """The records that are used of members and holdout, whose they are (`member`), and each member's place among the
    members (`rank`)."""
    customers = 2 * members_of(contract)
    inbox = generate(Parameters(SEED, round(MESSAGES_EACH * customers), customers))["train"]
    labels = [label.column for label in contract.privacy.labels]
    frame = pd.DataFrame(
        [(each.customer_id, each.text, *(getattr(each, label) for label in labels)) for each in inbox],
        columns=["unit", "text", *labels],
    )
    records = list(frame.itertuples(index=False, name=None))
    frame = frame[bound_units([records], contract.privacy.unit.max_records, b"public")].reset_index(drop=True)
    drawn = np.random.default_rng(SEED).permutation(frame["unit"].unique())[: members_of(contract)]
    return frame.assign(member=frame["unit"].isin(drawn), rank=frame["unit"].map({u: i for i, u in enumerate(drawn)}))


def trainings(contract: Contract) -> Iterator[tuple[str, TrainingPlan, int]]:
    """What is trained: its name, its plan, and on how many of the members."""
    plan, members = TrainingPlan.from_contract(contract, SIZE), members_of(contract)
    plain = replace(plan, mechanism=calibrated(plan.mechanism, math.inf, plan.delta), canaries=0)
    yield f"with the contract's ε, {plan.epsilon:g}", plan, members
    yield "without privacy", plain, members
    often = replace(
        plain.mechanism,
        sampling_probability=CONTROL_BATCH / CONTROL_MEMBERS,
        expected_batch_size=CONTROL_BATCH,
        steps=CONTROL_STEPS,
    )
    passes = CONTROL_STEPS * CONTROL_BATCH // CONTROL_MEMBERS
    control = replace(plain, mechanism=often, rank=CONTROL_RANK)
    yield (
        f"control: no privacy, {passes} passes over {CONTROL_MEMBERS}",
        control,
        CONTROL_MEMBERS,
    )


@dataclass(frozen=True)
class Attacked:
    """What was found about one adapter and its table."""

    training: str
    members: int
    holdout: int
    auc: dict[str, Figure]
    caught: dict[str, Figure]
    disclosure: Disclosure


class Attacker:
    """Knows everybody's records and the base model, and what is published of them."""

    def __init__(self, contract: Contract, records: pd.DataFrame) -> None:
        self.contract, self.records = contract, records
        self.base, self.tokenizer = load_base_model(contract.privacy.base_model.name)
        self.labels = [label.column for label in contract.privacy.labels]
        self.encoder = MiniLM()
        self.encoded = self._encoded(records)
        self.vectors = vectors(self.encoder, records["text"].tolist())
        self.base_losses = model_losses(self.base, self.tokenizer, self.encoded)

    def _encoded(self, rows: pd.DataFrame) -> list[Encoded]:
        prefixes = prefixes_of(self.contract, self.tokenizer)
        cells = rows[self.labels].itertuples(index=False, name=None)
        longest = self.contract.privacy.text.max_tokens
        return list(encode(self.tokenizer, (prefixes[cell] for cell in cells), rows["text"], longest))

    def _by_ngrams(self, table: pd.DataFrame) -> Floats:
        texts, rows = ([each.ids[each.prefix :] for each in some] for some in (self.encoded, self._encoded(table)))
        return ngram_losses(texts, rows, self.tokenizer.bos_token_id, len(self.tokenizer))

    def attack(self, training: str, plan: TrainingPlan, trained_on: int) -> Attacked:
        """Trains, draws a table, and scores everybody but members who were left out."""
        rng = np.random.default_rng(SEED)
        used = ~(self.records["rank"] >= trained_on).to_numpy()
        records = self.records[used]
        columns = ["unit", "text", *self.labels]
        with tempfile.TemporaryDirectory() as home:
            folder = Path(home) / "adapter"
            fine_tune(self.contract, plan, records[records["member"]][columns].reset_index(drop=True), folder)
            labels = self.records.groupby(self.labels).size().to_dict()
            table = generate_corpus(self.contract, folder, labels, rows_wanted(self.contract, SIZE))
            model, _ = load_tuned(plan.base_model, plan.method, folder)
            tuned = model_losses(model, self.tokenizer, self.encoded)
        texts = table["text"].tolist()
        near = vectors(self.encoder, texts) @ self.vectors[used].T
        scores = {
            "adapter: loss": (self.base_losses - tuned)[used],
            "texts: n-grams shared": shared_ngrams(records["text"].tolist(), texts),
            "texts: n-gram model's loss": (self.base_losses - self._by_ngrams(table))[used],
            "texts: nearest row": near.max(axis=0).astype(float),
        }
        sides = {name: by_unit(records, found) for name, found in scores.items()}
        return Attacked(
            training,
            trained_on,
            int(records["unit"].nunique()) - trained_on,
            {name: estimated(auc, *side, rng) for name, side in sides.items()},
            {name: estimated(caught, *side, rng) for name, side in sides.items()},
            holdout_test(near.argmax(axis=1), records, rng),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="a file for the figures, as JSON")
    chosen = parser.parse_args()
    contract = load_contract(CONTRACT)
    attacker = Attacker(contract, people(contract))
    found = []
    for training in trainings(contract):
        found.append(attacker.attack(*training))
        print(f"{training[0]}: done", flush=True)
    attacks = Table("trained", "attack", "AUC (95 %)", f"caught at {FALSE_ALARMS:.0%} false alarms (95 %)")
    tests = Table("trained", "rows nearest to a member", "expected by chance", "p")
    for each in found:
        for name, figure in each.auc.items():
            attacks.add_row(each.training, name, str(figure), str(each.caught[name]))
        nearest = each.disclosure
        tests.add_row(each.training, f"{nearest.share:.3f}", f"{nearest.expected:.3f}", f"{nearest.p:.4f}")
    console = Console(width=150)
    console.print(attacks, tests)
    if chosen.out is not None:
        chosen.out.write_text(json.dumps([asdict(each) for each in found], indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
