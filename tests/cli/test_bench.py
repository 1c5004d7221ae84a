"""The grid: what is in it, that it goes on where it was, and that its table says what was found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from dpsynth_assets.cli.utility import grid, report
from dpsynth_assets.contract import load_contract
from dpsynth_assets.releases.adapter import ADAPTER

VARIANTS = """\
          source_is_public: true
          variants:
            methods: [{method: lora, learning_rate: 0.002}, {method: full, learning_rate: 0.001}]
            epsilons: [2.0, none]
          curation: {proportions: even, drawn: 1.5}
"""
LABELLER = """\
            labeller: {classifier: word_cnn, epsilon: 1.0, expected_batch_size: 8, steps: 10, learning_rate: 0.01}
"""


@pytest.fixture
def contract_path(contract_path):
    text = contract_path.read_text(encoding="utf-8").replace("confidential", "public").replace("restricted", "public")
    contract_path.write_text(text.replace("          generation:", LABELLER + VARIANTS + "          generation:"))
    return contract_path


def lines_of(found):
    return [line.name for line in found]


def test_the_lines_are_the_variants_and_the_real_rows_with_and_without_privacy(contract):
    assert lines_of(grid.lines(contract)) == [
        *("real", "real-dp-2", "lora-2", "lora-none"),
        *("full-2", "full-none", "nothing"),
    ]
    assert lines_of(grid.lines(contract, ("full-2", "real"))) == ["real", "full-2"]
    assert [line.epsilon for line in grid.lines(contract)] == [None, 2.0, 2.0, None, 2.0, None, 0.0]
    with pytest.raises(grid.GridError, match=r"lora-3: the lines are real, real-dp-2, lora-2"):
        grid.lines(contract, ("lora-3",))


def test_a_secret_source_has_no_grid(contract):
    secret = replace(contract, privacy=contract.privacy.model_copy(update={"source_is_public": False}))
    with pytest.raises(grid.GridError, match="one budget, not one for each cell"):
        grid.lines(secret)


def test_every_line_comes_once_before_any_comes_twice(contract):
    chosen = grid.lines(contract, ("real", "lora-2"))
    assert [(cell.line.name, cell.run) for cell in grid.cells(chosen, 2)] == [
        *(("real", 0), ("lora-2", 0)),
        *(("real", 1), ("lora-2", 1)),
    ]


def test_a_cell_is_measured_by_one_and_once(contract, tmp_path):
    cell = grid.cells(grid.lines(contract, ("lora-2",)), 1)[0]
    with grid.claimed(cell, tmp_path) as ours:
        assert ours
        with grid.claimed(cell, tmp_path) as theirs:
            assert not theirs
    with grid.claimed(cell, tmp_path) as again:
        assert again, "a cell without a result is taken up again"
        grid.keep(cell, tmp_path, {"accuracies": []})
    with grid.claimed(cell, tmp_path) as measured:
        assert not measured
    assert [found for found, _ in grid.measured(grid.lines(contract), tmp_path)] == [cell]


def test_a_cell_is_measured_again_where_more_kinds_or_seeds_are_asked_for(contract, tmp_path):
    def ours(cell, kinds, seeds=1):
        with grid.claimed(cell, tmp_path, kinds, seeds) as found:
            return found

    bar, drawn = grid.cells(grid.lines(contract, ("real-dp-2", "lora-2")), 1)
    for cell, corpora in ((bar, ["real-dp"]), (drawn, ["as drawn", "curated"])):
        ours(cell, ())
        grid.keep(cell, tmp_path, {"accuracies": [entry(corpus, 0.5) for corpus in corpora]})
        assert not ours(cell, ["minilm"])
        assert ours(cell, ["minilm", "word_cnn"])
    assert ours(drawn, ["minilm"], seeds=2)
    assert ours(drawn, ["minilm", "minilm_tuned"])
    assert not ours(bar, ["minilm", "minilm_tuned"], seeds=2), "the bar has one of each kind that it has"


def test_cells_are_measured_again_where_the_terms_they_depend_on_have_changed(contract, tmp_path, monkeypatch):
    def changed(**terms):
        return replace(contract, privacy=contract.privacy.model_copy(update=terms))

    def terms_of(contract, size=1.0):
        return {line.name: line.terms for line in grid.lines(contract, size=size)}

    declared = contract.privacy.variants
    faster = declared.methods[1].model_copy(update={"learning_rate": 0.003})
    before, rate = (
        terms_of(contract),
        terms_of(changed(variants=declared.model_copy(update={"methods": (declared.methods[0], faster)}))),
    )
    assert {name for name in before if before[name] != rate[name]} == {"full-2", "full-none"}
    hotter = terms_of(changed(generation=contract.privacy.generation.model_copy(update={"temperature": 0.5})))
    assert {name for name in before if before[name] == hotter[name]} == {"real", "real-dp-2"}
    assert next(line.terms for line in grid.lines(contract, ("nothing",))) != hotter["nothing"]
    dearer = contract.privacy.releases.but(ADAPTER, contract.privacy.releases[ADAPTER].model_copy(update={"steps": 9}))
    unmoved = terms_of(changed(releases=dearer))
    assert {name for name in before if before[name] == unmoved[name]} == {"real", "real-dp-2", "nothing"}
    assert not set(before.values()) & set(terms_of(contract, size=0.5).values())
    monkeypatch.setattr(grid, "BAR_STEPS", 200)
    assert {name for name in before if before[name] != terms_of(contract)[name]} == {"real-dp-2"}

    old = grid.lines(contract, ("lora-2",))
    new = grid.lines(changed(curation=contract.privacy.curation.model_copy(update={"drawn": 2.0})), ("lora-2",))
    with grid.claimed(grid.GridCell(old[0], 0), tmp_path):
        grid.keep(grid.GridCell(old[0], 0), tmp_path, {"accuracies": []})
    with grid.claimed(grid.GridCell(new[0], 0), tmp_path) as ours:
        assert ours
    assert (grid.measured(new, tmp_path), grid.left_out(new, tmp_path)) == ([], 1)
    assert grid.left_out(old, tmp_path) == 0


def entry(corpus, accuracy, seed=0, **more):
    return {"corpus": corpus, "classifier": "minilm", "seed": seed, "accuracy": accuracy, **more}


def test_means_and_intervals_are_over_runs_where_there_are_some(contract):
    lora, real = grid.lines(contract, ("lora-2", "real"))[::-1]
    runs = [
        (grid.GridCell(lora, run), {"accuracies": [entry("curated", a, rows=10)]}) for run, a in enumerate((0.5, 0.7))
    ]
    seeds = [
        (grid.GridCell(real, 0), {"accuracies": [entry("real", a, seed) for seed, a in enumerate((0.8, 0.9, 0.7))]})
    ]
    over_runs, over_seeds = report.figures([*runs, *seeds])
    assert (over_runs.mean, over_runs.over, over_runs.rows) == (pytest.approx(0.6), "2 runs", 10)
    assert over_runs.high - over_runs.mean == pytest.approx(12.706 * 0.1, rel=1e-3), "Student's t of one degree"
    assert (over_seeds.mean, over_seeds.over) == (pytest.approx(0.8), "3 seeds")
    assert over_seeds.mean - over_seeds.low == pytest.approx(4.303 * 0.1 / 3**0.5, rel=1e-3)
    table = report.markdown([over_runs, over_seeds])
    assert table.splitlines()[2:] == [
        "| lora, curated | 2 | 10 | 2 runs | 60.0 ± 127.1 % |",
        "| real rows | none |  | 3 seeds | 80.0 ± 24.8 % |",
    ]


def test_kinds_stand_side_by_side_and_lines_by_epsilon(contract):
    lines = {line.name: line for line in grid.lines(contract)}
    cnn = {"classifier": "word_cnn"}
    found = [
        (grid.GridCell(lines["real"], 0), {"accuracies": [entry("real", 0.9), entry("real", 0.8) | cnn]}),
        (grid.GridCell(lines["lora-none"], 0), {"accuracies": [entry("as drawn", 0.7, rows=1000)]}),
        (grid.GridCell(lines["lora-2"], 0), {"accuracies": [entry("curated", 0.6), entry("as drawn", 0.5) | cnn]}),
        (grid.GridCell(lines["real-dp-2"], 0), {"accuracies": [entry("real-dp", 0.85)]}),
    ]
    assert report.markdown(report.figures(found)).splitlines() == [
        "| trained on | ε | rows | over | minilm | word_cnn |",
        "|---|--:|--:|---|--:|--:|",
        "| real rows, DP-SGD | 2 |  | 1 run | 85.0 % |  |",
        "| lora, as drawn | 2 |  | 1 run |  | 50.0 % |",
        "| lora, curated | 2 |  | 1 run | 60.0 % |  |",
        "| real rows | none |  | 1 run | 90.0 % | 80.0 % |",
        "| lora, as drawn | none | 1,000 | 1 run | 70.0 % |  |",
    ]


def test_every_row_says_how_far_it_is_above_the_base_model_alone(contract, tmp_path):
    lines = {line.name: line for line in grid.lines(contract)}
    cnn = {"classifier": "word_cnn"}
    found = [
        (grid.GridCell(lines["nothing"], 0), {"accuracies": [entry("as drawn", 0.55), entry("curated", 0.58)]}),
        (grid.GridCell(lines["lora-2"], 0), {"accuracies": [entry("as drawn", 0.6), entry("curated", 0.5)]}),
        (grid.GridCell(lines["real"], 0), {"accuracies": [entry("real", 0.9), entry("real", 0.8) | cnn]}),
    ]
    figures = report.figures(found)
    assert report.markdown(figures).splitlines() == [
        "| trained on | ε | rows | over | minilm | word_cnn | minilm, above base model alone |",
        "|---|--:|--:|---|--:|--:|--:|",
        "| base model alone, as drawn | 0 |  | 1 run | 55.0 % |  |  |",
        "| base model alone, curated | 0 |  | 1 run | 58.0 % |  |  |",
        "| lora, as drawn | 2 |  | 1 run | 60.0 % |  | +5.0 |",
        "| lora, curated | 2 |  | 1 run | 50.0 % |  | -8.0 |",
        "| real rows | none |  | 1 run | 90.0 % | 80.0 % | +35.0 |",
    ]
    for chosen in (figures, figures[:2]):
        report.chart(chosen, "a title", tmp_path / "chart.png", said="what it has read, at 5 $ or 6 $")
        assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_how_much_a_table_is_like_the_test_split_stands_beside_it_where_it_was_measured(contract):
    lines = {line.name: line for line in grid.lines(contract)}
    cells = [
        (grid.GridCell(lines["lora-2"], run), {"accuracies": [entry("as drawn", 0.6)], "mauve": {"as drawn": alike}})
        for run, alike in enumerate((0.5, 0.7))
    ]
    cells += [(grid.GridCell(lines["real"], 0), {"accuracies": [entry("real", 0.9)]})]
    head, _, drawn, real = report.markdown(report.figures(cells)).splitlines()
    assert (head[-9:], drawn[-9:], real[-9:]) == ("| MAUVE |", " | 0.60 |", ".0 % |  |")


def test_a_line_that_was_killed_and_cost_more_says_so(contract):
    bar, lora = grid.lines(contract, ("lora-2", "real-dp-2"))
    cheap = (grid.GridCell(lora, 0), {"accuracies": [entry("curated", 0.5)], "epsilon_composed": 1.9999})
    dear = (grid.GridCell(lora, 1), {"accuracies": [entry("curated", 0.5)], "epsilon_composed": 2.0123})
    of_bar = (grid.GridCell(bar, 0), {"accuracies": [entry("real-dp", 0.5, epsilon_composed=2.00001)]})
    assert "killed" not in report.markdown(report.figures([cheap, of_bar]))
    assert "in ε, at most: lora-2 (2.012)." in report.markdown(report.figures([cheap, dear, of_bar]))
    assert report.raw([cheap, dear, of_bar])["epsilon_composed"].tolist() == [1.9999, 2.0123, 2.00001]


def test_the_whole_way_on_a_small_contract(contract_path, home, tmp_path, rooms, dpsynth):
    out = tmp_path / "utility"
    options = ["bench", "utility", "--dataset", str(contract_path), "--out", str(out), "--kinds", "minilm"]
    chosen = [word for name in ("real", "lora-2", "lora-none", "nothing") for word in ("--only", name)]
    code, _, error = dpsynth(*options, *chosen, "--runs", "2")
    assert code == 0, error
    assert rooms.read == 4, "two runs of two variants"
    table = (out / "utility.md").read_text()
    for said in ("lora, as drawn | 2 |", "lora, curated | 2 |", "lora, curated | none |", "real rows | none |"):
        assert said in table
    for said in ("base model alone, as drawn | 0 |", "minilm, above base model alone", "of the records overlap"):
        assert said in table
    assert (out / "utility.png").read_bytes().startswith(b"\x89PNG")
    assert set(pd.read_parquet(out / "utility.parquet")["line"]) == {
        *("real", "lora-2"),
        *("lora-none", "nothing"),
    }
    code, _, error = dpsynth(*options, *chosen, "--runs", "2")
    assert code == 0, error
    assert rooms.read == 4, "nothing is measured twice"
    [found] = [json.loads(file.read_text()) for file in out.glob("lora-none/*/run-1/result.json")]
    assert found["epsilon_of_adapter"] is None
    assert found["mauve"].keys() == {"as drawn", "curated"}
    assert all(0 < each <= 1 for each in found["mauve"].values())
    [unread] = [json.loads(file.read_text()) for file in out.glob("nothing/*/run-1/result.json")]
    assert (unread["epsilon_of_adapter"], unread["epsilon_composed"]) == (0.0, 0.0)
    [private] = [json.loads(file.read_text()) for file in out.glob("lora-2/*/run-0/result.json")]
    assert private["epsilon_of_adapter"] < private["epsilon_composed"] <= 2
    assert "killed" not in table


def test_bad_input_is_refused_before_anything_runs(contract_path, tmp_path, rooms, dpsynth):
    def said(*options):
        code, _, error = dpsynth("bench", "utility", "--dataset", contract_path, *options)
        assert code != 0
        return " ".join(error.split())

    assert "no such file" in said("--source", "nowhere.parquet")
    assert "choose from" in said("--kinds", "oracle")
    assert "share in (0, 1]" in said("--size", "2")
    assert "the lines are" in said("--only", "lora-7")
    assert "nothing of this contract" in said("--report", "--out", str(tmp_path / "empty"))
    assert rooms.read == 0


RESULTS = Path(__file__).parents[2] / "docs" / "results"


@pytest.mark.parametrize("dataset", sorted(file.parent.name for file in RESULTS.glob("*/utility.md")))
def test_a_table_in_the_documents_is_what_its_cells_hold(dataset):
    """And the cells were measured under the terms that the shipped contract has today."""
    contract = load_contract(RESULTS.parents[1] / "contracts" / f"{dataset}.odcs.yaml")
    results = list((RESULTS / dataset).rglob(grid.RESULT))
    [size] = {json.loads(file.read_text()).get("size", 1.0) for file in results}
    found = grid.measured(grid.lines(contract, size=size), RESULTS / dataset)
    assert len(found) == len(results)
    table = report.markdown(report.figures(found))
    assert table in (RESULTS.parent / "experiments.md").read_text(encoding="utf-8")


def test_every_method_of_a_variant_has_a_colour():
    from typing import get_args

    from dpsynth_assets.cli.utility.report import _COLOURS
    from dpsynth_assets.contract.variants import VariantMethod

    assert set(get_args(VariantMethod.model_fields["method"].annotation)) <= set(_COLOURS)
