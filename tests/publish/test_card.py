"""A card's page and README: they say what the data say, and no text in them is read as markup."""

from __future__ import annotations

import io
from copy import deepcopy
from typing import Any

import pytest
from markdown_it import MarkdownIt
from ruamel.yaml import YAML

from dpsynth_assets.publish.card import dataset_card, in_markdown, page
from tests.publish.pages import Page, hostile

RESULT = {
    **{"name": "enough_rows", "expectation": "expect_table_row_count_to_be_between", "blocking": False},
    **{"passed": False, "observed": {"observed_value": 3.0}, "description": "Enough rows.", "raised": False},
}
CARD: dict[str, Any] = {
    "format": 1,
    "title": "Small inbox",
    "description": {"purpose": "For tests.", "usage": "Queries.", "limitations": "Invented."},
    "owners": ["owner@example.org"],
    "table": {
        **{"name": "small.messages", "rows": 24, "release": "20260101T000000Z-abcdef", "text": "text"},
        **{"created": "2026-01-01T00:00:00+00:00", "file": "r.parquet", "sha256": "f" * 64},
        "fewer_rows_than_wanted": None,
        "columns": [
            {"name": "text", "description": "What was written. (synthetic)", "values": None},
            {"name": "topic", "description": "About what. (synthetic)", "values": ["card", "loan"]},
        ],
    },
    "contract": {"id": "small", "variant": "lora-3", "version": "1.0.0", "sha256": "c" * 64},
    "guarantee": {
        **{"epsilon": 7.31201, "delta": 1e-5, "population": "bank", "unit": "customer", "max_records": 2},
        **{
            "neighbouring_relation": "add_or_remove_one_unit",
            "in_words": "This release alone: ...",
            "over_time": "all.",
        },
        "what_follows": "The same for all that follows.",
    },
    "releases": [
        {
            **{"release": "small/adapter", "what": "An adapter.", "mechanism": "poisson_sampled_gaussian"},
            **{"in_words": "DP-SGD, 3 steps", "epsilon": 6.99999, "event": {}, "plan_sha256": "d" * 64},
            **{"ledger_entry": 15, "ledger_hash": "e" * 64},
            "numbers": {"noise multiplier": 0.92075, "sampling rate": 0.125, "steps": 3000, "clipping": "flat"},
        }
    ],
    "approvals": [
        {
            **{"what": "the terms", "asked_by": "owner@example.org", "asked_by_key": True},
            **{"approved_by": "privacy@example.org", "approved_by_key": False, "approved": "2026-01-01T00:00:00+00:00"},
            "ledger_entry": 5,
        }
    ],
    "base_model": {"name": "embedded", "endpoint": None, "has_read": "Public texts."},
    "audit": {"found": "At least 0.4.", "steps": 3, "area_under_curve": {"estimate": 0.51}},
    "quality": {"summary": "passed: 0 of 1 rules held", "results": [RESULT]},
    "not_measured": None,
    "usefulness": {
        **{"target": "topic", "test_records": 60, "declared_public_by": "owner@example.org"},
        **{"majority_baseline": 0.5, "trained_on": "the published synthetic table alone"},
        "classifiers": [
            {
                **{"classifier": "minilm", "trained_on": "synthetic rows", "accuracy": 0.6, "accuracy_low": 0.5},
                **{"accuracy_high": 0.7, "seeds": 1, "seeds_low": 0.6, "seeds_high": 0.6, "macro_f1": 0.6},
                "calibration_error": 0.1,
            }
        ],
    },
    "samples": [{"text": "my card is lost", "topic": "card"}],
    "ledger": {"id": "abc", "key_fingerprint": "SHA256:xyz"},
}


def spoilt() -> dict[str, Any]:
    """The card with a hostile text behind every text, names of columns and numbers included."""
    card = hostile(CARD) | {"samples": hostile(CARD["samples"], names=True)}
    card["releases"][0]["numbers"] = hostile(CARD["releases"][0]["numbers"], names=True)
    return card


def test_the_page_says_what_the_data_say_and_stands_alone():
    shown = Page(page(CARD))
    assert shown.stands_alone()
    text = " ".join(shown.text.split())
    for said in (
        *("small.messages", "24 rows", "ε = 7.313, δ = 10⁻⁵", "one customer, with up to 2 records", "variant lora-3"),
        *("DP-SGD, 3 steps", "noise multiplier 0.92075", "sampling rate 0.125", "steps 3,000", "7.000"),
        *("privacy@example.orga name without a key", "owner@example.org", "Public texts.", "At least 0.4."),
        *("enough_rows", "fails", "60.0%", "my card is lost", "r.parquet --key KEY", "SHA256:xyz", "f" * 64),
    ):
        assert said in text, said


def test_no_text_of_a_model_or_a_person_is_read_as_markup():
    shown = Page(page(spoilt()))
    assert shown.stands_alone()
    assert "<script>alert(1)</script>" in shown.text
    assert "\u202e" not in shown.text
    assert "{{7*7}}" in shown.text
    read = MarkdownIt("commonmark").enable("table").render(in_markdown(spoilt()))
    assert Page(read).loads_nothing()
    assert Page(read).text.count("<script>alert(1)</script>") > 20
    usual = MarkdownIt("commonmark").enable("table").render(in_markdown(CARD))
    assert [tag for tag, _ in Page(read).elements if tag != "strong"] == [tag for tag, _ in Page(usual).elements]


def test_what_is_not_there_is_said_or_left_out():
    card = deepcopy(CARD) | {
        "audit": None,
        "usefulness": None,
        "not_measured": "<b>unknown",
        "releases": [],
        "approvals": [],
    }
    card["guarantee"] |= {"epsilon": None, "delta": None, "over_time": None, "in_words": "No guarantee at all."}
    shown = Page(page(card))
    text = " ".join(shown.text.split())
    assert "How an attack fared" not in text
    assert "Not measured" in text
    assert "They may repeat what people wrote" in text
    assert "No row is a record" not in text
    assert "ε =" not in text
    assert "Not measured" in in_markdown(card)
    assert "no-privacy" in dataset_card(card, "r.parquet", beside="card", sealed=True)


@pytest.mark.parametrize("change", [lambda: CARD, spoilt], ids=["plain", "hostile"])
def test_the_readme_begins_with_what_a_hub_reads(change):
    card = change()
    _, front, rest = dataset_card(card, "data/r.parquet", beside="card", sealed=True).split("---\n", 2)
    said = YAML(typ="safe").load(io.StringIO(front))
    assert said["pretty_name"] == card["title"]
    assert said["configs"][0]["data_files"] == [{"split": "train", "path": "data/r.parquet"}]
    assert [feature["name"] for feature in said["dataset_info"]["features"]] == [
        column["name"] for column in card["table"]["columns"]
    ]
    assert (said["size_categories"], said["task_categories"]) == (["n<1K"], ["text-classification"])
    assert "dpsynth verify data/r.parquet --key KEY" in rest
    assert "no seal of its own" not in rest
    assert "no seal of its own" in dataset_card(CARD, "messages.csv", beside="card", sealed=False)
