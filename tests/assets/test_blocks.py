"""New people bring new budget, and old people under a new name do not."""

from __future__ import annotations

import json
import unicodedata
from contextlib import suppress
from dataclasses import replace

import pytest

from dpsynth_assets.contract.source_terms import Blocks
from dpsynth_assets.gate.approval import ApprovalNeededError, require_approved
from dpsynth_assets.gate.binding import bind
from dpsynth_assets.gate.sources import source_of
from ledger import BudgetRefused, LedgerError, PoissonSampledGaussian, TermsConflict
from resources.fingerprint_key import key_of
from resources.sensitive_store import ProtectedRowsError, SensitiveStore

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
    return store.ingest(source_of(replace(contract, source=str(path))))


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
    assert store._rows(first, source_of(october)).text.tolist() == ["one", "two"]
    store.settle(source_of(october), first, bound=True)
    second = ingest(store, november, records(("a", "three", "2026-11"), ("c", "four", "2026-11")))
    assert store._rows(second, source_of(november)).text.tolist() == ["four"], (
        "a is of October, whatever its record says"
    )


def test_a_unit_in_two_blocks_at_once_is_in_the_first_named(contract, store):
    both = divided(contract, "2026-10", "2026-11")
    rows = records(("a", "late", "2026-11"), ("a", "early", "2026-10"), ("b", "b", "2026-11"), ("c", "c", "2026-12"))
    assert store._rows(ingest(store, both, rows), source_of(both)).text.tolist() == ["early", "b"]


def test_a_unit_changes_no_other_units_rows(contract, home):
    both = divided(contract, "2026-10", "2026-11")
    rows = records(("a", "x", "2026-11"), ("b", "x", "2026-10"), ("b", "y", "2026-11"), ("c", "x", "2026-11"))
    with_a = SensitiveStore(home=str(home.root / "with"))
    without = SensitiveStore(home=str(home.root / "without"))
    seen = with_a._rows(ingest(with_a, both, rows), source_of(both))
    less = without._rows(ingest(without, both, rows[1:]), source_of(both))
    assert seen[seen.unit != "a"].values.tolist() == less.values.tolist()


def test_the_same_records_under_another_population_share_its_charges(contract, snapshotted, store, agree):
    renamed = replace(contract, privacy=contract.privacy.model_copy(update={"population": "renamed"}))
    agree(renamed, snapshotted)
    source = (contract.path.parent / "train.jsonl").read_text(encoding="utf-8").splitlines()
    copy = contract.path.parent / "copy.jsonl"
    copy.write_text("\n".join(source[3:]), encoding="utf-8")  # a few records less: another fingerprint
    snapshot = store.ingest(source_of(replace(renamed, source=str(copy))))
    assert snapshot.overlaps == ("small-bank/everything",)
    bind(renamed, snapshot, snapshotted, store)
    reserve(snapshotted, renamed, snapshot)
    spent = {name: snapshotted.balance(name, with_pld=False).epsilon_spent for name in ("renamed", "small-bank")}
    assert spent["small-bank"] > 0
    assert spent["renamed"] == pytest.approx(spent["small-bank"])


def of_others(contract, unit="customer"):
    """A contract of another population, which protects the same kind of unit or another one, with the same source."""
    unit = contract.privacy.unit.model_copy(update={"name": unit})
    privacy = contract.privacy.model_copy(update={"population": "renamed", "unit": unit})
    return replace(contract, id="renamed", privacy=privacy)


def test_the_very_same_source_and_one_with_a_record_less_are_treated_alike(contract, snapshotted, store, agree):
    """A difference would tell whoever knows all records but one what the last one is."""
    renamed = of_others(contract)
    agree(renamed, snapshotted)
    same = store.ingest(source_of(renamed))
    bind(renamed, same, snapshotted, store)
    path = contract.path.parent / "train.jsonl"
    path.write_text("\n".join(path.read_text(encoding="utf-8").splitlines()[1:]), encoding="utf-8")
    less = store.ingest(source_of(renamed))
    bind(renamed, less, snapshotted, store)
    assert same.overlaps == less.overlaps == ("small-bank/everything",)


def test_a_source_that_the_ledger_refused_shares_no_charge(contract, snapshotted, store, agree):
    renamed = of_others(contract, unit="household")
    agree(renamed, snapshotted)
    refused = store.ingest(source_of(renamed))
    assert store.ingest(source_of(contract)).overlaps == (
        "renamed/everything",
    )  # until the ledger has spoken, it counts
    with pytest.raises(TermsConflict):
        bind(renamed, refused, snapshotted, store)
    assert store.ingest(source_of(contract)).overlaps == ()


def of_records(contract, *values):
    """Divided by month, each record a unit."""
    unit = contract.privacy.unit.model_copy(update={"column": None, "name": "record", "max_records": 1})
    made = divided(contract, *values)
    return replace(made, privacy=made.privacy.model_copy(update={"unit": unit}))


def settled(store, contract, rows):
    snapshot = ingest(store, contract, rows)
    store.settle(source_of(contract), snapshot, bound=True)
    return snapshot


def test_a_full_export_under_each_new_month_brings_the_same_records_no_new_budget(contract, store):
    everyone = [(f"u{i}", f"text {i}") for i in range(30)]
    seen = []
    for month in ("2026-10", "2026-11", "2026-12"):
        made = of_records(contract, month)
        new = (f"new {month}", f"new {month}")
        snapshot = settled(store, made, records(*((unit, text, month) for unit, text in [*everyone, new])))
        seen.append(set(store._rows(snapshot, source_of(made)).text))
    assert seen == [{text for _, text in everyone} | {"new 2026-10"}, {"new 2026-11"}, {"new 2026-12"}]


def test_one_text_is_one_unit_where_records_are_units_of_a_divided_population(contract, store):
    """It is in one block, and one record of it is used: so with or without it one block has one row more or less."""
    both = of_records(contract, "2026-10", "2026-11")
    rows = records(("a", "same", "2026-11"), ("b", "same", "2026-10"), ("c", "same", "2026-10"), ("d", "d", "2026-11"))
    assert store._rows(ingest(store, both, rows), source_of(both)).text.tolist() == ["same", "d"]
    assert store._rows(ingest(store, both, rows[3:]), source_of(both)).text.tolist() == ["d"]


def test_which_record_of_a_text_is_used_is_decided_by_that_texts_records_alone(contract, store):
    both = of_records(contract, "2026-10")
    [card] = records(("a", "t", "2026-10"))
    loan = {**card, "topic": "loan"}
    other = records(("b", "other", "2026-10"))
    for rows in ([loan, card], [card, loan], [*other, loan, card], [card, *other, loan]):
        found = store._rows(ingest(store, both, rows), source_of(both))
        assert found[found.text == "t"].topic.tolist() == ["card"]


def test_the_same_records_under_new_ids_in_a_new_block_are_charged_in_the_old_one_too(contract, book, store, agree):
    october, november = divided(contract, "2026-10"), divided(contract, "2026-10", "2026-11")
    agree(november, book)
    old = ingest(store, october, records(*((f"u{i}", f"text {i}", "2026-10") for i in range(30))))
    bind(october, old, book, store)
    only = divided(contract, "2026-11")
    new = ingest(store, only, records(*((f"again {i}", f"text {i}", "2026-11") for i in range(30))))
    assert new.blocks == ("2026-10", "2026-11")
    bind(only, new, book, store)
    assert set(reserve(book, only, new).blocks) == {"divided/2026-10", "divided/2026-11"}


def test_new_people_with_records_of_their_own_are_charged_in_their_block_alone(contract, store):
    october, november = divided(contract, "2026-10"), divided(contract, "2026-11")
    settled(store, october, records(*((f"u{i}", f"text {i}", "2026-10") for i in range(30))))
    new = ingest(store, november, records(*((f"v{i}", f"other {i}", "2026-11") for i in range(30))))
    assert new.blocks == ("2026-11",)


def test_a_refused_snapshot_puts_nobody_into_a_block(contract, store):
    october, november = divided(contract, "2026-10"), divided(contract, "2026-11")
    refused = ingest(store, october, records(("a", "one", "2026-10")))
    store.settle(source_of(october), refused, bound=False)
    later = settled(store, november, records(("a", "two", "2026-11")))
    assert store._rows(later, source_of(november)).text.tolist() == ["two"]


def test_a_unit_of_a_snapshot_that_waits_for_the_ledger_is_in_its_block_already(contract, store):
    """Else two that are taken at once could put one unit into two blocks."""
    october = divided(contract, "2026-10")
    november = replace(divided(contract, "2026-11"), id="november")
    waits = ingest(store, october, records(("a", "one", "2026-10")))
    meanwhile = ingest(store, november, records(("a", "two", "2026-11"), ("b", "three", "2026-11")))
    assert store._rows(meanwhile, source_of(november)).text.tolist() == ["three"]
    for made, snapshot in ((november, meanwhile), (october, waits)):
        store.settle(source_of(made), snapshot, bound=True)
    again = ingest(store, november, records(("a", "two", "2026-11"), ("b", "three", "2026-11")))
    assert store._rows(again, source_of(november)).text.tolist() == ["three"]


def test_records_of_blocks_that_are_not_read_are_nobodys_to_publish_either(contract, store):
    october = divided(contract, "2026-10")
    later = [f"later {i}" for i in range(30)]
    settled(store, october, records(("a", "one", "2026-10"), *((text, text, "2026-11") for text in later)))
    with pytest.raises(ProtectedRowsError):
        store.require_unprotected(later, source_of(contract), "the test split")


def test_a_unit_stays_where_a_bound_snapshot_put_it_when_a_pending_one_that_knew_it_first_is_withdrawn(contract, store):
    """The first `source` of a was killed before the ledger had bound it, or the ledger refused it."""
    first = records(("u", "letter 1", "2026-10"))
    for killed in (True, False):
        population = f"killed-{killed}".lower()
        a = replace(divided(contract, "2026-10", population=population), id="a")
        b = replace(divided(contract, "2026-10", population=population), id="b")
        c = replace(divided(contract, "2026-11", population=population), id="c")
        withdrawn = ingest(store, a, first)
        settled(store, b, records(("u", "letter 2", "2026-10")))
        if killed:
            settled(store, a, records(("w", "letter 4", "2026-10")))
        else:
            store.settle(source_of(a), withdrawn, bound=False)
        elsewhere = settled(store, c, records(("u", "letter 3", "2026-11"), ("v", "letter 5", "2026-11")))
        assert store._rows(elsewhere, source_of(c)).text.tolist() == ["letter 5"]


def test_a_record_without_a_unit_or_a_text_is_in_no_block(contract, store):
    october = divided(contract, "2026-10")
    rows = records((None, "one", "2026-10"), ("a", None, "2026-10"), ("b", "two", "2026-10"))
    assert store._rows(ingest(store, october, rows), source_of(october)).text.tolist() == ["two"]


def test_blocks_that_an_earlier_version_remembered_are_charged_along(contract, store, home):
    """Of those it is not known exactly who is in them."""
    import numpy as np

    key_of(home)  # the store was in use then
    known = home.sensitive / "known" / "divided"
    known.mkdir(parents=True)
    np.save(known / "records-0123.npy", np.arange(30, dtype=np.uint64))
    (known / "records-0123.json").write_text('["divided/2026-09"]', encoding="utf-8")
    october = divided(contract, "2026-10")
    assert ingest(store, october, records(("a", "one", "2026-10"))).blocks == ("2026-09", "2026-10")


def test_another_block_takes_two_signatures(contract, book, agree):
    october = divided(contract, "2026-10")
    agree(october, book)
    require_approved(october, book)
    with pytest.raises(
        ApprovalNeededError, match=r"blocks\.values: 2026-10 -> 2026-11 .*each with a budget of its own"
    ):
        require_approved(divided(contract, "2026-11"), book)
    agree(divided(contract, "2026-10", "2026-11"), book)
    require_approved(divided(contract, "2026-11"), book)


def test_a_few_records_in_common_are_coincidence(contract, snapshotted, store):
    other = replace(contract, privacy=contract.privacy.model_copy(update={"population": "other"}))
    source = (contract.path.parent / "train.jsonl").read_text(encoding="utf-8").splitlines()
    path = contract.path.parent / "other.jsonl"
    own = [json.dumps({"customer": f"x{i}", "text": f"something else {i}", "topic": "card"}) for i in range(60)]
    path.write_text("\n".join([*source[:5], *own]), encoding="utf-8")
    assert store.ingest(source_of(replace(other, source=str(path)))).overlaps == ()


def test_a_division_is_fixed_at_registration(contract, snapshotted, store, agree):
    late = divided(contract, "2026-10", population="small-bank")
    for ask in (agree, require_approved):
        with pytest.raises(LedgerError, match="blocks_by"):
            ask(late, snapshotted)


def hidden(mark):
    return lambda text: "".join(letter + mark for letter in text)


@pytest.mark.parametrize(
    "changed",
    [
        lambda text: unicodedata.normalize("NFD", text),
        lambda text: unicodedata.normalize("NFKC", text).upper(),
        hidden("\u200b"),
        hidden("\u0007"),
        lambda text: "\ufeff" + text.replace(" ", "\u00a0") + "!",
    ],
    ids=["decomposed", "capitals", "zero width", "control", "mark and blanks"],
)
def test_a_copy_is_known_whatever_a_program_did_to_its_texts(changed, contract, snapshotted, store):
    renamed = replace(contract, privacy=contract.privacy.model_copy(update={"population": "renamed"}))
    lines = (contract.path.parent / "train.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line) for line in lines]
    for original in (True, False):  # with accents in both, which one of them has otherwise
        said = [f"{each['text']} für Ærø" for each in texts]
        rows = [each | {"text": text if original else changed(text)} for each, text in zip(texts, said, strict=True)]
        path = contract.path.parent / f"{original}.jsonl"
        path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
        own = replace(contract if original else renamed, source=str(path))
        snapshot = store.ingest(source_of(own))
    assert snapshot.overlaps == ("small-bank/everything",)


def other_column(contract, unit="customer", where=None):
    """The same table under another population, of which another column is the text."""
    source = source_of(contract)
    columns = replace(source.columns, text="remark", labels=(), unit=unit)
    return replace(source, contract="renamed", population="renamed", columns=columns, where=where or {})


@pytest.fixture
def with_remarks(contract, store):
    """Its source has a second text, and a second person, in each record."""
    path = contract.path.parent / "train.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    more = [{"remark": f"remark {at}", "agent": f"agent {at % 7}", "year": 2025 + at % 2} for at in range(len(rows))]
    path.write_text("\n".join(json.dumps(row | other) for row, other in zip(rows, more, strict=True)), encoding="utf-8")
    store.ingest(replace(source_of(contract), where={"year": 2025}))
    return path


def test_the_people_of_a_table_are_known_by_any_of_their_texts(contract, store, with_remarks):
    assert store.ingest(other_column(contract)).overlaps == ("small-bank/everything",)


def test_so_they_are_by_a_link_or_a_variable_that_leads_there(contract, store, with_remarks, monkeypatch):
    link = with_remarks.with_name("link.jsonl")
    link.symlink_to(with_remarks)
    monkeypatch.setenv("LETTERS", str(with_remarks.parent))
    for place in (str(link), "${LETTERS}/train.jsonl"):
        assert store.ingest(replace(other_column(contract), place=place)).overlaps == ("small-bank/everything",)


def test_other_people_of_the_same_table_are_others(contract, store, with_remarks):
    assert store.ingest(other_column(contract, unit="agent")).overlaps == ()
    assert store.ingest(other_column(contract, where={"year": 2026})).overlaps == ()
    for same in ("2025", "02025", 2025.0, " 2025"):  # by some type that a contract may declare
        assert store.ingest(other_column(contract, where={"year": same})).overlaps != (), same


def test_the_same_name_for_other_columns_excludes_nothing(contract, store, with_remarks):
    other = other_column(contract, where={"year": 1})
    other = replace(other, columns=replace(other.columns, stored={"year": "agent"}))
    assert store.ingest(other).overlaps == ("small-bank/everything",)


def test_a_copy_elsewhere_does_not_make_the_first_place_forgotten(contract, snapshotted, store, with_remarks, tmp_path):
    source = source_of(contract)
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(with_remarks.read_bytes())
    for place in (str(with_remarks), str(copy)):
        own = replace(source, place=place)
        bind(contract, store.ingest(own), snapshotted, store)
    assert store.ingest(other_column(contract)).overlaps == ("small-bank/everything",)
