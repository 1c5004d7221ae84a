"""Seals: what the ledger lets be sealed and says of it, and which forgeries show to recipients and to the audit."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ledger import Composed, Gaussian, Ledger, LedgerError, PoissonSampledGaussian, ProtocolError, Seal, SealError
from ledger.accounting import epsilon
from ledger.chain import Draft, canonical
from ledger.replay import Replay, least_epsilon
from ledger.replay import event_of as replayed_event
from ledger.seals import check_portable, content_digest, fingerprint, portable, public_key_in, read_portable, seal_of

pytestmark = pytest.mark.slow

SOURCE = "hmac-sha256:6f1ed002ab5595859014ebf0951522d9"
HISTOGRAM = {"counts.json": "1" * 64, "receipt.json": "2" * 64}
ADAPTER = {"model/a.bin": "3" * 64, "model.json": "4" * 64, "receipt.json": "5" * 64}
CORPUS, TABLE = {"rows.parquet": "6" * 64, "receipt.json": "7" * 64}, {"r1.parquet": "8" * 64}
TRAINING = PoissonSampledGaussian(0.01, 1.0, 50)
NOTHING: dict[str, Any] = {}


def released(ledger: Ledger, kind: str, event: Any, files: dict[str, str], *, replayed: Any = None) -> str:
    """A committed charge for these files; its id."""
    held = ledger.reserve(
        "inbox", event, source=SOURCE, release=f"inbox/{kind}", key=kind, owner="run", plan_digest="a" * 64
    )
    grant = ledger.activate(held)
    if replayed is not None:
        grant = ledger.resume(held.id, owner="another run", replayed=replayed)
    ledger.redeem(grant, population="inbox", fingerprint=SOURCE)
    ledger.commit(grant, artifact_digest=content_digest(files), event=event)
    return held.id


@pytest.fixture
def sealed(ledger: Ledger) -> dict[str, Seal]:
    """Two releases, and a corpus and its table made from both."""
    histogram = ledger.seal(
        "inbox/label_histogram",
        "h",
        HISTOGRAM,
        reservation=released(ledger, "label_histogram", Gaussian(8.0), HISTOGRAM),
    ).seal
    held = released(ledger, "adapter", TRAINING, ADAPTER)
    adapter = ledger.seal("inbox/adapter", "a", ADAPTER, reservation=held).seal
    made_from = {"adapter": adapter, "label_histogram": histogram}
    corpus = ledger.seal("inbox/corpus", "c", CORPUS, made_from=made_from).seal
    table = ledger.seal("inbox/table", "r1", TABLE, made_from={"corpus": corpus}).seal
    return {"label_histogram": histogram, "adapter": adapter, "corpus": corpus, "table": table}


def test_a_seal_carries_every_charge_of_what_it_was_made_from_and_their_composed_epsilon(
    ledger: Ledger, sealed: dict[str, Seal]
) -> None:
    before = ledger.balance("inbox", with_pld=False)
    table = sealed["table"]
    assert set(table.charges) == set(sealed["adapter"].charges) | set(sealed["label_histogram"].charges)
    assert table.guarantee is not None
    assert table.guarantee.epsilon == epsilon(Composed((Gaussian(8.0), TRAINING)), table.guarantee.delta)
    assert [charge.release for charge in ledger.charges_of(table)] == ["inbox/label_histogram", "inbox/adapter"]
    assert ledger.verify() == []
    assert (before.charges, before.epsilon_reserved) == (2, 0.0)
    assert ledger.balance("inbox", with_pld=False) == before, "a seal charges nothing"


def test_steps_that_ran_again_are_in_the_epsilon(ledger: Ledger) -> None:
    again = replace(TRAINING, steps=20)
    held = released(ledger, "adapter", TRAINING, ADAPTER, replayed=again)
    seal = ledger.seal("inbox/adapter", "a", ADAPTER, reservation=held).seal
    assert seal.guarantee is not None
    assert seal.guarantee.epsilon == epsilon(Composed((TRAINING, again)), seal.guarantee.delta)
    assert ledger.verify() == []
    assert replay(ledger) == []


def test_nothing_is_sealed_that_rests_on_nothing_or_on_another_charge(ledger: Ledger, sealed: dict[str, Seal]) -> None:
    held = ledger.charges_of(sealed["adapter"])[0].reservation
    open_one = ledger.reserve(
        "inbox", Gaussian(9.0), source=SOURCE, release="inbox/votes", key="v", owner="run", plan_digest="a" * 64
    ).id
    other = seal_of("000000000000", sealed["corpus"].body)
    refused: list[tuple[str, dict[str, Any], str]] = [
        ("inbox/corpus", NOTHING, "made from nothing that was charged"),
        ("inbox/adapter", {"reservation": held}, "not committed with these files"),
        ("inbox/votes", {"reservation": open_one}, "not committed with these files"),
        ("inbox/corpus", {"made_from": {"corpus": other}}, "not sealed in this ledger"),
        ("inbox/corpus", {"made_from": {"corpus": replace(sealed["corpus"], seq=99)}}, "not sealed in this ledger"),
        ("../corpus", NOTHING, "not a contract's id and a kind"),
    ]
    for name, given, says in refused:
        with pytest.raises(LedgerError, match=says):
            ledger.seal(name, "x", {"f": "9" * 64}, **given)
    with pytest.raises(ProtocolError, match="is for inbox/adapter, not for inbox/votes"):
        ledger.seal("inbox/votes", "x", ADAPTER, reservation=held)


def test_a_seal_handed_back_with_fewer_charges_is_read_from_the_ledger_again(
    ledger: Ledger, sealed: dict[str, Seal]
) -> None:
    forged = replace(sealed["corpus"], charges=(), guarantee=None)
    again = ledger.seal("inbox/table", "r2", TABLE, made_from={"corpus": forged})
    assert again.seal.charges == sealed["corpus"].charges


def test_what_is_made_from_something_without_guarantee_has_none(ledger: Ledger, sealed: dict[str, Seal]) -> None:
    none = ledger.seal("inbox/adapter", "n", {"f": "9" * 64}, protected=False).seal
    mixed = ledger.seal(
        "inbox/corpus", "m", CORPUS, made_from={"adapter": none, "histogram": sealed["label_histogram"]}
    ).seal
    assert (none.guarantee, mixed.guarantee) == (None, None)
    assert mixed.charges == sealed["label_histogram"].charges
    assert ledger.verify() == []
    assert replay(ledger) == []


@pytest.mark.parametrize(
    "name", ["../up", "/abs", "a/../b", "a//b", "./a", "", ".", "a\\b", "new\nline", "a/", "\x1b[2J"]
)
def test_a_name_that_leads_out_of_its_folder_is_never_sealed(ledger: Ledger, name: str) -> None:
    with pytest.raises(SealError, match="not a file's name"):
        ledger.seal("inbox/corpus", "x", {name: "9" * 64}, protected=False)


def test_the_digest_of_files_is_independent_of_their_order_and_sees_each_name() -> None:
    files = {"a/b": "1" * 64, "a.txt": "2" * 64, "receipt.json": "3" * 64}
    due = hashlib.sha256(f"a/b\0{'1' * 64}\na.txt\0{'2' * 64}\n".encode()).hexdigest()
    assert content_digest(files) == due
    assert content_digest({"a/c": "1" * 64, "a.txt": "2" * 64}) != due


# A recipient


def travelled(ledger: Ledger, seal: Seal) -> dict[str, Any]:
    stated: dict[str, Any] = json.loads(ledger.portable(seal))
    return stated


def test_a_recipient_needs_the_public_key_alone(ledger: Ledger, sealed: dict[str, Seal]) -> None:
    key = ledger.public_key
    assert check_portable(ledger.portable(sealed["table"]), key) == sealed["table"]
    assert public_key_in(f" {key.upper()}\n") == key
    assert fingerprint(key).startswith("SHA256:")
    with pytest.raises(SealError, match="not signed by the key"):
        check_portable(
            ledger.portable(sealed["table"]), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        )
    for no_key in ("", "ab", "g" * 64, key + key):
        with pytest.raises(SealError, match="not a public key"):
            public_key_in(no_key)


def written(stated: dict[str, Any]) -> bytes:
    """As the ledger writes a seal; other spellings of the same are none."""
    return (json.dumps(stated, indent=1) + "\n").encode()


def edited(entry: str, *path: str, to: object) -> str:
    said = json.loads(entry)
    place = said
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return json.dumps(said, sort_keys=True, separators=(",", ":"))


FORGERIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "another epsilon": lambda s: s.update(entry=edited(s["entry"], "payload", "guarantee", "epsilon", to=0.5)),
    "NaN for epsilon": lambda s: s.update(entry=edited(s["entry"], "payload", "guarantee", "epsilon", to=float("nan"))),
    "a negative epsilon": lambda s: s.update(entry=edited(s["entry"], "payload", "guarantee", "epsilon", to=-1.0)),
    "a delta of 0": lambda s: s.update(entry=edited(s["entry"], "payload", "guarantee", "delta", to=0.0)),
    "no guarantee told as one": lambda s: s.update(entry=edited(s["entry"], "payload", "guarantee", to=None)),
    "another file": lambda s: s.update(entry=edited(s["entry"], "payload", "files", to={"r1.parquet": "9" * 64})),
    "a path that leads out": lambda s: s.update(entry=edited(s["entry"], "payload", "files", to={"../x": "9" * 64})),
    "another contract": lambda s: s.update(entry=s["entry"].replace("inbox/", "other/")),
    "fewer charges": lambda s: s.update(entry=edited(s["entry"], "payload", "charges", to=[])),
    "another number": lambda s: s["checkpoint"].update(seq=1),
    "another hash": lambda s: s["checkpoint"].update(hash="0" * 64),
    "another ledger": lambda s: s["checkpoint"].update(ledger="000000000000"),
    "another time": lambda s: s["checkpoint"].update(time="2030"),
    "no signature": lambda s: s["checkpoint"].update(signature=""),
    "spaces in the text": lambda s: s.update(entry=s["entry"].replace(":", ": ", 1)),
    "a field more": lambda s: s.update(note="trust me"),
    "a field less": lambda s: s.pop("checkpoint"),
    "a later format": lambda s: s.update(format=2),
    "true for a format": lambda s: s.update(format=True),
    "no entry": lambda s: s.update(entry=None),
    "no JSON": lambda s: s.update(entry="{"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_an_edited_seal_is_refused(ledger: Ledger, sealed: dict[str, Seal], forgery: str) -> None:
    stated = travelled(ledger, sealed["table"])
    FORGERIES[forgery](stated)
    with pytest.raises(SealError):
        check_portable(written(stated), ledger.public_key)


def test_an_edited_text_whose_hash_was_computed_anew_is_not_signed(ledger: Ledger, sealed: dict[str, Seal]) -> None:
    stated = travelled(ledger, sealed["table"])
    stated["entry"] = edited(stated["entry"], "payload", "guarantee", "epsilon", to=0.5)
    stated["checkpoint"]["hash"] = hashlib.sha256(stated["entry"].encode()).hexdigest()
    assert read_portable(written(stated))[0].guarantee.epsilon == 0.5  # it is well formed
    with pytest.raises(SealError, match="not signed"):
        check_portable(written(stated), ledger.public_key)


def test_a_key_that_stands_twice_is_refused(ledger: Ledger, sealed: dict[str, Seal]) -> None:
    data = ledger.portable(sealed["table"])
    twice = data.replace(b'"format": 1', b'"format": 1,\n "format": 1')
    with pytest.raises(SealError, match="each once"):
        check_portable(twice, ledger.public_key)
    stated = travelled(ledger, sealed["table"])
    stated["entry"] = stated["entry"].replace('"id":"r1"', '"id":"r1","id":"r1"')
    with pytest.raises(SealError):
        check_portable(written(stated), ledger.public_key)


def test_another_spelling_of_a_seal_is_none(ledger: Ledger, sealed: dict[str, Seal]) -> None:
    """What a recipient is shown is what was signed, and the file is the one that the publisher wrote."""
    stated = travelled(ledger, sealed["table"])
    assert check_portable(written(stated), ledger.public_key).id == sealed["table"].id
    capitals = {
        **stated,
        "checkpoint": {**stated["checkpoint"], "signature": stated["checkpoint"]["signature"].upper()},
    }
    for other in (json.dumps(stated).encode(), written(stated).decode().encode("utf-16"), written(capitals)):
        with pytest.raises(SealError, match="not written as the ledger writes one"):
            check_portable(other, ledger.public_key)


def test_a_checkpoint_of_the_head_seals_nothing_else(ledger: Ledger, sealed: dict[str, Seal]) -> None:
    with pytest.raises(SealError, match="not the entry that was signed"):
        check_portable(portable(sealed["corpus"], ledger.checkpoint()), ledger.public_key)


@pytest.mark.parametrize(
    "junk", [b"", b"{", b"[]", b"null", b"[" * 100_000, b"\xff", b'{"format": 1}', b"1" * 3_000_000]
)
def test_what_is_no_seal_is_refused_in_a_sentence(ledger: Ledger, junk: bytes) -> None:
    with pytest.raises(SealError, match="this is not a seal"):
        check_portable(junk, ledger.public_key)


# The audit


def replay(ledger: Ledger) -> list[str]:
    found = Replay()
    for line in ledger.export():
        found.read(line.encode())
    return found.problems


def payload_of(seal: Seal) -> dict[str, Any]:
    payload: dict[str, Any] = copy.deepcopy(json.loads(seal.body)["payload"])
    return payload


UNTOUCHED, EVEN = {"base_model.json": "a" * 64, "receipt.json": "b" * 64}, {"counts.json": "c" * 64}


@pytest.fixture
def unread(ledger: Ledger) -> dict[str, Seal]:
    """What reads no row, and a corpus of it."""
    adapter = ledger.seal("inbox--nothing/adapter", "a", UNTOUCHED, nothing_of="inbox").seal
    histogram = ledger.seal("inbox--nothing/label_histogram", "h", EVEN, nothing_of="inbox").seal
    made_from = {"adapter": adapter, "label_histogram": histogram}
    corpus = ledger.seal("inbox--nothing/corpus", "c", {"rows.parquet": "d" * 64}, made_from=made_from).seal
    return {"adapter": adapter, "label_histogram": histogram, "corpus": corpus}


def test_what_read_nothing_promises_an_epsilon_of_0_and_so_does_what_is_made_of_it(
    ledger: Ledger, unread: dict[str, Seal]
) -> None:
    for seal in unread.values():
        assert seal.charges == ()
        assert seal.guarantee is not None
        assert seal.guarantee.of_nothing_read
        assert (seal.guarantee.epsilon, seal.guarantee.delta) == (0.0, 0.0)
        assert (seal.guarantee.population, seal.guarantee.unit) == ("inbox", ledger.balance("inbox").unit)
        assert check_portable(ledger.portable(seal), ledger.public_key) == seal
    assert ledger.balance("inbox", with_pld=False).charges == 0
    assert ledger.verify() == []
    assert replay(ledger) == []


def test_what_is_made_of_nothing_and_of_a_charge_promises_what_the_charge_costs(
    ledger: Ledger, unread: dict[str, Seal]
) -> None:
    held = released(ledger, "adapter", TRAINING, ADAPTER)
    adapter = ledger.seal("inbox/adapter", "a", ADAPTER, reservation=held).seal
    made_from = {"adapter": adapter, "label_histogram": unread["label_histogram"]}
    corpus = ledger.seal("inbox/corpus", "c", CORPUS, made_from=made_from).seal
    assert (corpus.guarantee, corpus.charges) == (adapter.guarantee, adapter.charges)
    none = ledger.seal("inbox--none/adapter", "n", {"f": "9" * 64}, protected=False).seal
    made_from = {"adapter": none, "label_histogram": unread["label_histogram"]}
    assert ledger.seal("inbox--none/corpus", "c", CORPUS, made_from=made_from).seal.guarantee is None
    assert ledger.verify() == []
    assert replay(ledger) == []


def test_what_rests_on_something_is_not_sealed_as_having_read_nothing(ledger: Ledger, sealed: dict[str, Seal]) -> None:
    held = ledger.charges_of(sealed["adapter"])[0].reservation
    more: list[dict[str, Any]] = [
        {"made_from": {"corpus": sealed["corpus"]}},
        {"reservation": held},
        {"protected": False},
    ]
    for given in more:
        with pytest.raises(ProtocolError, match="rests on something"):
            ledger.seal("inbox/adapter", "x", ADAPTER, nothing_of="inbox", **given)
    with pytest.raises(LedgerError, match="nobodys"):
        ledger.seal("inbox/adapter", "x", UNTOUCHED, nothing_of="nobodys")


OF_NOTHING: dict[str, tuple[Callable[[dict[str, Any]], object], str, str]] = {
    "the files of a charge": (
        lambda p: p.update(files={**ADAPTER}, made_from={}),
        "its files are those of a charge that it does not carry",
        "its files are those of a charge that it does not carry",
    ),
    "a charge is carried": (
        lambda p: p.update(made_from={}, files={**ADAPTER}, charges=[3], key="inbox/adapter"),
        "it states that nothing was read, and carries charges",
        "is not one of the population that its charges are of",
    ),
    "another unit": (
        lambda p: p["guarantee"].update(unit="household"),
        "its unit or neighbouring relation is not that of its population",
        "not one of its population",
    ),
    "made of something without a guarantee": (
        lambda p: p.update(made_from={"corpus": p["made_from"]["none"]}),
        "what it was made from has none",
        "nothing of what it was made from",
    ),
    "an epsilon without a charge": (
        lambda p: p["guarantee"].update(epsilon=0.1, delta=1e-6),
        "it states a guarantee, and carries no charge",
        "its guarantee is not 0, and rests on no charge",
    ),
}


@pytest.mark.parametrize("forgery", OF_NOTHING)
def test_a_forged_seal_of_nothing_is_found_by_both_audits(
    ledger: Ledger, unread: dict[str, Seal], forgery: str
) -> None:
    held = released(ledger, "adapter", TRAINING, ADAPTER)
    charge = next(each.seq for each in ledger.entries() if each.kind == "reserved" and each.reservation_id == held)
    none = ledger.seal("inbox/x", "n", {"f": "9" * 64}, protected=False).seal
    change, by_verify, by_replay = OF_NOTHING[forgery]
    payload = payload_of(unread["corpus"])
    if "without a guarantee" in forgery:
        payload["made_from"]["none"] = none.seq
    change(payload)
    payload["charges"] = [charge] * len(payload["charges"])
    append(ledger, payload)
    (problem,) = ledger.verify()
    assert by_verify in problem
    assert by_replay in replay(ledger)[0]


def append(ledger: Ledger, payload: dict[str, Any]) -> None:
    """Past everything that the ledger asks of a seal."""
    population, key = (payload["guarantee"] or {}).get("population"), payload.pop("key")
    with ledger._store.transaction() as book:
        book.append(Draft(kind="sealed", population=population, release=key, key=key, payload=payload))


ENTRIES: dict[str, tuple[Callable[[dict[str, Any]], object], str, str]] = {
    "an epsilon that is too low": (
        lambda p: p["guarantee"].update(epsilon=0.05),
        "its epsilon is 0.05, its charges together cost",
        "its epsilon is 0.05, its charges cost at least",
    ),
    "an ancestor's charge is left out": (
        lambda p: p.update(charges=p["charges"][:1]),
        "it leaves out charge",
        "it leaves out a charge of what it was made from",
    ),
    "an ancestor is left out, with its charge": (
        lambda p: p.update(made_from={}, charges=[]),
        "states a guarantee, and carries no charge",
        "rests on no charge",
    ),
    "a charge of other files": (
        lambda p: p.update(made_from={}),
        "a charge that was not committed with its files",
        "a charge that was not committed with its files",
    ),
    "another release's charge and files": (
        lambda p: p.update(files={**ADAPTER}, made_from={}, charges=p["charges"][-1:]),
        "its charge is another release's",
        "a charge that was not committed with its files",
    ),
    "an ancestor that is no seal": (
        lambda p: p.update(made_from={"corpus": 3}),
        "entry 3, which is no seal",
        "entry 3, which is no seal",
    ),
    "a charge that was never committed": (
        lambda p: p.update(charges=[1, *p["charges"]]),
        "not committed with its files",
        "not committed",
    ),
    "another unit": (
        lambda p: p["guarantee"].update(unit="household"),
        "unit, neighbouring relation or delta",
        "not one of the population",
    ),
    "another delta": (
        lambda p: p["guarantee"].update(delta=0.1),
        "unit, neighbouring relation or delta",
        "not one of the population",
    ),
    "a path that leads out": (
        lambda p: p.update(files={"../x": "9" * 64}),
        "not a file's name",
        "not a file's name",
    ),
    "the files of a charge that it does not carry": (
        lambda p: p.update(files={**ADAPTER}, made_from={}, charges=[], guarantee=None),
        "its files are those of a charge that it does not carry",
        "its files are those of a charge that it does not carry",
    ),
}


@pytest.mark.parametrize("forgery", ENTRIES)
def test_a_seal_forged_in_the_ledger_itself_is_found_by_both_audits(
    ledger: Ledger, sealed: dict[str, Seal], forgery: str
) -> None:
    change, by_verify, by_replay = ENTRIES[forgery]
    payload = payload_of(sealed["table"])
    change(payload)
    population = (payload["guarantee"] or {}).get("population")
    with ledger._store.transaction() as book:
        book.append(
            Draft(kind="sealed", population=population, release="inbox/table", key=payload.pop("key"), payload=payload)
        )
    (problem,) = ledger.verify()
    assert by_verify in problem
    problems = replay(ledger)
    assert len(problems) == 1
    assert by_replay in problems[0]


def test_a_guarantee_made_of_something_without_one_is_found(ledger: Ledger, sealed: dict[str, Seal]) -> None:
    none = ledger.seal("inbox/adapter", "n", {"f": "9" * 64}, protected=False).seal
    payload = payload_of(sealed["table"])
    payload["made_from"]["other"] = none.seq
    with ledger._store.transaction() as book:
        book.append(
            Draft(kind="sealed", population="inbox", release="inbox/table", key=payload.pop("key"), payload=payload)
        )
    assert "what it was made from has none" in ledger.verify()[0]
    assert "nothing of what it was made from" in replay(ledger)[0]


def test_the_replay_bounds_an_epsilon_closely_from_below() -> None:
    for events in ([TRAINING], [Gaussian(4.0)], [TRAINING, Gaussian(8.0), Gaussian(0.7)], [Gaussian(100.0)]):
        stated = epsilon(Composed(tuple(events)), 1e-6)
        least = least_epsilon([replayed_event(event.to_json()) for event in events], 1e-6)
        assert 0.95 * stated < least <= stated


def test_the_text_of_a_seal_is_the_canonical_one(sealed: dict[str, Seal]) -> None:
    assert canonical(json.loads(sealed["table"].body)) == sealed["table"].body
