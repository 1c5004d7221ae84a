"""One scalar, one meaning: what this room accepts, a YAML 1.1 reader takes for the same."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dpsynth_assets.contract.scalars import as_everyone_reads, fault_of, value_of


@pytest.mark.parametrize(
    "text",
    [
        "",
        "~",
        "null",
        "true",
        "False",
        "0",
        "-17",
        "+3",
        "1.0e-6",
        "1.5e+3",
        ".5",
        "3.",
        "0.002",
        "word",
        "1.0.0",
        "no way",
    ],
)
def test_agreed_scalars_are_accepted_and_mean_the_same(text: str) -> None:
    assert fault_of(text) is None
    assert value_of(text) == yaml.safe_load(f"a: {text}")["a"]


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("1e-6", "Write 1.0e-6"),
        ("1e5", "Write 1.0e+5"),
        ("2.5E3", "Write 2.5e+3"),
        (".5e3", "Write 0.5e+3"),
        ("yes", 'Write "yes" if it is text, true if it is a truth value'),
        ("Off", 'Write "Off" if it is text, false if it is a truth value'),
        ("010", 'Write "010" if it is text, 10 if it is a number'),
        ("1_000", 'Write "1_000" if it is text, or the number in plain decimal digits'),
        ("12:30", 'Write "12:30" if it is text, or the number in plain decimal digits'),
        ("0x1F", 'Write "0x1F" if it is text, or the number in plain decimal digits'),
        (".nan", "Write a number"),
        ("-.inf", "Write a number"),
        ("1e999", "Write a number"),
    ],
)
def test_disputed_scalars_get_a_remedy(text: str, remedy: str) -> None:
    fault = fault_of(text)
    assert fault is not None
    assert fault[1] == remedy


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_rewritten_is_the_same_number_to_every_reader(number: float) -> None:
    said = as_everyone_reads(repr(number))
    assert value_of(said) == yaml.safe_load(said) == number


@given(st.text(alphabet="0123456789.eE+-_:xobyYnNosf~", max_size=8))
def test_whatever_is_accepted_means_the_same_to_a_yaml_1_1_reader(text: str) -> None:
    resolver = yaml.SafeLoader("")
    tag = resolver.resolve(yaml.ScalarNode, text, (True, False))
    ours = value_of(text)
    if fault_of(text) is None and not tag.endswith(("timestamp", "value", "merge")):
        kinds = {"int": int, "float": float, "bool": bool, "null": type(None), "str": str}
        assert type(ours) is kinds[tag.rpartition(":")[2]]
