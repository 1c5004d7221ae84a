"""An adapter whose audit refutes it goes no further: not in its run, not in a later one, not by another name."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import dagster as dg
import pytest

from dpsynth_assets.assets.privacy_audit import CHECK
from dpsynth_assets.audit.guesses import Guesses, Rate
from dpsynth_assets.audit.result import FILE, AuditResult
from dpsynth_assets.contract import load_contract
from dpsynth_assets.language import finetuning
from ledger import Finding
from resources.artifact_store import ArtifactError, ArtifactStore


def result_of(*, refuted):
    """An audit that claims epsilon 6.1."""
    return AuditResult(
        canaries=200,
        steps=3,
        planned=3,
        guesses=(Guesses(200, 200, 199 if refuted else 120),),
        confidence=0.95,
        epsilon=6.1,
        delta=1e-5,
        lower_bound=7.7 if refuted else 0.4,
        refuted=refuted,
        area_under_curve=Rate(0.6, 0.5, 0.7),
        true_positive_rate=Rate(0.1, 0.0, 0.2),
    )


@pytest.fixture
def asked(contract, book, agree):
    """The small contract, which asks for canaries, approved."""
    text = contract.path.read_text(encoding="utf-8").replace("steps: 3,", "steps: 3, canaries: 200,")
    contract.path.write_text(text, encoding="utf-8")
    asking = load_contract(contract.path)
    agree(asking, book)
    return asking


@pytest.fixture
def run(asked, home, rooms, monkeypatch):
    """Materializes assets of the contract; training leaves `run.result`, if any, with the adapter."""
    from dpsynth_assets.factory import build_contract_defs
    from resources.platform import platform_resources

    stand_in = finetuning.fine_tune

    def fine_tune(contract, plan, rows, folder, *more, **named):
        tuned = stand_in(contract, plan, rows, folder, *more, **named)
        if materialize.result is not None:
            materialize.result.save(folder)
        return tuned

    def materialize(*names, checks=True):
        keys = [dg.AssetKey(["small", name]) for name in names]
        audit = dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey(["small", "adapter"]), CHECK))
        selection = dg.AssetSelection.assets(*keys) - audit
        alone = [dg.define_asset_job("alone", selection)]
        defs = dg.Definitions.merge(
            build_contract_defs(asked),
            dg.Definitions(resources=platform_resources(str(home.root)), jobs=[] if checks else alone),
        )
        if checks:
            job, selected = defs.resolve_implicit_global_asset_job_def(), keys or None
        else:
            job, selected = defs.resolve_job_def("alone"), None
        result = job.execute_in_process(asset_selection=selected, raise_on_error=False)
        made = {event.asset_key.path[-1] for event in result.get_asset_materialization_events()}
        checks = [check for check in result.get_asset_check_evaluations() if check.check_name == CHECK]
        return result, made, checks

    monkeypatch.setattr(finetuning, "fine_tune", fine_tune)
    materialize.result = result_of(refuted=False)
    return materialize


def said_by(result):
    return "\n".join(str(event) for event in result.all_events)


def test_a_release_that_stands_says_on_its_card_how_far_the_attack_got(run, home, book):
    result, _, (check,) = run()
    assert result.success
    assert check.passed
    assert check.metadata["lower_bound"].value == 0.4
    assert "data:image/png" in check.metadata["promised_and_measured"].value
    card = next(home.root.glob("**/card.html")).read_text(encoding="utf-8")
    assert "How an attack fared" in card
    assert "at least 0.40" in card
    assert "promises 6.10" in card
    assert book.incidents() == []


def test_the_report_says_it_by_the_adapter_s_charge_while_the_file_is_as_it_was_sealed(run, home, book):
    from dpsynth_assets.cli.audit import _audits

    run()
    ((entry, said),) = _audits(home, book).items()
    adapter = ArtifactStore(home=str(home.root)).latest("small", "adapter")
    assert entry == adapter.charges[-1].seq or str(entry) in adapter.charges[-1].reservation
    assert "at least 0.40, promised 6.10" in said
    file = adapter.folder / FILE
    file.chmod(0o644)
    file.write_text(file.read_text(encoding="utf-8").replace("0.4", "0.3"), encoding="utf-8")
    assert _audits(home, book) == {}
    seal = adapter.folder / "seal.json"  # whoever changes the seal beside it too
    seal.chmod(0o644)
    changed = hashlib.sha256(file.read_bytes()).hexdigest()
    seal.write_text(seal.read_text(encoding="utf-8").replace(adapter.seal.files[FILE], changed), encoding="utf-8")
    assert _audits(home, book) == {}


def test_a_refuted_adapter_stops_the_run_and_stands_in_the_ledger(run, book):
    run.result = result_of(refuted=True)
    result, made, (check,) = run()
    assert not result.success
    assert not check.passed
    assert not made & {"candidates", "corpus", "synthetic", "classifier", "card"}
    (incident,) = book.incidents()
    assert (incident.release, incident.finding.lower_bound) == ("small/adapter", 7.7)
    assert FILE in incident.finding.files
    assert book.verify() == []


def test_it_stops_runs_that_begin_later_too_and_is_written_down_once(run, book):
    run.result = result_of(refuted=True)
    run()
    before = book.balance("small-bank").epsilon_spent
    result, made, _ = run("candidates")
    assert not made
    assert "does not keep its promise" in said_by(result)
    assert "--again adapter" in said_by(result)
    assert book.balance("small-bank").epsilon_spent == before
    assert len(book.incidents()) == 1


def test_nothing_made_of_it_can_be_sealed(run, home, book, asked):
    run.result = result_of(refuted=True)
    run()
    artifacts = ArtifactStore(home=str(home.root))
    adapter = artifacts.latest("small", "adapter")
    with artifacts.draft("small", "candidates") as draft:
        (draft.folder / "texts.txt").write_text("by somebody else's code", encoding="utf-8")
        with pytest.raises(ArtifactError, match="refuted"):
            artifacts.seal(draft, made_from={"adapter": adapter})


def test_an_adapter_without_the_audit_that_was_asked_for_goes_no_further(run, book):
    run.result = None
    result, made, (check,) = run()
    assert not result.success
    assert not check.passed
    assert "was not audited" in check.description
    assert "candidates" not in made
    assert book.incidents() == []


def test_it_is_written_down_though_its_check_never_ran(run, book):
    """As of a run that was killed between the adapter's commit and its check: the next one finds that it stands."""
    run.result = result_of(refuted=True)
    result, _, checks = run("source", "label_histogram", "adapter", checks=False)
    assert result.success
    assert (checks, book.incidents()) == ([], [])
    result, made, _ = run("candidates")
    assert not made
    assert "does not keep its promise" in said_by(result)
    assert len(book.incidents()) == 1


def test_an_adapter_without_its_audit_goes_no_further_in_a_later_run_either(run, book):
    run.result = None
    run()
    result, made, _ = run("candidates")
    assert not made
    assert "was not audited" in said_by(result)
    assert book.incidents() == []


def test_what_is_said_of_a_refuted_adapter_is_not_said_of_a_corpus(run, home, asked):
    from dpsynth_assets.cli import running

    run.result = result_of(refuted=True)
    said = running.materialize(asked, home).failures
    assert "corpus" not in " ".join(said.values())
    assert "promise is refuted" in " ".join(said.values())


def test_steps_that_the_attack_did_not_see_are_a_warning_and_block_nothing(run):
    run.result = replace(result_of(refuted=False), steps=1)
    result, made, (check,) = run()
    assert result.success
    assert not check.passed
    assert "saw 1 of 3 steps" in check.description
    assert "card" in made


def test_an_incident_that_somebody_else_entered_stops_what_comes_after_too(run, home, book):
    run("source", "label_histogram", "adapter")
    adapter = ArtifactStore(home=str(home.root)).latest("small", "adapter")
    finding = Finding(6.1, 9.0, 0.99, 1e-5, files={"elsewhere.json": "0" * 64})
    book.incident(adapter.charges[-1].reservation, finding, reason="Another audit, of another kind.")
    result, made, _ = run("candidates")
    assert not made
    assert "cannot be sealed" in said_by(result)


def test_what_reads_no_row_has_nothing_to_attack(asked):
    from dpsynth_assets.assets.privacy_audit import _not_audited
    from dpsynth_assets.variants import variant

    assert "nothing to attack" in _not_audited(variant(asked, "nothing"))


def test_a_contract_that_asks_for_none_has_no_such_check(contract):
    from dpsynth_assets.factory import build_contract_defs

    checks = build_contract_defs(contract).asset_checks
    assert CHECK not in {key.name for check in checks for key in check.check_keys}
