"""A first contract from a source's columns and its owner's answers: commented YAML, ready to be signed for.

Pure: reads nothing and writes nothing. Every number comes from the answers, which are public constants, and from
general knowledge; none is taken from the rows, which nobody here has seen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from dpsynth_assets.contract.base_models import KNOWN
from dpsynth_assets.contract.source_terms import RECORD, LabelColumn
from dpsynth_assets.contract.sql_names import plain_name
from dpsynth_assets.contract.synthesis import EMBEDDED
from dpsynth_assets.releases.adapter import AdapterTerms

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_@.+-]*")  # what every reader of YAML takes for text, but for these words:
_TOKENS_AT_ONCE = AdapterTerms.model_fields["micro_batch_tokens"].default
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


@dataclass(frozen=True)
class Answers:
    """What an owner says of a source.

    Attributes:
        server: where the source lies and its format, by the standard's keys; a path as seen from the contract's folder.
        csv: how CSV files are written, where that is not the usual.
        table: what the source calls the table or sheet; None where it has one only.
        columns: the columns to be declared, by their names in SQL, with their types in the standard's words.
        stored: what the source calls columns that have other names in SQL.
        unit: what one unit is called; `record` where no column tells units apart.
        public_count: a round number of units, known without looking.
    """

    id: str
    server: Mapping[str, str | int]
    csv: Mapping[str, str]
    table: str | None
    columns: Mapping[str, str]
    stored: Mapping[str, str]
    text: str
    max_tokens: int
    unit: str
    unit_column: str | None
    max_records: int
    public_count: int
    population: str
    labels: tuple[LabelColumn, ...]
    epsilon: float
    delta: float
    base_model: str
    rows: int
    owner: str
    approver: str
    purpose: str | None
    retention_days: int


def usual_delta(public_count: int) -> float:
    """A round delta of at most a tenth of one in the number of units."""
    return float(f"1e-{len(str(public_count * 10 - 1))}")


def drafted(said: Answers) -> str:
    """The contract's text."""
    return "\n".join([*_head(said), *_table(said), *_privacy(said), *_people(said)]) + "\n"


def _head(said: Answers) -> list[str]:
    purpose = "  # description: {purpose: ...}   # what the data are for; two people sign for it"
    relative = (
        "  # relative to this file" if {"path", "database"} & set(said.server) and "host" not in said.server else ""
    )
    return [
        "# Drafted by `dpsynth new` from the columns of the source and the answers of its owner. No row was looked at.",
        "# Every number is a public constant: change what you know better, and look nothing up in the source.",
        "# docs/contracts.md explains each term, and has more of them.",
        "apiVersion: v3.2.0",
        "kind: DataContract",
        f"id: {_yaml(said.id)}  # names the assets and the published table; no other contract here has it",
        "version: 1.0.0",
        "status: draft",
        *(["description:", f"  purpose: {_yaml(said.purpose)}"] if said.purpose else [purpose.strip()]),
        "",
        "servers:",
        f"  - {{server: source, {_flow(said.server)}}}{relative}",
    ]


def _table(said: Answers) -> list[str]:
    secret = {said.text: "restricted", said.unit_column: "confidential"}
    needed = {said.text, said.unit_column, *(label.column for label in said.labels)}
    lines = ["", "schema:", f"  - name: {_yaml(said.id)}"]
    if said.table is not None:
        lines.append(f"    physicalName: {_yaml(said.table)}  # what the source calls it")
    lines.append("    properties:")
    for name, kind in said.columns.items():
        lines.append(f"      - name: {_yaml(name)}")
        if name in said.stored:
            lines.append(f"        physicalName: {_yaml(said.stored[name])}")
        lines.append(f"        logicalType: {kind}")
        if name in needed:
            lines.append("        required: true  # records without it are left out")
            lines.append(f"        classification: {secret.get(name, 'internal')}")
    return lines


def _privacy(said: Answers) -> list[str]:
    record = said.unit_column is None
    unit = [f"            column: {_yaml(str(said.unit_column))}"] if not record else []
    known = "  # each text by itself: whoever wrote several is not protected as one" if record else ""
    model = said.base_model
    training = _training(said)
    return [
        "    customProperties:",
        "      - property: privacy",
        "        value:",
        "          # Whose budget it is. Contracts about the same people have the same population, or they had two.",
        f"          population: {_yaml(said.population)}",
        "          unit:",
        f"            name: {_yaml(said.unit)}{known}",
        *unit,
        f"            max_records: {said.max_records}  # of one {said.unit}; the others are left out",
        f"            public_count: {said.public_count}  # round, and known without looking at the source",
        "            neighbouring_relation: add_or_remove_one_unit",
        "          text:",
        f"            column: {_yaml(said.text)}",
        f"            max_tokens: {said.max_tokens}  # longer texts are cut",
        *_labels(said),
        *([f"          csv: {{{_flow(said.csv)}}}  # how the file is written"] if said.csv else []),
        "          budget:  # on everything that is ever released about the population",
        f"            epsilon: {said.epsilon}",
        f"            delta: {_number(said.delta)}  # far below 1 / public_count",
        "          base_model:",
        f"            name: {_yaml(model)}",
        *(
            ["            corpus: public texts, named in its model card"]
            if model == EMBEDDED
            else []
            if model in KNOWN
            else ["            # trained_before: 2024-06   # or `corpus`: what it cannot, or may, have read"]
        ),
        "          releases:",
        "            label_histogram:  # noisy counts: how many rows of each label, and whether there are any",
        "              mechanism: discrete_laplace_histogram",
        "              share: 0.06",
        "            adapter:  # the model that writes the synthetic texts",
        "              mechanism: dp_sgd",
        "              method: lora",
        "              share: 0.88  # below 1 in all: the rest pays for steps that a kill makes run twice",
        *(f"              {name}: {value}" for name, value in training.items()),
        "          generation:",
        f"            rows: {said.rows}",
        f"            max_new_tokens: {said.max_tokens}",
        "            temperature: 0.8  # a small model at 1.0 wanders off",
        "          # test_split: {path: ..., declared_public_by: ...}   # public texts to evaluate on",
        "    # Rules of your own for the synthetic table stand here under `quality:`; the platform's always apply.",
    ]


def _training(said: Answers) -> Mapping[str, object]:
    """Settings that served the shipped contracts, for a population of this size: an eighth of the units a step."""
    batch = max(1, min(512, said.public_count // 8))
    small = said.base_model == EMBEDDED
    at_once = {"micro_batch_tokens": said.max_tokens} if said.max_tokens > _TOKENS_AT_ONCE else {}
    return {
        "rank": 2 if small else 4,
        "expected_batch_size": f"{batch}  # units a step samples on average",
        "steps": 30 if small else 15,
        "clipping": "per_layer",
        "learning_rate": 0.008 if small else 0.002,
        **at_once,
    }


def _labels(said: Answers) -> list[str]:
    if not said.labels:
        return ["          # labels: none, so all texts are of one class and no classifier is trained"]
    lines = ["          labels:  # values that may occur, from their owner: which do occur, nobody has looked up"]
    for label in said.labels:
        lines.append(f"            - column: {_yaml(label.column)}")
        lines.append(f"              values: [{', '.join(map(_yaml, label.values))}]")
        if label.codes is not None:
            lines.append(f"              codes: [{', '.join(map(str, label.codes))}]  # as the source stores them")
    return lines


def _people(said: Answers) -> list[str]:
    return [
        "",
        "team:",
        "  members:",
        f"    - {{username: {_yaml(said.owner)}, role: owner}}",
        "roles:",
        f"  - {{role: privacy_reviewer, firstLevelApprovers: {_yaml(said.approver)}}}",
        "slaProperties:",
        f"  - {{property: retention, value: {said.retention_days}, unit: d}}  # sensitive copies are deleted after it",
    ]


def _flow(mapping: Mapping[str, str | int]) -> str:
    return ", ".join(f"{key}: {_yaml(said) if isinstance(said, str) else said}" for key, said in mapping.items())


def _yaml(text: str) -> str:
    """A text that every reader of YAML takes for this text."""
    if not text.isprintable():  # a tab, or what editors do not show
        return json.dumps(text)
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)


def _number(value: float) -> str:
    """A number that every reader of YAML takes for one: 1.0e-06, not 1e-06."""
    mantissa, _, exponent = f"{value:.10e}".partition("e")
    return f"{float(mantissa)}e{int(exponent)}"


def unit_of(column: str | None) -> str:
    """What a unit is called that this column tells apart: `customer_id` tells customers."""
    if column is None:
        return RECORD
    plain = re.sub(r"(_?(id|key|no|nr|number|uuid|hash|email|name))+$", "", plain_name(column).lower())
    return plain if re.fullmatch(r"[a-z][a-z0-9_]{0,62}", plain) and plain != RECORD else "person"
