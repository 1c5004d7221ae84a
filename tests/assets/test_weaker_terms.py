"""What may never change, what takes two people to weaken, and what anybody may change alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dpsynth_assets.contract.classifiers import SafetyClassifier
from dpsynth_assets.contract.diff import changes, terms_for_approval
from dpsynth_assets.contract.source_terms import Blocks, PersonalData
from dpsynth_assets.contract.synthesis import BaseModelTerms, Curation
from dpsynth_assets.gate.approval import (
    ApprovalNeededError,
    needs,
    require_approved,
    require_terms,
    sign,
)
from ledger import ProtocolError, SetTerms, TermsConflict
from tests.assets.edits import OWNER, REVIEWER, changed, typed, with_budget, with_unit

NEVER = {
    "a higher delta": lambda c: with_budget(c, delta=1e-4),
    "a lower delta": lambda c: with_budget(c, delta=1e-6),
    "another unit": lambda c: with_unit(c, name="household"),
    "another column of the unit": lambda c: with_unit(c, column="text"),
    "another type of the unit's column": lambda c: typed(c, customer="integer"),
    "blocks": lambda c: changed(c, blocks=Blocks(column="joined", values=("a", "b"))),
    "another rule": lambda c: with_budget(c, rule="closed_plan"),
    "a higher cap in the same edit": lambda c: with_budget(c, delta=1e-4, epsilon=9.0),
    "a lower cap in the same edit": lambda c: with_budget(c, delta=1e-4, epsilon=2.0),
    "weaker terms in the same edit": lambda c: replace(with_budget(c, delta=1e-4), retention_days=99),
}


@pytest.mark.parametrize("edit", NEVER.values(), ids=NEVER)
def test_what_never_changes_is_refused_before_anything_is_signed(contract, book, edit):
    edited, before = edit(contract), book.entries()
    for ask in (needs, require_approved):
        with pytest.raises(TermsConflict, match="never changes"):
            ask(edited, book)
    for actor in (OWNER, REVIEWER):
        with pytest.raises(TermsConflict, match=r"set (it|the contract) back.*another.*population"):
            sign(edited, book, actor=actor, reason="please")
    assert book.entries() == before
    require_approved(contract, book)


@pytest.mark.parametrize("edit", NEVER.values(), ids=NEVER)
def test_the_ledger_itself_takes_no_terms_that_contradict_the_population(contract, book, edit):
    terms = terms_for_approval(edit(contract))
    with pytest.raises(TermsConflict, match="never changes"):
        book.propose(SetTerms("small", terms, "small-bank"), actor=OWNER, reason="past everything that asks before")


@pytest.mark.parametrize("first", [1e-4, 1e-6])
def test_of_two_proposals_that_contradict_each_other_one_takes_effect(contract, unsigned, first):
    """Both are asked for before the population is registered. Whichever is agreed to first, the other never is."""
    versions = [with_budget(contract, delta=delta) for delta in (1e-4, 1e-6)]
    for version in versions:
        sign(version, unsigned, actor=OWNER, reason="please")
    chosen, other = sorted(versions, key=lambda version: version.privacy.budget.delta != first)
    sign(chosen, unsigned, actor=REVIEWER, reason="agreed")
    require_approved(chosen, unsigned)
    with pytest.raises(TermsConflict, match="never changes"):
        sign(other, unsigned, actor=REVIEWER, reason="agreed")
    for waiting in [each for each in unsigned.proposals() if each.effect is None]:
        with pytest.raises((TermsConflict, ProtocolError), match=r"never changes|decided about the same since"):
            unsigned.approve(waiting.seq, actor=REVIEWER, reason="by its number")
    assert unsigned.terms("small")["budget"]["delta"] == first


def test_terms_are_agreed_to_after_the_population_that_they_name(contract, unsigned):
    sign(contract, unsigned, actor=OWNER, reason="please")
    budget, terms = unsigned.proposals()
    with pytest.raises(ProtocolError, match="approve its budget first"):
        unsigned.approve(terms.seq, actor=REVIEWER, reason="the second one first")
    unsigned.approve(budget.seq, actor=REVIEWER, reason="agreed")
    unsigned.approve(terms.seq, actor=REVIEWER, reason="agreed")
    require_approved(contract, unsigned)


def test_a_second_contract_cannot_say_otherwise_about_the_population(contract, book):
    other = replace(with_budget(contract, delta=1e-4), id="other")
    for actor in (OWNER, REVIEWER):
        with pytest.raises(TermsConflict, match="another delta"):
            sign(other, book, actor=actor, reason="please")
    assert book.terms("other") is None


def test_another_population_may_have_another_delta(contract, book, agree):
    other = changed(contract, population="others", budget=contract.privacy.budget.model_copy(update={"delta": 1e-4}))
    agree(other, book)
    require_approved(other, book)


def test_terms_approved_before_that_was_asked_are_set_right(contract, book, agree, monkeypatch):
    """Homes in which terms and population disagree: the contract is set back, and signed for once more."""
    import ledger.governing

    with monkeypatch.context() as before:
        before.setattr(ledger.governing, "require_possible_terms", lambda *_, **__: None)
        terms = terms_for_approval(with_budget(contract, delta=1e-4))
        asked = book.propose(SetTerms("small", terms, "small-bank"), actor=OWNER, reason="larger delta")
        book.approve(asked, actor=REVIEWER, reason="agreed")
    with pytest.raises(TermsConflict):
        needs(with_budget(contract, delta=1e-4), book)
    [need] = needs(contract, book)
    assert "budget.delta: 0.0001 -> 1e-05 (agrees with the registered population)" in need.what
    agree(contract, book)
    require_approved(contract, book)


# Siblings: what one person must not change alone, and what may be changed alone


def classified(contract, **classes):
    columns = (replace(c, classification=classes.get(c.name, c.classification)) for c in contract.columns)
    return replace(contract, columns=tuple(columns))


SAFETY = SafetyClassifier(target="topic", unsafe="loan")
WEAKER = {
    "purpose": lambda c: replace(c, intent={"purpose": "For advertising."}),
    "limitations removed": lambda c: replace(c, intent={}),
    "usage": lambda c: replace(c, intent={**c.intent, "usage": "Anything."}),
    "a less secret class": lambda c: classified(c, text="internal"),
    "another class": lambda c: classified(c, topic="odd"),
    "no class": lambda c: classified(c, topic=None),
    "look-alikes of accounts": lambda c: changed(c, personal_data=PersonalData(account_numbers=0.01)),
    "look-alikes of addresses": lambda c: changed(c, personal_data=PersonalData(addresses=0.5)),
    "longer texts": lambda c: changed(c, text=c.privacy.text.model_copy(update={"max_tokens": 13})),
    "another base model": lambda c: changed(c, base_model=BaseModelTerms(name="some/model", corpus="in words")),
    "what it has read": lambda c: changed(c, base_model=BaseModelTerms(trained_before="2020-01")),
    "codes": lambda c: changed(c, labels=(c.privacy.labels[0].model_copy(update={"codes": (0, 1)}),)),
    "spellings": lambda c: changed(c, labels=(c.privacy.labels[0].model_copy(update={"spellings": ("a", "b")}),)),
    "who declares the test split public": lambda c: changed(
        c, test_split=c.privacy.test_split.model_copy(update={"declared_public_by": "x@example.org"})
    ),
    "a safety classifier": lambda c: changed(c, safety_classifier=SAFETY),
    "retention": lambda c: replace(c, retention_days=31),
    "another type of a label": lambda c: typed(c, topic="integer"),
}
FREE = {
    "a more secret class": lambda c: classified(c, topic="restricted"),
    "fewer look-alikes": lambda c: changed(c, personal_data=PersonalData(account_numbers=0.0, addresses=0.01)),
    "shorter texts": lambda c: changed(c, text=c.privacy.text.model_copy(update={"max_tokens": 8})),
    "generation": lambda c: changed(c, generation=c.privacy.generation.model_copy(update={"rows": 9, "seed": 4})),
    "curation": lambda c: changed(c, curation=Curation(near_duplicates=0.9, drawn=2.0)),
    "the estimate of units": lambda c: with_unit(c, public_count=50),
    "a shorter retention": lambda c: replace(c, retention_days=3),
    "quality rules of its own": lambda c: replace(c, quality=()),
    # Who decides stands in the ledger since the first approval; a name in the file gives nobody a say.
    "owners in the file": lambda c: replace(c, owners=(OWNER, "x@example.org")),
    "approvers in the file": lambda c: replace(c, approvers=(REVIEWER, "x@example.org")),
}


@pytest.mark.parametrize("edit", WEAKER.values(), ids=WEAKER)
def test_one_person_cannot_weaken(contract, book, agree, edit):
    weaker = edit(contract)
    with pytest.raises(ApprovalNeededError, match="weaker terms"):
        require_approved(weaker, book)
    with pytest.raises(ApprovalNeededError, match="nothing is published"):
        require_terms(weaker, book)
    sign(weaker, book, actor=OWNER, reason="alone")
    with pytest.raises(ApprovalNeededError):
        require_approved(weaker, book)


@pytest.mark.parametrize("edit", FREE.values(), ids=FREE)
def test_what_weakens_nothing_asks_nobody(contract, book, edit):
    assert needs(edit(contract), book) == []
    require_terms(edit(contract), book)


@pytest.mark.parametrize(
    "lower",
    [{"precision": 0.5}, {"recall": 0.5}, {"confidence": 0.5}, {"unsafe": "card"}, {"validation": "test_split"}],
)
def test_a_safety_classifier_s_promise_is_not_lowered_by_one_person(contract, book, agree, lower):
    promised = changed(contract, safety_classifier=SAFETY)
    agree(promised, book)
    require_approved(promised, book)
    assert needs(changed(contract, safety_classifier=SAFETY.model_copy(update={"precision": 0.99})), book) == []
    assert needs(contract, book) == [], "without it nothing is promised"
    with pytest.raises(ApprovalNeededError, match=r"safety_classifier\."):
        require_approved(changed(contract, safety_classifier=SAFETY.model_copy(update=lower)), book)


def test_terms_that_did_not_exist_when_a_contract_was_approved_are_asked_for_once(contract, book, agree):
    """A home made before: purpose and classification are asked for in words; what always held is not."""
    old = terms_for_approval(contract)
    for name in ("description", "classification", "personal_data"):
        del old[name]
    asked = book.propose(SetTerms("small", old, "small-bank"), actor=OWNER, reason="as it was")
    book.approve(asked, actor=REVIEWER, reason="as it was")
    [need] = needs(contract, book)
    assert "description.purpose: nothing -> For tests. (nobody has signed for it yet" in need.what
    assert "classification.text: nothing -> restricted (nobody has signed for it yet" in need.what
    assert "personal_data" not in need.what
    agree(contract, book)
    require_approved(contract, book)
    assert needs(contract, book) == []


def test_the_type_of_a_column_that_is_filtered_by_is_signed_for(contract, book, agree):
    """As text, 1 is another value than "true"; as a truth value it is the same, and other rows are read."""
    where = changed(contract, source_where={"customer": "1", "consent": "1"})
    agree(where, book)
    assert terms_for_approval(where)["types"] == {"text": "string", "topic": "string", "customer": "string"} | {
        "consent": "string"
    }
    consent = replace(contract.columns[0], name="consent", logical_type="boolean")
    with pytest.raises(ApprovalNeededError, match=r"types\.consent: string -> boolean"):
        require_approved(replace(where, columns=(*where.columns, consent)), book)


def test_a_second_contract_cannot_tell_the_population_s_units_apart_otherwise(contract, book, agree):
    """As whole numbers 7 and 007 are one customer, as text two, each with the bounds of one."""
    with pytest.raises(TermsConflict, match="column customer as string"):
        needs(replace(typed(contract, customer="integer"), id="other"), book)
    agree(replace(contract, id="other"), book)


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
    from dpsynth_assets.releases.classifiers import ClassifierTerms

    approved = terms_for_approval(contract)
    del approved["releases"]["dp_baseline"]  # as contracts were approved before there was such a release
    assert changes(approved, terms_for_approval(contract)) == []
    baseline = ClassifierTerms(classifier="minilm", share=0.1, expected_batch_size=8, steps=3, learning_rate=0.1)
    releases = contract.privacy.releases.model_copy(update={"dp_baseline": baseline})
    found = changes(approved, terms_for_approval(changed(contract, releases=releases)))
    assert {change.term for change in found} >= {"releases.dp_baseline.share", "releases.dp_baseline.classifier"}
    assert [change.weakens for change in found if change.weakens] == []
