"""Nothing runs on terms that two people have not agreed to, and weaker terms need them again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dpsynth_assets.approval import ApprovalNeededError, needs, require_approved, sign
from dpsynth_assets.contract.diff import changes, terms_for_approval
from ledger import Ledger, TermsConflict

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
    with pytest.raises(ApprovalNeededError, match="neither an owner"):
        sign(contract, unsigned, actor="stranger@example.org", reason="hello")
    assert [entry.kind for entry in unsigned.entries()] == ["created"]


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
        "approvers": "other people may approve",
    }
    assert changes(after, after) == []
    assert {change.term for change in changes(after, before) if change.weakens} == {"retention_days", "approvers"}


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
