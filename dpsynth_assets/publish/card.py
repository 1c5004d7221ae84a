"""A card's two readings: a page that stands alone, and Markdown, also as the README of a data set.

Both are written from the card's data (`dpsynth_assets.assets.certificate`) and from nothing else, so they say what
`card.json` says. Texts in it were written by a model and names by people: they are escaped everywhere. Knows no
contract, no store and no ledger.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dpsynth_assets.markdown import code, escaped, table
from ledger.report.document import document
from ledger.rounded import up
from ledger.visible import visible

CARD, DATA = "card.html", "card.json"
Card = Mapping[str, Any]

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def page(card: Card) -> str:
    """The card as a page."""
    return document(("dpsynth_assets.publish", "card.html.j2"), {"number": number}, card=card)


def dataset_card(card: Card, file: str, *, beside: str, sealed: bool) -> str:
    """The README of a folder that holds the table as `file`, in Hugging Face's form: what a program reads in front.

    Args:
        beside: where in the folder the sealed card lies.
        sealed: whether `file` is the sealed file itself, or was converted from it.
    """
    columns, rows = card["table"]["columns"], card["table"]["rows"]
    labelled = any(column["values"] for column in columns)
    front = {
        "pretty_name": card["title"],
        "tags": ["synthetic", "no-privacy" if card["guarantee"]["epsilon"] is None else "differential-privacy"],
        "task_categories": ["text-classification" if labelled else "text-generation"],
        "size_categories": [next((name for most, name in _SIZES if rows < most), "n>1M")],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": file}]}],
        "dataset_info": {
            "features": [{"name": column["name"], "dtype": "string"} for column in columns],
            "splits": [{"name": "train", "num_examples": rows}],
        },
    }
    lines = [f"{name}: {json.dumps(value)}" for name, value in front.items()]  # JSON is YAML
    checked = [
        "## How to check this",
        f"{code(beside)} holds the release's certificate, sealed: a page to read ({code(CARD)}) and the same facts as "
        f"data ({code(DATA)}). With the publisher's public key (fingerprint {code(card['ledger']['key_fingerprint'])}; "
        "get it from the publisher by another way than these files) anybody can check it, offline:",
        f"    dpsynth verify {beside} --key KEY" + (f"\n    dpsynth verify {file} --key KEY" if sealed else ""),
    ]
    if not sealed:
        checked.append(
            f"{code(file)} was converted from the table's sealed file, {code(card['table']['file'])} with SHA-256 "
            f"{code(card['table']['sha256'])}. It has the same rows, and no seal of its own."
        )
    return "\n".join(["---", *lines, "---", "", in_markdown(card)]) + visible("\n" + "\n\n".join(checked)) + "\n"


def in_markdown(card: Card) -> str:
    """The card as Markdown."""
    about, contract, promised = card["table"], card["contract"], card["guarantee"]
    variant = f", variant {code(contract['variant'])}" if contract["variant"] else ""
    parts = [
        f"# {escaped(card['title'])}",
        *(escaped(said) for said in card["description"].values() if said),
        f"Synthetic table {code(about['name'])}, {about['rows']:,} rows, release {code(about['release'])} of "
        f"{about['created'][:10]}, contract {code(contract['id'])} {escaped(contract['version'])}{variant} "
        f"(SHA-256 {code(contract['sha256'][:16])}).",
        "## Guarantee",
        escaped(promised["in_words"])
        + (f" Over time: {escaped(promised['over_time'])}" if promised["over_time"] else ""),
        escaped(promised["what_follows"]),
        "## Columns",
        table(["column", "what it says", "values"], [_column(column) for column in about["columns"]]),
        "## Base model",
        escaped(card["base_model"]["has_read"]),
        *(["## Audit", escaped(card["audit"]["found"])] if card["audit"] else []),
        "## What it cost",
        _costs(card),
        "## Who approved",
        _approvals(card),
        "## Quality",
        escaped(card["quality"]["summary"]) + ".",
        table(["rule", "result", "severity", "what it says"], map(_rule, card["quality"]["results"])),
        "## Usefulness",
        *_usefulness(card["usefulness"], card["not_measured"]),
        "## Sample",
        _sample(card),
        f"Owners: {', '.join(map(escaped, card['owners']))}.",
    ]
    return visible("\n\n".join(parts)) + "\n"


def number(value: object) -> str:
    """A value among a mechanism's numbers, as people read it."""
    return f"{value:,}" if type(value) is int else f"{value:g}" if isinstance(value, float) else str(value)


def _column(column: Mapping[str, Any]) -> tuple[str, str, str]:
    return escaped(column["name"]), escaped(column["description"]), escaped(", ".join(column["values"] or ()))


def _costs(card: Card) -> str:
    if not card["releases"]:
        return "Nothing was charged."
    rows = [
        (
            escaped(each["release"]),
            escaped(each["in_words"]),
            up(each["epsilon"]),
            escaped(", ".join(f"{name} {number(value)}" for name, value in each["numbers"].items())),
            f"{each['ledger_entry']}, {each['ledger_hash'][:12]}",
        )
        for each in card["releases"]
    ]
    return table(["release", "mechanism", "epsilon alone", "numbers", "ledger entry"], rows, "llrll")


def _approvals(card: Card) -> str:
    rows = [
        (escaped(each["what"]), _person(each, "asked_by"), _person(each, "approved_by"), each["approved"][:10])
        for each in card["approvals"]
    ]
    return table(["what", "asked for by", "approved by", "on"], rows)


def _person(signed: Mapping[str, Any], role: str) -> str:
    return escaped(signed[role]) + ("" if signed[f"{role}_key"] else " (a name without a key)")


def _rule(result: Mapping[str, Any]) -> tuple[str, str, str, str]:
    held = "holds" if result["passed"] else "FAILS"
    return escaped(result["name"]), held, "blocks" if result["blocking"] else "warns", escaped(result["description"])


def _usefulness(tested: Mapping[str, Any] | None, why_not: str | None) -> list[str]:
    if tested is None:
        return [f"Not measured: {escaped(why_not or '')}"]
    rows = [
        (
            escaped(each["classifier"]),
            escaped(each["trained_on"]),
            f"{each['accuracy']:.1%}",
            f"{each['accuracy_low']:.1%} to {each['accuracy_high']:.1%}",
            f"{each['seeds_low']:.1%} to {each['seeds_high']:.1%}" if each["seeds"] > 1 else "one seed",
            f"{each['macro_f1']:.3f}",
            f"{each['calibration_error']:.3f}",
        )
        for each in tested["classifiers"]
    ]
    return [
        f"Classifiers of {code(tested['target'])} on the {tested['test_records']:,} records of the public test split "
        f"(declared public by {escaped(tested['declared_public_by'])}); always the commonest class: "
        f"{tested['majority_baseline']:.1%}. Those of synthetic rows were trained on {escaped(tested['trained_on'])}. "
        "ECE is the mean gap between how sure a classifier is and how often it is right.",
        table(
            ["classifier", "trained on", "accuracy", "95 %, test rows", "95 %, seeds", "macro F1", "ECE"], rows, "llr"
        ),
    ]


def _sample(card: Card) -> str:
    names = [column["name"] for column in card["table"]["columns"]]
    return table([*map(escaped, names)], [[escaped(row[name]) for name in names] for row in card["samples"]])
