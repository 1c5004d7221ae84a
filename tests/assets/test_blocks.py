"""New people bring new budget, and old people under a new name do not."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace

import pytest

from dpsynth_assets.approval import require_approved
from dpsynth_assets.assets.gate import bind
from dpsynth_assets.contract.terms import Blocks
from ledger import BudgetRefused, LedgerError, PoissonSampledGaussian, TermsConflict
from resources.sensitive_store import SensitiveStore

EVENT = PoissonSampledGaussian(0.2, 1.0, 4)


@pytest.fixture
def store(home):
    return SensitiveStore(home=str(home.root))


def divided(contract, *values, population="divided"):
    privacy = contract.privacy.model_copy(
        update={"population": population, "blocks": Blocks(column="month", values=values)}
    )
    return replace(contract, privacy=privacy)


def records(*rows):
    return [{"customer": unit, "text": text, "topic": "card", "month": month} for unit, text, month in rows]


def ingest(store, contract, rows):
    path = contract.path.parent / "months.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return store.ingest(replace(contract, source=str(path)))


def reserve(book, contract, snapshot, key="key"):
    return book.reserve(
        contract.privacy.population,
        EVENT,
        source=snapshot.identity,
        release="r",
        key=key,
        owner="run",
        plan_digest="d" * 64,
    )


def exhaust(book, contract, snapshot):
    """Charge until the ledger refuses."""
    with suppress(BudgetRefused):
        for number in range(50):
            reserve(book, contract, snapshot, key=f"key {number}")
        pytest.fail("fifty releases were admitted")


def test_new_people_bring_new_budget_and_old_ones_keep_their_charges(contract, book, store, agree):
    october = divided(contract, "2026-10")
    agree(october, book)
    old = records(("a", "one", "2026-10"), ("b", "two", "2026-10"))
    first = ingest(store, october, old)
    bind(october, first, book, store)
    exhaust(book, october, first)
    november = divided(contract, "2026-11")
    new = [*old, *records(("c", "three", "2026-11"))]
    second = ingest(store, november, new)
    bind(november, second, book, store)
    reserve(book, november, second)
    both = divided(contract, "2026-10", "2026-11")
    third = ingest(store, both, new)
    bind(both, third, book, store)
    with pytest.raises(BudgetRefused) as refused:
        reserve(book, both, third, key="both")
    assert refused.value.block == "divided/2026-10"
    assert book.verify() == []


def test_a_unit_stays_in_the_block_that_it_first_appeared_in(contract, store):
    october, november = divided(contract, "2026-10"), divided(contract, "2026-11")
    first = ingest(store, october, records(("a", "one", "2026-10"), ("b", "two", "2026-10")))
    assert store._rows(first, october).text.tolist() == ["one", "two"]
    second = ingest(store, november, records(("a", "three", "2026-11"), ("c", "four", "2026-11")))
    assert store._rows(second, november).text.tolist() == ["four"], "a is of October, whatever its record says"


def test_a_unit_in_two_blocks_at_once_is_in_the_first_named(contract, store):
    both = divided(contract, "2026-10", "2026-11")
    rows = records(("a", "late", "2026-11"), ("a", "early", "2026-10"), ("b", "b", "2026-11"), ("c", "c", "2026-12"))
    assert store._rows(ingest(store, both, rows), both).text.tolist() == ["early", "b"]


def test_a_unit_changes_no_other_units_rows(contract, home):
    both = divided(contract, "2026-10", "2026-11")
    rows = records(("a", "x", "2026-11"), ("b", "x", "2026-10"), ("b", "y", "2026-11"), ("c", "x", "2026-11"))
    with_a = SensitiveStore(home=str(home.root / "with"))
    without = SensitiveStore(home=str(home.root / "without"))
    seen = with_a._rows(ingest(with_a, both, rows), both)
    less = without._rows(ingest(without, both, rows[1:]), both)
    assert seen[seen.unit != "a"].values.tolist() == less.values.tolist()


def test_the_same_records_under_another_population_share_its_charges(contract, snapshotted, store, agree):
    renamed = replace(contract, privacy=contract.privacy.model_copy(update={"population": "renamed"}))
    agree(renamed, snapshotted)
    source = (contract.path.parent / "train.jsonl").read_text(encoding="utf-8").splitlines()
    copy = contract.path.parent / "copy.jsonl"
    copy.write_text("\n".join(source[3:]), encoding="utf-8")  # a few records less: another fingerprint
    snapshot = store.ingest(replace(renamed, source=str(copy)))
    assert snapshot.overlaps == ("small-bank/everything",)
    bind(renamed, snapshot, snapshotted, store)
    reserve(snapshotted, renamed, snapshot)
    spent = {name: snapshotted.balance(name, with_pld=False).epsilon_spent for name in ("renamed", "small-bank")}
    assert spent["small-bank"] > 0
    assert spent["renamed"] == pytest.approx(spent["small-bank"])


def test_the_very_same_source_cannot_be_bound_twice(contract, snapshotted, store, agree):
    renamed = replace(contract, privacy=contract.privacy.model_copy(update={"population": "renamed"}))
    agree(renamed, snapshotted)
    with pytest.raises(TermsConflict, match="bound to population 'small-bank'"):
        bind(renamed, store.ingest(renamed), snapshotted, store)


def test_a_source_that_the_ledger_refused_shares_no_charge(contract, snapshotted, store, agree):
    renamed = replace(contract, privacy=contract.privacy.model_copy(update={"population": "renamed"}))
    agree(renamed, snapshotted)
    refused = store.ingest(renamed)
    assert store.ingest(contract).overlaps == ("renamed/everything",)  # until the ledger has spoken, it counts
    with pytest.raises(TermsConflict):
        bind(renamed, refused, snapshotted, store)
    assert store.ingest(contract).overlaps == ()


def test_a_few_records_in_common_are_coincidence(contract, snapshotted, store):
    other = replace(contract, privacy=contract.privacy.model_copy(update={"population": "other"}))
    source = (contract.path.parent / "train.jsonl").read_text(encoding="utf-8").splitlines()
    path = contract.path.parent / "other.jsonl"
    own = [json.dumps({"customer": f"x{i}", "text": f"something else {i}", "topic": "card"}) for i in range(60)]
    path.write_text("\n".join([*source[:5], *own]), encoding="utf-8")
    assert store.ingest(replace(other, source=str(path))).overlaps == ()


def test_a_division_is_fixed_at_registration(contract, snapshotted, store, agree):
    late = divided(contract, "2026-10", population="small-bank")
    agree(late, snapshotted)
    with pytest.raises(LedgerError, match="blocks_by"):
        require_approved(late, snapshotted)
