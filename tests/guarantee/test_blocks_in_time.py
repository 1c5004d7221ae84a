"""In a divided population no unit's records stand in two blocks, whatever was killed or refused on the way.

Each block has a budget of its own, so a unit in two of them would have two.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dpsynth_assets.gate.sources import source_of
from resources.sensitive_store import SensitiveStore
from tests.guarantee.sources import Setting

BLOCKS = {"a": ("m1",), "b": ("m1",), "c": ("m2",), "d": ("m1", "m2"), "e": ("m2", "m1")}
TOPICS = {"m1": "card", "m2": "loan"}  # so that rows say which block's they are

records = st.lists(st.tuples(st.sampled_from("uvw"), st.sampled_from(["m1", "m2"])), max_size=4)
steps = st.tuples(st.sampled_from(sorted(BLOCKS)), records, st.sampled_from(["bound", "refused", "killed"]))


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.booleans(), st.lists(steps, max_size=8))
@example(True, [("a", [("u", "m1")], "killed"), ("b", [("u", "m1")], "bound"), ("a", [], "bound"),
                ("c", [("u", "m2")], "bound")])  # fmt: skip
@example(True, [("d", [("u", "m2")], "killed"), ("e", [("u", "m2")], "bound"), ("d", [("u", "m1")], "bound")])
def test_no_unit_stands_in_two_blocks(unit_column, history):
    stands: dict[str, set[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = SensitiveStore(home=folder)
        source = Path(folder) / "source.jsonl"
        for name, rows, outcome in history:
            lines = [
                {"customer": unit, "text": f"of {unit}", "topic": TOPICS[month], "month": month} for unit, month in rows
            ]
            source.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
            setting = Setting(unit_column=unit_column, blocks=BLOCKS[name])
            contract = replace(setting.contract, id=name, source=str(source))
            snapshot = store.ingest(source_of(contract))
            if outcome != "killed":
                store.settle(source_of(contract), snapshot, bound=outcome == "bound")
            if outcome == "bound":
                for text, topic in store._rows(snapshot, source_of(contract))[["text", "topic"]].values:
                    stands.setdefault(text, set()).add(topic)
    assert all(len(topics) == 1 for topics in stands.values()), stands
