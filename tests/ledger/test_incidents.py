"""Incidents: what an audit refuted is said once, costs nothing, and keeps everything made from it from being sealed."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger import (
    Finding,
    Gaussian,
    Grant,
    Incident,
    Ledger,
    LedgerError,
    PoissonSampledGaussian,
    ProtocolError,
    Seal,
    SealError,
    chain,
    sealing,
)
from ledger.chain import Draft, Record
from ledger.checkpoints import Checkpoint, problems_with
from ledger.replay import Replay
from ledger.seals import check_portable, content_digest
from ledger.verification import problems_of

SOURCE = "hmac-sha256:6f1ed002ab5595859014ebf0951522d9"
PLAN, REASON = "a" * 64, "an audit by canaries of the code that trained it"
TRAINING = PoissonSampledGaussian(0.01, 1.0, 50)
COUNTS, ADAPTER = {"counts.json": "1" * 64, "receipt.json": "2" * 64}, {"model/a.bin": "3" * 64}
CORPUS, TABLE, OTHER = {"rows.parquet": "6" * 64}, {"r1.parquet": "8" * 64}, {"other.bin": "9" * 64}
FINDING = Finding(1.0, 1.5, 0.95, 1e-6, {"audit.json": "d" * 64})
Reseal = Callable[..., Record]
Rechain = Callable[[list[Record]], list[Record]]


def activated(ledger: Ledger, kind: str, event: Any, key: str = "") -> Grant:
    held = ledger.reserve(
        "inbox", event, source=SOURCE, release=f"inbox/{kind}", key=key or kind, owner="run", plan_digest=PLAN
    )
    return ledger.activate(held)


def released(ledger: Ledger, kind: str, event: Any, files: dict[str, str], *, ran: Any = None, key: str = "") -> str:
    """A committed charge for these files; its id."""
    grant = activated(ledger, kind, event, key)
    ledger.redeem(grant, population="inbox", fingerprint=SOURCE)
    ledger.commit(grant, artifact_digest=content_digest(files), event=ran or event)
    return grant.reservation_id


def made(ledger: Ledger) -> tuple[dict[str, Seal], dict[str, str]]:
    """Two releases, a corpus of both, and a table of the corpus; and the charges by release."""
    held = {
        "label_histogram": released(ledger, "label_histogram", Gaussian(8.0), COUNTS),
        "adapter": released(ledger, "adapter", TRAINING, ADAPTER, ran=replace(TRAINING, steps=40)),
    }
    histogram = ledger.seal("inbox/label_histogram", "h", COUNTS, reservation=held["label_histogram"]).seal
    adapter = ledger.seal("inbox/adapter", "a", ADAPTER, reservation=held["adapter"]).seal
    made_from = {"adapter": adapter, "label_histogram": histogram}
    corpus = ledger.seal("inbox/corpus", "c", CORPUS, made_from=made_from).seal
    table = ledger.seal("inbox/table", "r1", TABLE, made_from={"corpus": corpus}).seal
    return {"label_histogram": histogram, "adapter": adapter, "corpus": corpus, "table": table}, held


def everything(ledger: Ledger) -> list[Record]:
    return list(ledger._store.everything()[1])


def verified(records: list[Record]) -> list[str]:
    return problems_of(str(records[0].payload["ledger"]), records, [])


def replayed(records: Iterable[Record]) -> Replay:
    found = Replay()
    for record in records:
        found.read(json.dumps({"body": record.body, "hash": record.hash}).encode())
    return found


def assert_intact(ledger: Ledger) -> None:
    assert ledger.verify() == []
    assert replayed(everything(ledger)).problems == []


# What may be said, and about what


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"claimed_epsilon": math.nan}, "claimed_epsilon of a finding is nan"),
        ({"claimed_epsilon": -1.0}, "claimed_epsilon of a finding is -1.0"),
        ({"claimed_epsilon": "1.0"}, "claimed_epsilon of a finding is '1.0'"),
        ({"claimed_epsilon": None}, "claimed_epsilon of a finding is None"),
        ({"lower_bound": math.inf}, "lower_bound of a finding is inf"),
        ({"lower_bound": True}, "lower_bound of a finding is True"),
        ({"lower_bound": 10**400}, "lower_bound of a finding is"),
        ({"lower_bound": 1.0}, "only a bound above the claim refutes it"),
        ({"lower_bound": 0.5}, "only a bound above the claim refutes it"),
        ({"confidence": 0.0}, "confidence of a finding is 0.0: it must lie between 0 and 1"),
        ({"confidence": 1}, "confidence of a finding is 1.0: it must lie between 0 and 1"),
        ({"confidence": 95}, "confidence of a finding is 95.0: it must lie between 0 and 1"),
        ({"delta": 1.0}, "delta of a finding is 1.0"),
        ({"delta": -1e-9}, "delta of a finding is"),
        ({"files": {}}, "a finding names no file"),
        ({"files": "d" * 64}, "a finding names no file"),
        ({"files": {"../audit.json": "d" * 64}}, "not a file's name"),
        ({"files": {"audit.json": "D" * 64}}, "not a SHA-256"),
    ],
)
def test_a_finding_that_is_none_is_refused_in_a_sentence(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(LedgerError, match=says):
        replace(FINDING, **wrong)


def test_only_a_release_that_could_read_rows_and_was_not_given_up_is_refuted(book: Ledger) -> None:
    reserved = book.reserve(
        "inbox", Gaussian(9.0), source=SOURCE, release="r", key="a", owner="run", plan_digest=PLAN
    ).id
    voided = book.reserve("inbox", Gaussian(9.0), source=SOURCE, release="r", key="b", owner="run", plan_digest=PLAN).id
    book.void(voided, reason="died")
    forfeited = activated(book, "r", Gaussian(9.0), "c").reservation_id
    book.forfeit(forfeited, reason="failed")
    before = book.entries()
    for identifier, says in (
        (reserved, "is reserved: only a release that could read rows"),
        (voided, "is voided: only a release that could read rows"),
        (forfeited, "is forfeited: only a release that could read rows"),
        (f"{book.id}-1", "there is no reservation"),
        (f"{book.id}-999", "there is no reservation"),
        ("000000000000-5", "is not a reservation of this ledger"),
        ("", "is not a reservation of this ledger"),
    ):
        with pytest.raises(ProtocolError, match=says):
            book.incident(identifier, FINDING, reason=REASON)
    running = activated(book, "r", Gaussian(9.0), "d").reservation_id
    for reason in ("", "two\nlines", "x" * 301):
        with pytest.raises(LedgerError, match="reason must be one printable line"):
            book.incident(running, FINDING, reason=reason)
    with pytest.raises(LedgerError, match="give a `Finding`"):
        book.incident(running, vars(FINDING), reason=REASON)  # type: ignore[arg-type]
    with book.reading() as view, pytest.raises(ProtocolError, match="a view takes no entry"):
        view.incident(running, FINDING, reason=REASON)
    assert [entry.kind for entry in book.entries()[len(before) :]] == ["reserved", "activated"]
    assert book.incident(running, FINDING, reason=REASON).artifact_digest is None
    assert_intact(book)


def test_the_entry_says_what_was_found_and_about_which_files(book: Ledger) -> None:
    held = released(book, "adapter", TRAINING, ADAPTER)
    said = book.incident(held, FINDING, reason=REASON)
    entry = book.entries()[-1]
    assert (entry.kind, entry.population, entry.release, entry.owner) == ("incident", "inbox", "inbox/adapter", "run")
    assert entry.payload == {
        "reason": REASON,
        "claimed_epsilon": 1.0,
        "lower_bound": 1.5,
        "confidence": 0.95,
        "delta": 1e-6,
        "files": {"audit.json": "d" * 64},
        "artifact_digest": content_digest(ADAPTER),
    }
    assert said == Incident(
        seq=entry.seq,
        time=entry.time,
        hash=entry.hash,
        reservation=held,
        release="inbox/adapter",
        population="inbox",
        owner="run",
        reason=REASON,
        finding=FINDING,
        artifact_digest=content_digest(ADAPTER),
    )
    assert book.incidents() == book.incidents("inbox") == [said]
    assert book.incidents("archive") == []
    assert book.state(held) == "committed"


def test_the_same_finding_is_entered_once_and_another_one_is_a_further_entry(book: Ledger) -> None:
    held, other = (released(book, kind, Gaussian(9.0), ADAPTER) for kind in ("adapter", "votes"))
    first = book.incident(held, FINDING, reason=REASON)
    for _ in range(3):
        same = Finding(1, 1.5, 0.95, 1e-6, {"audit.json": "d" * 64})  # a whole number is the same number
        assert book.incident(held, same, reason="said again, in other words") == first
    further = [
        book.incident(held, replace(FINDING, **change), reason=REASON)
        for change in ({"lower_bound": 1.6}, {"confidence": 0.99}, {"delta": 1e-5}, {"files": {"audit.json": "e" * 64}})
    ]
    assert book.incident(held, FINDING, reason=REASON) == first
    elsewhere = book.incident(other, FINDING, reason=REASON)
    assert book.incidents() == [first, *further, elsewhere]
    assert_intact(book)


def test_said_of_a_running_release_and_again_once_it_is_committed_it_is_the_same_entry(book: Ledger) -> None:
    grant = activated(book, "adapter", TRAINING)
    first = book.incident(grant.reservation_id, FINDING, reason=REASON)
    grant = book.resume(grant.reservation_id, owner="another run", replayed=replace(TRAINING, steps=5))
    book.redeem(grant, population="inbox", fingerprint=SOURCE)
    book.commit(grant, artifact_digest=content_digest(ADAPTER), event=TRAINING)
    assert book.incident(grant.reservation_id, FINDING, reason=REASON) == first
    later = book.incident(grant.reservation_id, replace(FINDING, lower_bound=2.0), reason=REASON)
    assert (first.owner, first.artifact_digest) == ("run", None)
    assert (later.owner, later.artifact_digest) == ("another run", content_digest(ADAPTER))
    with pytest.raises(SealError, match="an audit refuted"):
        book.seal("inbox/adapter", "a", ADAPTER, reservation=grant.reservation_id)
    assert_intact(book)


def test_an_incident_charges_nothing_and_gives_nothing_back(ledger: Ledger) -> None:
    seals, held = made(ledger)
    waiting = ledger.reserve(
        "inbox", Gaussian(30.0), source=SOURCE, release="w", key="w", owner="run", plan_digest=PLAN
    )

    def stands() -> tuple[Any, ...]:
        reservations = [r for r in ledger.reservations() if r.id != waiting.id]
        return (ledger.balance("inbox"), ledger.spending("inbox"), reservations, ledger.charges_of(seals["table"]))

    before = stands()
    for charge in held.values():
        ledger.incident(charge, FINDING, reason=REASON)
        ledger.incident(charge, replace(FINDING, lower_bound=9.0), reason=REASON)
        assert stands() == before
    assert ledger.reservations("reserved") == [waiting]
    ledger.void(waiting.id, reason="its run died")
    assert_intact(ledger)


def test_what_a_statement_guarantees_says_that_an_audit_refuted_it(book: Ledger) -> None:
    held = released(book, "adapter", TRAINING, ADAPTER)
    assert "does not hold" not in book.statement("inbox").guarantee
    incident = book.incident(held, FINDING, reason=REASON)
    statement = book.statement("inbox")
    assert statement.incidents == (incident,)
    assert f"an audit refuted what was claimed of inbox/adapter (charge {held}, entry {incident.seq})" in (
        statement.guarantee
    )


# What is sealed after


def test_nothing_that_carries_the_charge_is_sealed_after_and_all_else_is(ledger: Ledger) -> None:
    seals, held = made(ledger)
    unsealed = released(ledger, "votes", Gaussian(30.0), OTHER)
    incident = ledger.incident(held["adapter"], FINDING, reason=REASON)
    again = ledger.incident(unsealed, FINDING, reason=REASON)
    before = ledger.entries()
    refused: list[tuple[str, dict[str, str], dict[str, Any]]] = [
        ("inbox/adapter", ADAPTER, {"reservation": held["adapter"]}),
        ("inbox/adapter", ADAPTER, {"reservation": held["adapter"], "protected": False}),
        ("inbox/corpus", CORPUS, {"made_from": {"adapter": seals["adapter"]}}),
        ("inbox/corpus", CORPUS, {"made_from": {"adapter": seals["adapter"]}, "protected": False}),
        ("inbox/corpus", CORPUS, {"made_from": {k: seals[k] for k in ("adapter", "label_histogram")}}),
        ("inbox/table", {"r2.parquet": "7" * 64}, {"made_from": {"corpus": seals["corpus"]}}),
        ("inbox/report", {"report.html": "7" * 64}, {"made_from": {"table": seals["table"]}}),
        ("inbox/report", {"x": "7" * 64}, {"made_from": {k: seals[k] for k in ("table", "label_histogram")}}),
    ]
    for name, files, given in refused:
        with pytest.raises(SealError) as told:
            ledger.seal(name, "new", files, **given)
        for words in (
            f"{name} is not sealed",
            f"the release inbox/adapter ({held['adapter']})",
            f"refuted that release's guarantee on {incident.time} (entry {incident.seq}",
            "1 is claimed, ε is at least 1.5 with confidence 0.95, at δ = 1e-06",
            "cannot be published",
            "new release of the contract",
        ):
            assert words in str(told.value)
    with pytest.raises(SealError, match=f"entry {again.seq}"):
        ledger.seal("inbox/votes", "v", OTHER, reservation=unsealed)
    assert ledger.entries() == before, "a seal that is refused leaves nothing"

    histogram = {"label_histogram": seals["label_histogram"]}
    ledger.seal("inbox/label_histogram", "h2", COUNTS, reservation=held["label_histogram"])
    ledger.seal("inbox/chart", "x", {"chart.svg": "7" * 64}, made_from=histogram)
    new = released(ledger, "adapter", TRAINING, {"new.bin": "7" * 64}, key="the next run")
    adapter = ledger.seal("inbox/adapter", "b", {"new.bin": "7" * 64}, reservation=new).seal
    ledger.seal("inbox/corpus", "d", CORPUS, made_from={"adapter": adapter, **histogram})
    assert_intact(ledger)


def test_seals_of_before_stand_and_are_told_with_what_stands_against_them(ledger: Ledger) -> None:
    seals, held = made(ledger)
    portable = {name: ledger.portable(seal) for name, seal in seals.items()}
    assert all(ledger.incidents_against(seal) == [] for seal in seals.values())
    first = ledger.incident(held["adapter"], FINDING, reason=REASON)
    second = ledger.incident(held["label_histogram"], FINDING, reason=REASON)
    assert ledger.seals() == list(seals.values())
    for name, seal in seals.items():
        assert check_portable(portable[name], ledger.public_key) == seal
    assert ledger.incidents_against(seals["adapter"]) == [first]
    assert ledger.incidents_against(seals["label_histogram"]) == [second]
    assert ledger.incidents_against(seals["corpus"]) == ledger.incidents_against(seals["table"]) == [first, second]
    forged = replace(seals["table"], charges=())
    assert ledger.incidents_against(forged) == [first, second], "which charges it carries, the ledger says"
    with pytest.raises(ProtocolError, match="not sealed in this ledger"):
        ledger.incidents_against(replace(seals["table"], seq=1))
    assert_intact(ledger)


def test_an_incident_that_comes_while_a_seal_is_computed_is_seen(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The epsilon is computed between two transactions; the second one asks."""
    held = released(ledger, "adapter", TRAINING, ADAPTER)
    guarantee = sealing._guarantee

    def meanwhile(*arguments: Any) -> Any:
        ledger.incident(held, FINDING, reason=REASON)
        return guarantee(*arguments)

    monkeypatch.setattr(sealing, "_guarantee", meanwhile)
    with pytest.raises(SealError, match="an audit refuted"):
        ledger.seal("inbox/adapter", "a", ADAPTER, reservation=held)
    assert ledger.seals() == []
    assert_intact(ledger)


@pytest.mark.slow
def test_a_seal_beside_an_incident_is_before_it_or_refused(ledger: Ledger, path: Path) -> None:
    """Threads at one file, each step a transaction under the lock: two that seal, one that refutes in their midst."""
    seals, held = made(ledger)
    done: list[Seal] = []
    refused: list[str] = []
    enough, start = threading.Event(), threading.Barrier(3, timeout=60)

    def work(name: str) -> None:
        mine = Ledger(path)
        start.wait()
        for number in range(200):
            try:
                made_from = {"corpus": seals["corpus"]}
                done.append(mine.seal(f"inbox/{name}", f"r{number}", TABLE, made_from=made_from).seal)
            except SealError as error:
                refused.append(str(error))
                return
            if len(done) >= 6:
                enough.set()

    threads = [threading.Thread(target=work, args=(name,)) for name in ("table", "card")]
    for thread in threads:
        thread.start()
    start.wait()
    assert enough.wait(60)
    incident = ledger.incident(held["adapter"], FINDING, reason=REASON)
    for thread in threads:
        thread.join(60)
    assert len(refused) == 2
    assert all(f"entry {incident.seq}" in sentence for sentence in refused)
    assert max(seal.seq for seal in done) < incident.seq
    assert {seal.seq for seal in ledger.seals()} == {seal.seq for seal in [*seals.values(), *done]}
    assert_intact(ledger)


# The audit


@pytest.fixture(scope="module")
def chained(tmp_path_factory: pytest.TempPathFactory, scope: Any, register: Any) -> list[Record]:
    """4 binds, 5 to 8 the histogram's release, 9 to 12 the adapter's, 13 the incident, 14 the adapter's next release up
    to 17, 18 its seal. Numbers are the entries'."""
    ledger = Ledger.create(tmp_path_factory.mktemp("chained") / "ledger.duckdb")
    register(ledger, scope)
    ledger.bind_source("inbox", SOURCE)
    released(ledger, "label_histogram", Gaussian(8.0), COUNTS)
    held = released(ledger, "adapter", TRAINING, ADAPTER)
    ledger.incident(held, FINDING, reason=REASON)
    new = released(ledger, "adapter", TRAINING, OTHER, key="the next run")
    ledger.seal("inbox/adapter", "b", OTHER, reservation=new)
    records = everything(ledger)
    assert [record.seq for record in records if record.kind == "incident"] == [13]
    assert [record.seq for record in records if record.kind == "sealed"] == [18]
    assert verified(records) == []
    return records


def say(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda said: said["payload"].update(values)


def other(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda said: said.update(values)


CANNOT = "its contents cannot be right"
FORGED: dict[str, tuple[Callable[[dict[str, Any]], object], str, str]] = {
    "a bound that refutes nothing": (say(lower_bound=1.0), "only a bound above the claim", "does not refute"),
    "a higher claim": (say(claimed_epsilon=2.0), "only a bound above the claim", "does not refute"),
    "a negative claim": (say(claimed_epsilon=-1.0), CANNOT, "-1.0 is no number"),
    "an infinite bound": (say(lower_bound="inf"), CANNOT, "'inf' is no number"),
    "a bound in words": (say(lower_bound="1.5"), CANNOT, "'1.5' is no number"),
    "true for a bound": (say(lower_bound=True), CANNOT, "True is no number"),
    "no claim": (say(claimed_epsilon=None), CANNOT, "None is no number"),
    "certainty": (say(confidence=1.0), "confidence of a finding is 1.0", "its confidence is 1"),
    "no confidence": (say(confidence=0.0), "confidence of a finding is 0.0", "its confidence is 0"),
    "a confidence in percent": (say(confidence=95.0), "confidence of a finding is 95.0", "its confidence is 95"),
    "a delta of 1": (say(delta=1.0), "delta of a finding is 1.0", "its delta is not below 1"),
    "no file": (say(files={}), "a finding names no file", "it is about no file"),
    "a file that leads out": (say(files={"../x": "d" * 64}), "not a file's name", "not a file's name"),
    "a digest that is none": (say(files={"audit.json": "d"}), "not a SHA-256", "no SHA-256"),
    "files in a list": (say(files=["d" * 64]), CANNOT, "it is about no file"),
    "no reason": (say(reason=""), CANNOT, "'' is no name"),
    "a reason of two lines": (say(reason="a\nb"), CANNOT, "is no name"),
    "a reason that is a number": (say(reason=1), CANNOT, "its time or reason is no text"),
    "a field more": (say(note="x"), CANNOT, "its payload has not exactly"),
    "a field less": (lambda said: said["payload"].pop("delta"), CANNOT, "its payload has not exactly"),
    "a key": (say(key="x"), CANNOT, "it has a key"),
    "what stands charged": (say(standing={}), "says nothing of what stands charged", "its payload has not exactly"),
    "another population": (other(population="archive"), "its population, release or owner", "its population, release"),
    "no population": (other(population=None), "its population, release or owner", "its population, release or owner"),
    "another release": (other(release="inbox/votes"), "its population, release or owner", "its population, release"),
    "another owner": (other(owner="somebody"), "its population, release or owner", "its population, release or owner"),
    "another charge": (other(reservation=5), "its population, release or owner", "its population, release or owner"),
    "no charge": (other(reservation=None), "a reservation that is missing", "reservation None was never made"),
    "a charge that is none": (other(reservation=4), "a reservation that is missing", "reservation 4 was never made"),
    "a charge of later": (other(reservation=14), "a reservation that is missing", "reservation 14 was never made"),
    "other files": (say(artifact_digest="e" * 64), "not what its charge was committed with", "it is not about what"),
    "files that were not yet": (say(artifact_digest=None), "not what its charge was committed", "it is not about what"),
    "files that are a number": (say(artifact_digest=1), CANNOT, "it is not about what"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_incident_is_named_by_both_audits(
    chained: list[Record], resealed: Reseal, rechained: Rechain, name: str
) -> None:
    change, by_verify, by_replay = FORGED[name]
    forged = [*chained[:12], resealed(chained[12], change), *chained[13:]]
    careless = [verified(forged), replayed(forged).problems]
    assert any("entry 14 (reserved): it does not follow" in problem for problem in careless[0])
    assert any("entry 14 (reserved): it does not follow" in problem for problem in careless[1])

    careful = rechained(forged)
    for found, complaint in ((verified(careful), by_verify), (replayed(careful).problems, by_replay)):
        assert found[0].startswith("entry 13 (incident): ")
        assert complaint in found[0]


@pytest.mark.parametrize(
    ("place", "by_verify", "by_replay"),
    [
        (11, "not what its charge was committed with by then", "it is not about what its charge was committed with"),
        (10, "not what its charge was committed with by then", "it is not about what its charge was committed with"),
        (9, "cannot follow on a reservation that is reserved", "cannot follow on a charge that is reserved"),
        (8, "cannot follow on a reservation that is missing", "was never made"),
    ],
)
def test_an_incident_that_is_moved_before_the_commit_is_named(
    chained: list[Record], rechained: Rechain, place: int, by_verify: str, by_replay: str
) -> None:
    moved = [*chained[:place], chained[12], *chained[place:12], *chained[13:]]
    assert any("entry 13 (incident)" in problem for problem in verified(moved))
    assert replayed(moved).problems
    careful = rechained(moved)
    for found, complaint in ((verified(careful), by_verify), (replayed(careful).problems, by_replay)):
        assert found[0].startswith(f"entry {place + 1} (incident): ")
        assert complaint in found[0]


def test_an_incident_of_a_release_that_was_given_up_is_named(
    chained: list[Record], resealed: Reseal, rechained: Rechain
) -> None:
    """Its commit replaced by an end without a release; what else follows from that is named at its own entries."""

    def forfeit(said: dict[str, Any]) -> None:
        said.update(kind="forfeited", payload={"reason": "failed"})

    forged = rechained([*chained[:11], resealed(chained[11], forfeit), *chained[12:]])
    assert "entry 13 (incident): an incident cannot follow on a reservation that is forfeited" in verified(forged)
    assert any("entry 13 (incident): reservation 9 was never made, or ended" in p for p in replayed(forged).problems)


def test_an_incident_that_was_taken_out_breaks_the_chain_and_every_checkpoint_of_after(
    ledger: Ledger, rechained: Rechain
) -> None:
    """Where all that follows is written anew too, the chain is one that could have been: checkpoints contradict it."""
    _, held = made(ledger)
    ledger.incident(held["adapter"], FINDING, reason=REASON)
    point = ledger.checkpoint()
    released(ledger, "votes", Gaussian(30.0), OTHER)
    records = everything(ledger)
    without = [record for record in records if record.kind != "incident"]
    assert "entries are missing" in verified(without)[0]
    assert "one is missing, moved or changed" in replayed(without).problems[0]
    assert ledger.verify([point]) == []

    number = next(record.seq for record in records if record.kind == "incident")
    renumbered = [replace_reservation(record, number) for record in without]
    mended = rechained(renumbered)
    assert verified(mended) == []
    assert list(checkpoint_problems(ledger, mended, point))


def replace_reservation(record: Record, removed: int) -> Record:
    """The record with its charge's number as it is without an entry before it."""
    said = json.loads(record.body)
    if said["reservation"] is not None and said["reservation"] > removed:
        said["reservation"] -= 1
    body = chain.canonical(said)
    return replace(record, reservation=said["reservation"], body=body, hash=chain.digest(body))


def checkpoint_problems(ledger: Ledger, records: list[Record], point: Checkpoint) -> Iterable[str]:
    return problems_with([point], ledger.id, ledger.public_key, records)


@pytest.mark.parametrize("of", ["adapter", "corpus", "table"])
@pytest.mark.parametrize("promised", [True, False])
def test_a_seal_that_was_entered_after_an_incident_is_found_by_both_audits(
    ledger: Ledger, of: str, promised: bool
) -> None:
    """Past everything that the ledger asks: the very seal of before, once more."""
    seals, held = made(ledger)
    incident = ledger.incident(held["adapter"], FINDING, reason=REASON)
    payload = dict(json.loads(seals[of].body)["payload"])
    key, population = payload.pop("key"), "inbox"
    if not promised:
        payload["guarantee"] = population = None  # type: ignore[assignment]
    with ledger._store.transaction() as book:
        forged = book.append(Draft(kind="sealed", population=population, release=key, key=key, payload=payload))
    charge = seals["adapter"].charges[0]
    assert ledger.verify() == [
        f"entry {forged.seq} (sealed): it carries charge {charge}, which an audit had refuted (entry {incident.seq})"
    ]
    assert replayed(everything(ledger)).problems == [
        f"entry {forged.seq} (sealed): it carries charge {charge}, which an audit had refuted"
    ]


def test_a_seal_that_was_put_before_the_incident_is_found_where_a_checkpoint_lies_elsewhere(
    ledger: Ledger, rechained: Rechain
) -> None:
    """Whoever swaps the two writes the chain anew from there on, and the incident's own checkpoint says so."""
    held = released(ledger, "adapter", TRAINING, ADAPTER)
    ledger.incident(held, FINDING, reason=REASON)
    point, before = ledger.checkpoint(), everything(ledger)
    twin = [*before[:-1]]
    sealed = chain.seal(
        Draft(
            kind="sealed",
            release="inbox/adapter",
            key="inbox/adapter",
            payload={"id": "a", "files": ADAPTER, "made_from": {}, "charges": [twin[4].seq], "guarantee": None},
        ),
        seq=len(twin) + 1,
        time="2026-01-01",
        previous=twin[-1].hash,
    )
    swapped = rechained([*twin, sealed, before[-1]])
    assert verified(swapped) == []
    assert list(checkpoint_problems(ledger, swapped, point))


def test_the_replay_says_that_a_release_was_refuted(chained: list[Record]) -> None:
    report = replayed(chained).report()
    assert report["intact"]
    assert report["notes"] == ["entry 13 (incident): an audit refuted what is claimed of 'inbox/adapter'"]
