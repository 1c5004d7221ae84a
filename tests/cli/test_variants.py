"""Release variants on the command line: run, planned and queried by name."""

from __future__ import annotations

import json

import dagster as dg
import pytest

from dpsynth_assets import variants

VARIANTS = """\
          source_is_public: true
          variants:
            methods: [{method: lora, learning_rate: 0.002}]
            epsilons: [6.0, none]
"""


@pytest.fixture
def contract_path(contract_path):
    text = contract_path.read_text(encoding="utf-8").replace("confidential", "public").replace("restricted", "public")
    contract_path.write_text(text.replace("          generation:", VARIANTS + "          generation:"))
    return contract_path


def test_a_variant_is_run_charged_and_queried_under_its_name(dpsynth, home, contract_path, rooms, book):
    code, out, err = dpsynth("run", contract_path, "--variant", "lora-6")
    assert code == 0, out + err
    said = " ".join(out.split())
    assert "Small inbox · variant lora-6" in said
    assert "select * from small__lora_6.messages" in said
    assert {charge.release for charge in book.reservations()} == {
        "small--lora-6/adapter",
        "small--lora-6/label_histogram",
    }
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        for name in ("adapter", "card"):
            assert instance.get_materialized_partitions(dg.AssetKey(["small", name])) == {"lora-6"}
    code, out, _ = dpsynth("sql", "select count(*) as n from small__lora_6.messages", "--format", "json")
    assert json.loads(out) == [{"n": 24}]
    code, out, _ = dpsynth("run", contract_path, "--variant", "lora-none", "--json")
    assert code == 0, out
    result = json.loads(out)
    assert (result["contract"], result["variant"]) == ("small", "lora-none")
    assert result["synthetic"]["epsilon"] is None
    assert len(book.reservations()) == 2
    code, out, _ = dpsynth("run", contract_path)
    assert code == 3, "what the variant was charged is not there for main"
    assert "no sensitive row was read" in " ".join(out.split())
    code, out, _ = dpsynth("run", contract_path, "--variant", "lora-none", "--only", "synthetic")
    assert "published with no privacy guarantee at all" in " ".join(out.split())


def test_a_variant_is_planned_by_name(dpsynth, contract, contract_path, book):
    code, out, _ = dpsynth("plan", contract_path, "--variant", "lora-6", "--json")
    assert code == 0
    plan = json.loads(out)
    assert list(plan["releases"]) == ["small--lora-6/label_histogram", "small--lora-6/adapter"]
    price = variants.variant(contract, "lora-6").privacy.releases.adapter.epsilon
    assert plan["releases"]["small--lora-6/adapter"]["epsilon_alone"] == pytest.approx(price, rel=1e-3)
    assert price < 6
    assert plan["variant"] == "lora-6"
    assert plan["needs_approval"] == []
    code, out, _ = dpsynth("plan", contract_path, "--variant", "lora-6")
    assert "--variant lora-6" in " ".join(out.split())
    code, out, _ = dpsynth("plan", contract_path, "--variant", "lora-none")
    assert code == 0
    assert "no privacy guarantee at all, and is charged to no budget" in " ".join(out.split())
    assert dpsynth("plan", contract_path, "--json")[1] != "", "without a name it is main"


def test_a_name_that_is_none_is_refused_with_the_names(dpsynth, home, contract_path, book):
    for command in ("run", "plan"):
        code, _, err = dpsynth(command, contract_path, "--variant", "lora-7")
        assert code == 2
        assert "small has no variant 'lora-7': it has main, lora-6, lora-none" in " ".join(err.split())
    text = contract_path.read_text(encoding="utf-8")
    contract_path.write_text(text.replace(VARIANTS.split("\n", 1)[1], ""), encoding="utf-8")
    for command in ("run", "plan"):
        code, _, err = dpsynth(command, contract_path, "--variant", "main")
        assert code == 2
        assert "small declares no `variants`" in " ".join(err.split())


def test_the_one_that_reads_nothing_is_free_for_any_contract(dpsynth, home, contract_path, rooms, book):
    text = contract_path.read_text(encoding="utf-8")
    contract_path.write_text(text.replace(VARIANTS.split("\n", 1)[1], ""), encoding="utf-8")
    code, out, _ = dpsynth("plan", contract_path, "--variant", "nothing")
    assert code == 0
    assert "Its ε is 0, and is charged to no budget" in " ".join(out.split())
    code, out, err = dpsynth("run", contract_path, "--variant", "nothing")
    assert code == 0, out + err
    said = " ".join(out.split())
    assert "Small inbox · variant nothing" in said
    assert "published with epsilon 0" in said
    assert "✓ Synthetic corpus" in said, "its assets are called as ever"
    assert rooms.read == 0
    assert book.reservations() == []
    code, out, _ = dpsynth("sql", "select count(*) as n from small__nothing.messages", "--format", "json")
    assert json.loads(out) == [{"n": 24}]
    [adapter] = (home.artifacts / "small--nothing" / "adapter").glob("[!.]*")
    code, out, _ = dpsynth("verify", adapter)
    assert code == 0
    assert "Guarantee: epsilon 0. No row of population small-bank was read for it" in " ".join(out.split())
    assert dpsynth("audit", "verify")[0] == 0
