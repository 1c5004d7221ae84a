"""Nothing runs on terms that two people have not agreed to, and weaker terms need them again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dpsynth_assets.assets.proof import published_table
from dpsynth_assets.contract.source_terms import PersonalData
from dpsynth_assets.gate.approval import (
    ApprovalNeededError,
    needs,
    people_differ,
    require_approved,
    sign,
)
from dpsynth_assets.gate.binding import bind
from dpsynth_assets.gate.sources import source_of
from ledger import LedgerError, TermsConflict
from resources.artifact_store import ArtifactStore
from resources.ledger import LedgerResource
from resources.sensitive_store import ProtectedRowsError, SensitiveStore
from tests.assets.edits import OWNER, REVIEWER, changed, with_budget


def test_a_new_contract_needs_an_owner_and_somebody_else(contract, unsigned):
    with pytest.raises(ApprovalNeededError, match=r"a budget of ε 8 .* for population small-bank"):
        require_approved(contract, unsigned)
    sign(contract, unsigned, actor=OWNER, reason="please")
    sign(contract, unsigned, actor=OWNER, reason="please, again")
    with pytest.raises(ApprovalNeededError):
        require_approved(contract, unsigned)
    said = sign(contract, unsigned, actor=REVIEWER, reason="agreed")
    assert len(said) == 2
    assert all(line.startswith("approved") for line in said)
    require_approved(contract, unsigned)
    assert unsigned.verify() == []


def test_a_reviewer_alone_is_not_two_people(contract, unsigned):
    sign(contract, unsigned, actor=REVIEWER, reason="I would like this")
    sign(contract, unsigned, actor=" Privacy@Example.org ", reason="and I agree")
    with pytest.raises(ApprovalNeededError):
        require_approved(contract, unsigned)


def test_an_owner_cannot_agree(contract, unsigned):
    sign(contract, unsigned, actor=REVIEWER, reason="asked by the reviewer")
    [first, second] = sign(contract, unsigned, actor=OWNER, reason="agreed")
    assert "waits for an approver" in first + second
    with pytest.raises(ApprovalNeededError):
        require_approved(contract, unsigned)


def test_an_approver_who_asked_first_locks_nobody_out(contract, unsigned):
    """The one who asked cannot agree: the owner's signature asks again, and then the approver's agrees."""
    sign(contract, unsigned, actor=REVIEWER, reason="asked by the reviewer")
    sign(contract, unsigned, actor=OWNER, reason="asked by the owner too")
    sign(contract, unsigned, actor=OWNER, reason="twice")
    assert len(unsigned.proposals()) == 4
    sign(contract, unsigned, actor=REVIEWER, reason="agreed")
    require_approved(contract, unsigned)
    assert unsigned.verify() == []


def test_strangers_cannot_sign(contract, unsigned):
    with pytest.raises(LedgerError, match=r"does not stand for population small-bank: .* signed for by those whom it"):
        sign(contract, unsigned, actor="stranger@example.org", reason="hello")
    assert [entry.kind for entry in unsigned.entries()] == ["created"]


def test_names_written_into_the_file_sign_nothing(contract, book, agree):
    """Who may sign was read from the very file that is signed: two new names in it got any budget, and public."""
    budget = contract.privacy.budget.model_copy(update={"epsilon": 5000.0})
    theirs = changed(contract, budget=budget, source_is_public=True)
    theirs = replace(theirs, owners=("mallory@example.org",), approvers=("trudy@example.org",))
    assert "stand owners owner@example.org" in people_differ(theirs, book)
    for stranger in ("mallory@example.org", "trudy@example.org"):
        with pytest.raises(LedgerError, match="A contract's file does not decide that"):
            sign(theirs, book, actor=stranger, reason="because")
    sign(theirs, book, actor=OWNER, reason="please")  # even where one of the people asks
    with pytest.raises(LedgerError, match="does not stand for population small-bank"):
        sign(theirs, book, actor="trudy@example.org", reason="because")
    with pytest.raises(ApprovalNeededError):
        require_approved(theirs, book)
    assert book.balance("small-bank", with_pld=False).epsilon_cap == 8.0


def test_a_second_contract_is_signed_by_the_populations_people(contract, book):
    second = replace(contract, id="second", owners=("mallory@example.org",), approvers=("trudy@example.org",))
    with pytest.raises(LedgerError, match="does not stand for"):
        sign(second, book, actor="mallory@example.org", reason="mine")
    sign(second, book, actor=OWNER, reason="please")
    sign(second, book, actor=REVIEWER, reason="agreed")
    require_approved(second, book)
    assert people_differ(contract, book) is None


def test_a_stranger_does_not_read_a_populations_records_under_a_new_name(contract, snapshotted, home, tmp_path):
    """Two invented names register a population of their own, and name a copy of the same records."""
    copy = contract.path.parent / "copy.jsonl"
    theirs = replace(changed(contract, population="invented"), id="copy", source=copy.name)
    theirs = replace(theirs, owners=("mallory@example.org",), approvers=("trudy@example.org",))
    for stranger in ("mallory@example.org", "trudy@example.org"):
        sign(theirs, snapshotted, actor=stranger, reason="because")
    require_approved(theirs, snapshotted)
    lines = (contract.path.parent / "train.jsonl").read_text(encoding="utf-8").splitlines()
    copy.write_text("\n".join(lines[1:]), encoding="utf-8")  # another fingerprint
    store = SensitiveStore(home=str(home.root))
    with pytest.raises(ProtectedRowsError):
        store.ingest(source_of(changed(theirs, source_is_public=True)))
    snapshot = store.ingest(source_of(theirs))
    assert snapshot.overlaps == ("small-bank/everything",)
    with pytest.raises(TermsConflict, match="none of its people"):
        bind(theirs, snapshot, snapshotted, store)


def test_units_without_a_column_do_not_join_a_population_of_customers(contract, book, agree):
    """Each record would be protected by itself, under a certificate about customers."""
    unit = contract.privacy.unit.model_copy(update={"column": None, "max_records": 1})
    letters = replace(changed(contract, unit=unit), id="letters")
    with pytest.raises(TermsConflict, match="another unit_by"):
        agree(letters, book)
    with pytest.raises(TermsConflict, match="another unit_by"):
        require_approved(letters, book)


def test_a_raised_cap_needs_both_and_a_lowered_one_does_not(contract, book, agree):
    higher = with_budget(contract, epsilon=9.0)
    with pytest.raises(ApprovalNeededError, match="raised from ε 8 to 9"):
        require_approved(higher, book)
    agree(higher, book)
    require_approved(higher, book)
    assert book.balance("small-bank", with_pld=False).epsilon_cap == 9.0
    lower = with_budget(contract, epsilon=1.0)
    with pytest.raises(ApprovalNeededError, match="lowered from ε 9 to 1"):
        require_approved(lower, book)
    [said] = sign(lower, book, actor=OWNER, reason="enough")
    assert said.startswith("done")
    require_approved(lower, book)
    assert book.verify() == []


@pytest.mark.parametrize(
    "change",
    [
        {"source_is_public": True},
        {"source_where": {"customer": "c1"}},
    ],
)
def test_weaker_terms_need_both_again(contract, book, agree, change):
    weaker = changed(contract, **change)
    with pytest.raises(ApprovalNeededError, match="weaker terms"):
        require_approved(weaker, book)
    agree(weaker, book)
    require_approved(weaker, book)
    require_approved(contract, book) if "source_is_public" in change else None


def test_other_changes_need_nobody(contract, book):
    releases = contract.privacy.releases
    adapter = releases.adapter.model_copy(update={"steps": 5, "epsilon": 3.0})
    other = changed(contract, releases=releases.model_copy(update={"adapter": adapter}))
    assert needs(replace(other, retention_days=3), book) == []


def test_the_gate_reads_nothing_before(definitions, home, contract, rooms, unsigned, instance, refusal_of):
    import dagster as dg

    from dpsynth_assets.factory import build_contract_defs
    from resources.platform import platform_resources

    public = changed(contract, source_is_public=True)
    defs = dg.Definitions.merge(
        build_contract_defs(public), dg.Definitions(resources=platform_resources(str(home.root)))
    )
    result = defs.resolve_implicit_global_asset_job_def().execute_in_process(instance=instance, raise_on_error=False)
    text = refusal_of(result, "source").description
    assert "source_is_public: False -> True" in text
    assert rooms.read == 0
    assert not list(home.sensitive.iterdir()), "nothing was copied"


def test_a_release_asks_for_itself_though_its_snapshot_was_approved(snapshotted, run, refusal_of, rooms):
    """What was approved then may hold no more."""
    snapshotted.lower_cap("small-bank", 2.0, actor=OWNER, reason="less from now on")
    result = run("label_histogram")
    text = refusal_of(result, "label_histogram").description
    assert "needs approval of the cap of population small-bank raised from ε 2 to 8" in text
    assert rooms.read == 0
    assert not snapshotted.reservations()


@pytest.mark.parametrize("name", ["synthetic", "classifier"])
def test_nothing_is_published_or_trained_under_terms_that_one_person_weakened(
    definitions, home, contract, rooms, instance, refusal_of, snapshotted, name
):
    """It costs nothing and reads no sensitive row, and may follow long after the release."""
    import dagster as dg

    from dpsynth_assets.factory import build_contract_defs
    from resources.platform import platform_resources

    whole = definitions.resolve_implicit_global_asset_job_def()
    assert whole.execute_in_process(instance=instance, raise_on_error=False).success
    looser = changed(contract, personal_data=PersonalData(account_numbers=1.0))
    defs = dg.Definitions.merge(
        build_contract_defs(looser), dg.Definitions(resources=platform_resources(str(home.root)))
    )
    job = defs.resolve_implicit_global_asset_job_def()
    keys = [dg.AssetKey([contract.id, each]) for each in ("corpus", name)]
    result = job.execute_in_process(instance=instance, raise_on_error=False, asset_selection=keys)
    text = refusal_of(result, name).description
    assert "personal_data.account_numbers: 0.005 -> 1.0" in text
    assert "nothing is published" in text
    with pytest.raises(ApprovalNeededError, match="nothing is published"):  # what every classifier's table passes
        published_table(looser, ArtifactStore(str(home.root)), LedgerResource(str(home.root)))
