"""The privacy terms as a model: documented, exemplified, and sound for every broken input."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dpsynth_assets.contract import lint_contract, load_contract
from dpsynth_assets.contract.budget import Budget
from dpsynth_assets.contract.sentences import examples, fields_of
from dpsynth_assets.contract.source_terms import LabelColumn
from dpsynth_assets.contract.terms import PrivacyTerms

ROOT = Path(__file__).parents[2]
MINIMAL = yaml.safe_load((Path(__file__).parent / "right" / "minimal.odcs.yaml").read_text())
FIELDS = dict(fields_of(PrivacyTerms))


def paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from paths(inner, (*path, key))


PATHS = list(paths(MINIMAL))


def changed(path: tuple[str | int, ...], value: Any) -> Any:
    document = copy.deepcopy(MINIMAL)
    target = document
    for step in path[:-1]:
        target = target[step]
    if value is ...:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return document


@pytest.mark.parametrize("stride", [29, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("value", [..., None, "x", -1, 1.5, True, [], {}, [[]], {"a": {"b": []}}], ids=repr)
def test_no_damage_to_a_contract_stops_the_reading_of_the_rest(tmp_path: Path, value: Any, stride: int) -> None:
    """Any one value replaced: problems with lines in the file, or a contract; never a traceback."""
    file = tmp_path / "c.odcs.yaml"
    for path in PATHS[len(repr(value)) % stride :: stride]:
        document = changed(path, value)
        file.write_text(json.dumps(document, indent=1))  # JSON is YAML
        lines = len(file.read_text().splitlines())
        problems = lint_contract(file)
        assert all(1 <= problem.line <= lines and problem.what and problem.remedy for problem in problems)
        if all(problem.severity == "warning" for problem in problems):
            load_contract(file)


def test_every_term_says_what_it_means_and_the_required_ones_have_an_example() -> None:
    for path, field in FIELDS.items():
        assert field.description, path
        if field.is_required():
            assert path in examples(), path
    assert set(examples()) <= set(FIELDS)


def test_the_reference_for_data_owners_explains_every_term() -> None:
    reference = (ROOT / "docs" / "contracts.md").read_text()
    for path, field in FIELDS.items():
        assert f"| `{path}` |" in reference, path
        assert field.description in reference, path


def test_the_references_example_is_a_contract(tmp_path: Path) -> None:
    reference = (ROOT / "docs" / "contracts.md").read_text()
    example = reference.partition("```yaml\n")[2].partition("```")[0]
    file = tmp_path / "example.odcs.yaml"
    file.write_text(example)
    assert lint_contract(file) == []


def test_terms_cannot_be_changed_nor_silently_converted() -> None:
    budget = Budget(epsilon=1.0, delta=1e-6)
    with pytest.raises(ValueError, match="frozen"):
        budget.epsilon = 2.0  # type: ignore[misc]
    for wrong in ("1.0", True, float("nan"), float("inf"), 0.0):
        with pytest.raises(ValueError, match="epsilon"):
            Budget(epsilon=wrong, delta=1e-6)  # type: ignore[arg-type]


def test_plain_values_have_the_last_word_in_decoding() -> None:
    label = LabelColumn(column="c", values=("a", "b"), codes=(7, 0), spellings=("A", "b"))
    assert label.decoding == {7: "a", 0: "b", "A": "a", "a": "a", "b": "b"}
