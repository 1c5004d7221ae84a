"""Nothing runs on terms that two people have not agreed to, and weaker terms need them again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dpsynth_assets.approval import ApprovalNeededError, needs, people_differ, require_approved, sign
from dpsynth_assets.assets.gate import bind
from dpsynth_assets.contract.diff import changes, terms_for_approval
from ledger import Ledger, LedgerError, TermsConflict
from resources.sensitive_store import SensitiveStore

OWNER, REVIEWER = "owner@example.org", "privacy@example.org"


@pytest.fixture
def unsigned(home):
    return Ledger(home.ledger_file)


def changed(contract, **terms):
    return replace(contract, privacy=contract.privacy.model_copy(update=terms))


def with_budget(contract, **budget):
    return changed(contract, budget=contract.privacy.budget.model_copy(update=budget))


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


def test_strangers_cannot_sign(contract, unsigned):
    with pytest.raises(LedgerError, match="does not stand for population small-bank"):
        sign(contract, unsigned, actor="stranger@example.org", reason="hello")
    assert [entry.kind for entry in unsigned.entries()] == ["created"]


def test_names_written_into_the_file_sign_nothing(contract, book, agree):
    """Who may sign was read from the very file that is signed: two new names in it got any budget, and public."""
    budget = contract.privacy.budget.model_copy(update={"epsilon": 5000.0})
    theirs = changed(contract, budget=budget, source_is_public=True)
    theirs = replace(theirs, owners=("mallory@example.org",), approvers=("trudy@example.org",))
    assert "stand owners owner@example.org" in people_differ(theirs, book)
    for stranger in ("mallory@example.org", "trudy@example.org"):
        with pytest.raises(LedgerError, match="does not stand for population small-bank"):
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
    """Two invented names register a population of their own, call it public, and name a copy of the same records."""
    theirs = changed(contract, population="invented", source_is_public=True)
    theirs = replace(theirs, id="copy", owners=("mallory@example.org",), approvers=("trudy@example.org",))
    for stranger in ("mallory@example.org", "trudy@example.org"):
        sign(theirs, snapshotted, actor=stranger, reason="because")
    require_approved(theirs, snapshotted)
    copy = contract.path.parent / "copy.jsonl"
    lines = (contract.path.parent / "train.jsonl").read_text(encoding="utf-8").splitlines()
    copy.write_text("\n".join(lines[1:]), encoding="utf-8")  # another fingerprint
    store = SensitiveStore(home=str(home.root))
    snapshot = store.ingest(theirs, str(copy))
    assert snapshot.overlaps == ("small-bank/everything",)
    with pytest.raises(TermsConflict, match="none of its people"):
        bind(theirs, snapshot, snapshotted, store)


def test_units_without_a_column_do_not_join_a_population_of_customers(contract, book, agree):
    """Each record would be protected by itself, under a certificate about customers."""
    unit = contract.privacy.unit.model_copy(update={"column": None, "max_records": 1})
    letters = replace(changed(contract, unit=unit), id="letters")
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


def test_delta_and_unit_never_change(contract, book, agree):
    looser = with_budget(contract, delta=1e-4)
    agree(looser, book)
    with pytest.raises(TermsConflict, match="another delta"):
        require_approved(looser, book)


def test_the_diff_says_what_weakens_and_why(contract):
    before = terms_for_approval(contract)
    unit = contract.privacy.unit.model_copy(update={"max_records": 3})
    after = terms_for_approval(replace(changed(contract, unit=unit), retention_days=2, approvers=("x@example.org",)))
    found = {change.term: change.weakens for change in changes(before, after)}
    assert found == {
        "unit.max_records": "more of one unit's records are used",
        "retention_days": None,
        "approvers": None,  # who may approve stands in the ledger
    }
    assert changes(after, after) == []
    assert {change.term for change in changes(after, before) if change.weakens} == {"retention_days"}


def test_a_baseline_is_a_release_more_and_no_weaker_term(contract):
    from dpsynth_assets.contract.releases import ClassifierRelease

    approved = terms_for_approval(contract)
    del approved["releases"]["dp_baseline"]  # as contracts were approved before there was such a release
    assert changes(approved, terms_for_approval(contract)) == []
    baseline = ClassifierRelease(classifier="minilm", share=0.1, expected_batch_size=8, steps=3, learning_rate=0.1)
    releases = contract.privacy.releases.model_copy(update={"dp_baseline": baseline})
    found = changes(approved, terms_for_approval(changed(contract, releases=releases)))
    assert {change.term for change in found} >= {"releases.dp_baseline.share", "releases.dp_baseline.classifier"}
    assert [change.weakens for change in found if change.weakens] == []


def test_the_gate_reads_nothing_before(definitions, home, contract, rooms, unsigned, instance, failure_of):
    import dagster as dg

    from dpsynth_assets.factory import build_contract_defs
    from resources.platform import platform_resources

    public = changed(contract, source_is_public=True)
    defs = dg.Definitions.merge(
        build_contract_defs(public), dg.Definitions(resources=platform_resources(str(home.root)))
    )
    result = defs.resolve_implicit_global_asset_job_def().execute_in_process(instance=instance, raise_on_error=False)
    text = failure_of(result, "source").step_failure_data.user_failure_data.description
    assert "source_is_public: False -> True" in text
    assert rooms.read == 0
    assert not list(home.sensitive.iterdir()), "nothing was copied"
