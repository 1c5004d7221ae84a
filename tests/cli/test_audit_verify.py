"""What reviewers see in the deployment itself of things that were changed after they were sealed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ledger import Ledger, LedgerError
from ledger.seals import content_digest
from resources.artifact_store import ArtifactChangedError, ArtifactMissingError, ArtifactStore
from resources.seals import digests_in
from tests.read_only import on_a_read_only_disk


@pytest.fixture
def place(same_place):
    return same_place


def refused(dpsynth) -> str:
    code, out, err = dpsynth("audit", "verify")
    assert (code, out) == (1, "")
    return " ".join(err.split())


def test_audit_verify_names_what_was_changed(dpsynth, table, store, home):
    assert dpsynth("audit", "verify")[0] == 0
    table.chmod(0o644)
    whole = table.read_bytes()
    table.write_bytes(whole + b" ")
    assert f"published table {table} is not what was sealed: {table.name} was changed" in refused(dpsynth)
    table.write_bytes(whole)

    receipt = store.latest("small", "synthetic").folder / "receipt.json"
    whole = receipt.read_bytes()
    stated = json.loads(whole)
    stated["about"]["epsilon"] = 0.5
    receipt.write_text(json.dumps(stated), encoding="utf-8")
    assert "receipt.json was changed" in refused(dpsynth)
    receipt.write_bytes(whole)

    card = store.latest("small", "card").folder
    shutil.copytree(card, home.root / "kept")
    (card / "card.html").write_text("ε 0.5", encoding="utf-8")
    stated = json.loads((card / "receipt.json").read_text())
    stated["artifact_digest"] = content_digest({k: v for k, v in digests_in(card).items() if k != "receipt.json"})
    (card / "receipt.json").write_text(json.dumps(stated), encoding="utf-8")
    assert "card.html was changed" in refused(dpsynth)
    shutil.copytree(home.root / "kept", card, dirs_exist_ok=True)

    beside = table.with_name(table.name + ".seal.json")
    put_there = [
        shutil.copytree(card, card.with_name("put-there")),
        shutil.copy(table, table.with_name("newer.parquet")),
    ]
    said = refused(dpsynth)
    assert all(f"{Path(path).name} was never sealed in the ledger" in said for path in put_there)
    shutil.rmtree(put_there[0])
    Path(put_there[1]).unlink()

    stated = json.loads(beside.read_bytes())
    stated["checkpoint"]["signature"] = stated["checkpoint"]["signature"][::-1]
    beside.write_text(json.dumps(stated, indent=1) + "\n", encoding="utf-8")  # as the ledger writes them
    assert "its signature is not by this ledger's key" in refused(dpsynth)
    shutil.copy(card / "seal.json", beside)
    assert "that is another artifact's" in refused(dpsynth)
    beside.unlink()
    assert f"has no {beside.name} beside it" in refused(dpsynth)


def test_an_analyst_without_the_ledger_queries_by_the_publishers_key(dpsynth, table, home, book):
    key, question = book.public_key, "SELECT count(*) FROM small.messages"
    by_ledger = dpsynth("sql", question, "--format", "csv")
    home.ledger_file.rename(home.root / "elsewhere")
    assert dpsynth("sql", question, "--format", "csv", "--key", key) == by_ledger
    code, _, err = dpsynth("sql", question, "--key", "0" * 64)
    assert code == 2
    assert "was not signed by the key" in err
    table.chmod(0o644)
    table.write_bytes(table.read_bytes()[:-1] + b"x")
    assert "not the table that was sealed" in dpsynth("sql", question, "--key", key)[2]


def test_a_warehouse_with_another_view_is_named(dpsynth, table, home):
    import duckdb

    with duckdb.connect(str(home.warehouse / "warehouse.duckdb")) as connection:
        connection.execute("CREATE OR REPLACE VIEW small.messages AS SELECT 'forged' AS text, 'card' AS topic")
    assert "view small.messages is not what the published tables make it" in refused(dpsynth)


def published_again(store, contract, home) -> Path:
    """The same rows as another corpus, published."""
    from dpsynth_assets.publish.record import release_record
    from dpsynth_assets.publish.warehouse import publish
    from dpsynth_assets.quality.verdict import Verdict
    from resources.warehouse import Warehouse

    corpus, judged = store.latest("small", "corpus"), store.latest("small", "verdict")
    with store.draft("small", "corpus") as draft:
        shutil.copy(corpus.folder / "corpus.parquet", draft.folder)
        other = store.seal(draft, made_from={"candidates": store.latest("small", "candidates")})
    return publish(
        home.warehouse,
        other.folder / "corpus.parquet",
        contract=contract,
        release=release_record(contract, other, 24),
        verdict=Verdict.load(judged.folder / "verdict.json"),
        tables=Warehouse(home=str(home.root)).tables(corpus=other.seal),
    )


def added(home, where: str, text: str = "ε 0.5, I promise") -> Path:
    path = home.root / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def linked(path: Path, home) -> Path:
    elsewhere = home.root.parent / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    return path


def unmarked(folder: Path) -> Path:
    """As work that is not finished: without receipt and seal."""
    for name in ("receipt.json", "seal.json"):
        (folder / name).unlink()
    return added_to(folder / "card.html")


def added_to(path: Path) -> Path:
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    return path


def written_anew(path: Path, encoding: str = "utf-8") -> Path:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8"))), encoding=encoding)
    return path


PUT_THERE = {
    "a folder like a card": lambda home, card, table: added(
        home, "artifacts/small/card/20990101T000000Z-abcdef/card.html"
    ),
    "another contract's": lambda home, card, table: added(
        home, "artifacts/other/card/20990101T000000Z-abcdef/card.html"
    ),
    "a file among artifacts": lambda home, card, table: added(home, "artifacts/small/card/card.html"),
    "a file among contracts": lambda home, card, table: added(home, "artifacts/card.html"),
    "a table in capitals": lambda home, card, table: shutil.copy(table, table.with_suffix(".PARQUET")),
    "a table by another program": lambda home, card, table: added(home, f"{table.parent}/more.csv"),
    "a deeper table": lambda home, card, table: added(home, f"{table.parent}/deep/x.parquet"),
    "a shallower table": lambda home, card, table: added(home, f"{table.parent.parent}/x.parquet"),
    "the table a second time": lambda home, card, table: shutil.copytree(
        table.parent, table.parent.with_name("others")
    ),
    "a seal without a table": lambda home, card, table: added(home, f"{table.parent}/x.parquet.seal.json"),
    "a file beside the database": lambda home, card, table: added(home, "warehouse/other.duckdb"),
    "a kind under another name": lambda home, card, table: card.parent.rename(card.parent.with_name(".card")),
    "a card like unfinished work": lambda home, card, table: unmarked(card),
    "a linked artifact": lambda home, card, table: linked(card, home),
    "a linked kind": lambda home, card, table: linked(card.parent, home),
    "a linked contract": lambda home, card, table: linked(card.parent.parent, home),
    "linked tables": lambda home, card, table: linked(table.parent, home),
    "a linked database": lambda home, card, table: linked(home.warehouse / "warehouse.duckdb", home),
    "a seal in another form": lambda home, card, table: written_anew(card / "seal.json"),
    "a seal in another encoding": lambda home, card, table: written_anew(card / "seal.json", "utf-16"),
    "no signing key": lambda home, card, table: home.ledger_file.with_name("ledger.duckdb.key").unlink(),
    "another signing key": lambda home, card, table: home.ledger_file.with_name("ledger.duckdb.key").write_bytes(
        b"k" * 32
    ),
}


def test_audit_verify_names_whatever_was_not_sealed_as_it_lies_there(table, store, home, tmp_path, subtests):
    """All that the ledger sealed is looked at, then what else lies beside it."""
    from resources.evidence import contradictions
    from resources.heads import open_ledger

    card = store.latest("small", "card").folder
    assert contradictions(home, open_ledger(home)) == []
    shutil.copytree(home.root, tmp_path / "kept")
    for name, change in PUT_THERE.items():
        with subtests.test(name):
            change(home, card, table)
            assert contradictions(home, open_ledger(home))
        shutil.rmtree(home.root)
        shutil.rmtree(home.root.parent / "elsewhere", ignore_errors=True)
        (home.root.parent / "elsewhere").unlink(missing_ok=True)
        shutil.copytree(tmp_path / "kept", home.root)


def test_what_a_person_removed_is_named_and_nothing_else_suffers(dpsynth, table, store, home):
    card = store.latest("small", "card")
    shutil.rmtree(card.folder)
    for path in (table, table.with_name(table.name + ".seal.json"), home.warehouse / "warehouse.duckdb"):
        path.chmod(0o644)
        path.unlink()
    code, out, err = dpsynth("audit", "verify")
    assert code == 0, err
    said = " ".join(out.split())
    assert "Not here any more of what it sealed" in said
    for name in (f"small/card {card.id}", f"small/table {table.stem}", "warehouse.duckdb"):
        assert name in said


def test_a_moved_home_is_as_it_was_sealed(dpsynth, table, home, store, tmp_path, monkeypatch):
    from dpsynth_assets.assets.proof import published_rows

    moved = tmp_path / "elsewhere"
    home.root.rename(moved)
    monkeypatch.setenv("DPSYNTH_HOME", str(moved))
    assert dpsynth("audit", "verify")[0] == 0
    there = ArtifactStore(home=str(moved))
    assert len(published_rows(there.latest("small", "synthetic"), there)) > 0


def test_work_that_is_not_finished_lies_apart_and_is_no_fault(dpsynth, released, store):
    with store.draft("small", "card") as draft:
        (draft.folder / "card.html").write_text("half a card", encoding="utf-8")
        assert draft.folder.parent.name == ".unfinished"
        assert dpsynth("audit", "verify")[0] == 0


def test_an_older_release_in_the_place_of_a_newer_one_is_named(dpsynth, table, store, released, contract, home):
    """Genuine, sealed, and of the same contract: it is the place that it does not belong to."""
    newer = published_again(store, contract, home)
    for older, place in ((table, newer), (newer, table)):
        with_seal = [path.with_name(path.name + ".seal.json") for path in (older, place)]
        kept = [path.read_bytes() for path in (place, with_seal[1])]
        for path in (place, with_seal[1]):
            path.chmod(0o644)
        shutil.copy(older, place)
        assert f"{place.name} was changed" in refused(dpsynth)
        shutil.copy(with_seal[0], with_seal[1])
        assert "that is another artifact's" in refused(dpsynth)
        place.write_bytes(kept[0])
        with_seal[1].write_bytes(kept[1])
    assert dpsynth("audit", "verify")[0] == 0


def test_nothing_is_published_from_a_receipt_without_charges(dpsynth, table, store, contract_path, released):
    """Its epsilon would be that of what is left: the charges are the ledger's to say."""
    corpus = store.latest("small", "corpus")
    receipt = corpus.folder / "receipt.json"
    receipt.write_text(json.dumps({**json.loads(receipt.read_text()), "charges": []}), encoding="utf-8")
    with pytest.raises(ArtifactChangedError, match=r"receipt\.json was changed"):
        store.latest("small", "corpus")


def test_a_release_that_was_paid_for_and_not_sealed_is_sealed_later_and_costs_nothing(
    dpsynth, contract_path, rooms, book, store, monkeypatch
):
    """As a kill just then leaves it, or a home from before there were seals."""

    def unavailable(*_, **__):
        raise LedgerError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "seal", unavailable)
        code, out, err = dpsynth("run", contract_path, "--quiet")
    assert code == 1
    assert "is finished, paid for and kept in" in " ".join(out.split())
    spent = book.balance("small-bank", with_pld=False)
    with pytest.raises(ArtifactMissingError, match="`dpsynth audit seal`"):
        store.latest("small", "label_histogram")
    assert "was never sealed in the ledger" in refused(dpsynth)
    code, out, err = dpsynth("audit", "seal")
    assert code == 0, err
    assert "Sealed small/label_histogram" in out
    made = store.latest("small", "label_histogram")
    assert [charge.release for charge in made.charges] == ["small/label_histogram"]
    assert book.balance("small-bank", with_pld=False) == spent
    assert dpsynth("audit", "verify")[0] == 0
    assert "Nothing to seal" in dpsynth("audit", "seal")[1]


def test_an_unsealed_release_with_other_files_is_never_sealed(dpsynth, contract_path, rooms, book, store, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "seal", lambda *_, **__: (_ for _ in ()).throw(LedgerError("the disk is full")))
        dpsynth("run", contract_path, "--quiet")
    [counts] = (Path(store.home) / "artifacts/small/label_histogram").glob("*/counts.json")
    counts.write_text("[]", encoding="utf-8")
    assert "Nothing to seal" in dpsynth("audit", "seal")[1]
    with pytest.raises(ArtifactMissingError):
        store.latest("small", "label_histogram")


def test_a_missing_copy_of_a_seal_is_written_again(released, store):
    card = store.latest("small", "card")
    (card.folder / "seal.json").unlink()
    again = store.latest("small", "card")
    assert again.checkpoint is not None
    assert again.checkpoint.is_signed_by(released.public_key)
    shutil.rmtree(card.folder)
    with pytest.raises(ArtifactMissingError, match="is gone"):
        store.latest("small", "card")


def test_the_key_is_printed_for_recipients(dpsynth, released):
    code, out, err = dpsynth("audit", "key")
    assert err.startswith("fingerprint SHA256:"), "which is no error"
    assert (code, out.strip()) == (0, released.public_key)
    assert "SHA256:" in err


AUDIT = """
import os, sys
from dpsynth_assets.cli import main
os.environ["DPSYNTH_HOME"] = sys.argv[1]
for arguments in (
    *("audit", "audit verify", f"audit report --json --out {sys.argv[2]}", "audit report"),
    "sql --format=csv FROM(small.messages)LIMIT(0)",
):
    sys.argv[1:] = arguments.split()
    sys.argv[0] = "dpsynth"
    try:
        main()
    except SystemExit as ended:
        print(arguments.split()[:2], "ended with", ended.code)
"""


def test_a_copy_of_a_home_on_a_read_only_disk_is_audited_and_asked(table, home, tmp_path):
    """The home that it was copied from is gone, and nothing is written into the copy."""
    copy = tmp_path / "copy"
    shutil.copytree(home.root, copy)
    shutil.rmtree(home.root)
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    printed = on_a_read_only_disk(copy, AUDIT, str(copy), str(tmp_path / "report.html"))
    ended = [line.rpartition(" ")[2] for line in printed.splitlines() if "ended with" in line]
    assert ended == ["0", "0", "0", "2", "0"], printed
    assert "is intact" in printed
    assert "text,topic" in printed
    assert (tmp_path / "audit.duckdb").is_file()
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before
