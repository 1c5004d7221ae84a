"""What `dpsynth plan` says of the signal of releases: of public constants, with or without a source."""

from __future__ import annotations

import json


def flat(text):
    return " ".join(text.split())


def test_a_plan_says_what_signal_to_expect_and_opens_no_source(dpsynth, contract_path, book):
    for name in ("train", "test"):
        (contract_path.parent / f"{name}.jsonl").unlink()
    code, out, _ = dpsynth("plan", contract_path)
    assert code == 0
    said = flat(out)
    assert "label_histogram: the noise of a count is within" in said
    assert "adapter: a step adds up 8 customers on average" in said
    assert "! most of a step is noise" in said
    assert "40 customers (unit.public_count), which nobody has counted" in said


def test_the_same_in_json(dpsynth, contract_path, book):
    said = json.loads(dpsynth("plan", contract_path, "--json")[1])["signal"]
    assert said["small/adapter"]["expected_batch_size"] == 8
    assert said["small/adapter"]["warnings"]
    half = json.loads(dpsynth("plan", contract_path, "--json", "--size", "0.5")[1])["signal"]
    assert half["small/label_histogram"]["average_count"] == said["small/label_histogram"]["average_count"] / 2
