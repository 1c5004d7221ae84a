"""An earlier copy of the ledger that is put back admits nothing, and a lost fingerprint key is not made anew."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dpsynth_assets.gate.sources import source_of
from ledger import Gaussian, Ledger, LedgerBroken, LedgerError, RaiseCap
from resources.evidence import checkpoints
from resources.heads import Head, KnownHead, create_ledger, open_ledger, restore_ledger
from resources.home import Home
from resources.ledger import LedgerResource
from resources.sensitive_store import SensitiveStore
from resources.tabular import SourceError

OWNER = "owner@example.org"
EVENT = Gaussian(noise_multiplier=30.0)


@pytest.fixture
def book(home, contract, agree, copy_of):
    """The home's ledger as the platform opens it, in which the small contract is approved."""
    made = open_ledger(home)
    copy_of("approved, and remembered", lambda: agree(contract, made), home.root)
    return made


def copy_of(home: Home, to: Path) -> Path:
    return Path(shutil.copy(home.ledger_file, to / "earlier.duckdb"))


def put_back(copy: Path, home: Home) -> None:
    shutil.copy(copy, home.ledger_file)


def write_down(book: Ledger) -> int:
    return book.external_charge("small-bank", EVENT, actor=OWNER, reason="elsewhere").seq


def request(home: Home, contract) -> dict[str, str]:
    source = SensitiveStore(str(home.root)).latest(source_of(contract)).identity
    return {"source": source, "release": "small/adapter", "key": "k", "owner": "run", "plan_digest": "d" * 64}


def journal_of(book: Ledger) -> list[str]:
    return list(book.export())


# Rollback -----------------------------------------------------------------------------------------------------------


def test_an_earlier_copy_that_is_put_back_spends_nothing_again(home, snapshotted, run, failure_of, rooms, tmp_path):
    earlier = copy_of(home, tmp_path)
    assert run("adapter").success
    assert rooms.read == 1
    put_back(earlier, home)
    result = run("adapter")
    assert not result.success
    said = failure_of(result, "adapter").step_failure_data.user_failure_data.description
    assert "rolled back" in said
    assert "Put the newest copy" in said
    assert rooms.read == 1
    assert open_ledger(home).reservations() == []


def test_a_run_that_was_killed_while_it_read_is_remembered(home, snapshotted, contract, tmp_path):
    earlier = copy_of(home, tmp_path)
    book = open_ledger(home)
    book.activate(book.reserve("small-bank", EVENT, **request(home, contract)))  # then the process is gone: no receipt
    put_back(earlier, home)
    with pytest.raises(LedgerBroken, match="rolled back"):
        write_down(open_ledger(home))


def test_every_step_that_appends_is_refused_and_reading_is_not(home, book, contract, snapshotted, tmp_path):
    earlier = copy_of(home, tmp_path)
    write_down(book)
    put_back(earlier, home)
    rolled_back = LedgerResource(str(home.root)).open()
    for append in (
        lambda: rolled_back.reserve("small-bank", EVENT, **request(home, contract)),
        lambda: rolled_back.bind_source("small-bank", "f" * 64),
        lambda: rolled_back.lower_cap("small-bank", 1.0, actor=OWNER, reason="less"),
        lambda: rolled_back.propose(RaiseCap("small-bank", 9.0), actor=OWNER, reason="more"),
        lambda: write_down(rolled_back),
    ):
        with pytest.raises(LedgerBroken, match="rolled back"):
            append()
    assert rolled_back.balance("small-bank").epsilon_cap == 8
    assert any("rolled back" in problem for problem in rolled_back.verify())


def test_a_course_of_events_that_was_made_up_anew_is_refused_too(home, book, tmp_path):
    earlier = copy_of(home, tmp_path)
    write_down(book)
    put_back(earlier, home)
    Ledger(home.ledger_file).lower_cap("small-bank", 7.0, actor=OWNER, reason="by another program")
    with pytest.raises(LedgerBroken, match="rewritten"):
        write_down(open_ledger(home))


def test_another_ledger_in_the_place_of_this_one_is_refused(home, book, tmp_path):
    other = Home.at(tmp_path / "other")
    other.create()
    Ledger.create(other.ledger_file)
    shutil.rmtree(home.ledger_file.parent)
    shutil.copytree(other.ledger_file.parent, home.ledger_file.parent)
    with pytest.raises(LedgerBroken, match="another one"):
        open_ledger(home).seal("small/corpus", "one", {"rows.parquet": "c" * 64}, protected=False)


def test_a_ledger_that_went_missing_is_not_begun_anew(home, book):
    shutil.rmtree(home.ledger_file.parent)
    with pytest.raises(LedgerError, match="a ledger that was here"):
        create_ledger(home)


def test_where_nothing_is_remembered_the_artifacts_are_asked(home, snapshotted, run, tmp_path):
    earlier = copy_of(home, tmp_path)
    assert run("label_histogram").success
    KnownHead(home).file.unlink()
    write_down(open_ledger(home))  # a ledger that agrees with them goes on
    KnownHead(home).file.unlink()
    put_back(earlier, home)
    with pytest.raises(LedgerBroken, match="rolled back"):
        write_down(open_ledger(home))


def test_a_checkpoint_that_somebody_made_up_stops_nothing(home, snapshotted, run):
    assert run("label_histogram").success
    KnownHead(home).file.unlink()
    for file in home.artifacts.rglob("*.json"):
        text = file.read_text(encoding="utf-8")
        if '"signature"' in text:
            stated = json.loads(text)
            for point in _checkpoints_in(stated):
                point["seq"] = 10_000
                receipt = json.loads(file.with_name("receipt.json").read_text(encoding="utf-8"))
                receipt["charges"] = [{"checkpoint": point}]  # as they lay in receipts before there were seals
                file.with_name("receipt.json").write_text(json.dumps(receipt), encoding="utf-8")
            file.write_text(json.dumps(stated), encoding="utf-8")
    assert {point.seq for point in checkpoints(home)} == {10_000}
    assert write_down(open_ledger(home)) < 10_000


def test_a_memory_that_cannot_be_read_admits_nothing(home, book):
    for content in (b"", b"{}", b"[1]", b"\xff", b'{"ledger": "x", "seq": "many", "hash": ""}'):
        KnownHead(home).file.write_bytes(content)
        with pytest.raises(LedgerBroken, match="cannot be read"):
            write_down(book)


def test_the_newest_copy_put_back_goes_on(home, book, tmp_path):
    earlier = copy_of(home, tmp_path)
    write_down(book)
    newest = tmp_path / "newest.duckdb"
    shutil.copy(home.ledger_file, newest)
    put_back(earlier, home)
    with pytest.raises(LedgerBroken):
        write_down(book)
    put_back(newest, home)
    assert write_down(book)


def test_the_memory_is_one_small_file_for_its_owner(home, book):
    for _ in range(3):
        number = write_down(book)
    file = KnownHead(home).file
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.stat().st_size < 200
    assert KnownHead(home).remembered() == Head(book.id, number, book.entries()[-1].hash)


# A way to go on -----------------------------------------------------------------------------------------------------


def test_a_restoration_says_how_much_is_lost_and_goes_on(home, book):
    journal = journal_of(book)
    last = write_down(book)
    home.ledger_file.unlink()
    again = restore_ledger(home, journal, actor=OWNER, reason="the disk broke", missing=None)
    entry = again.entries()[-1]
    assert (entry.kind, entry.payload["missing"]) == ("restored", last - len(journal))
    assert write_down(again)


def test_a_journal_of_another_course_of_events_is_not_restored(home, book):
    journal = journal_of(book)
    write_down(book)
    home.ledger_file.unlink()
    other = restore_ledger(home, journal, actor=OWNER, reason="the disk broke", missing=None)
    forked = journal_of(other)
    KnownHead(home).take(Head(book.id, len(forked), "0" * 64))
    home.ledger_file.unlink()
    with pytest.raises(LedgerError, match="another hash"):
        restore_ledger(home, forked, actor=OWNER, reason="once more", missing=None)


def test_a_restoration_cannot_say_less_than_is_known(home, book):
    journal = journal_of(book)
    write_down(book)
    home.ledger_file.unlink()
    with pytest.raises(LedgerError, match="1 later entries are known to be lost"):
        restore_ledger(home, journal, actor=OWNER, reason="the disk broke", missing=0)


def test_after_a_restoration_an_earlier_copy_is_refused_as_before(home, book, tmp_path):
    journal = journal_of(book)
    home.ledger_file.unlink()
    again = restore_ledger(home, journal, actor=OWNER, reason="the disk broke", missing=None)
    earlier = copy_of(home, tmp_path)
    write_down(again)
    put_back(earlier, home)
    with pytest.raises(LedgerBroken, match="rolled back"):
        write_down(open_ledger(home))


# The fingerprint key ------------------------------------------------------------------------------------------------


def key_file(home: Home) -> Path:
    return home.sensitive / "fingerprint.key"


DAMAGE = {
    "missing": lambda file: file.unlink(),
    "empty": lambda file: file.write_bytes(b""),
    "cut short": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "too long": lambda file: file.write_bytes(file.read_bytes() + b"\n"),
    "another one": lambda file: file.write_bytes(bytes(32)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_key_that_is_not_the_one_that_was_here_stops_everything(damage, home, snapshotted, contract, run, rooms):
    before = snapshotted.entries()
    DAMAGE[damage](key_file(home))
    with pytest.raises(SourceError, match="Put the key back from a backup"):
        SensitiveStore(str(home.root)).ingest(source_of(contract))
    result = run("adapter")
    assert not result.success
    assert rooms.read == 0
    assert snapshotted.entries() == before


@pytest.mark.parametrize("trace", ["identity", "store"])
def test_a_deleted_key_is_not_made_anew_while_anything_says_that_there_was_one(trace, home, snapshotted, contract):
    key_file(home).unlink()
    if trace == "identity":
        shutil.rmtree(home.sensitive)
    else:
        (home.ledger_file.parent / "fingerprint-key.id").unlink()
    with pytest.raises(SourceError, match="is missing, but"):
        SensitiveStore(str(home.root)).ingest(source_of(contract))
    assert not key_file(home).exists()


def test_the_key_of_an_earlier_program_is_taken_over(home, snapshotted, contract):
    known = home.ledger_file.parent / "fingerprint-key.id"
    known.unlink()
    SensitiveStore(str(home.root)).ingest(source_of(contract))
    assert known.exists()
    assert key_file(home).read_bytes() not in known.read_bytes()
    assert key_file(home).read_bytes().hex() not in known.read_text()


@pytest.mark.parametrize("damage", ["empty", "cut short", "too long"])
def test_of_an_earlier_program_too_only_a_whole_key_is_taken_over(damage, home, snapshotted, contract):
    """Nothing knows that key; an empty one would be anybody's."""
    (home.ledger_file.parent / "fingerprint-key.id").unlink()
    DAMAGE[damage](key_file(home))
    with pytest.raises(SourceError, match="bytes where a key has 32"):
        SensitiveStore(str(home.root)).ingest(source_of(contract))
    assert not (home.ledger_file.parent / "fingerprint-key.id").exists()


def test_a_key_is_made_once(home, contract):
    store = SensitiveStore(str(home.root))
    store.ingest(source_of(contract))
    first = key_file(home).read_bytes()
    assert len(first) == 32
    store.ingest(source_of(contract))
    assert key_file(home).read_bytes() == first


def _checkpoints_in(stated):
    if isinstance(stated, dict):
        if "signature" in stated:
            yield stated
        for value in stated.values():
            yield from _checkpoints_in(value)
    elif isinstance(stated, list):
        for value in stated:
            yield from _checkpoints_in(value)
