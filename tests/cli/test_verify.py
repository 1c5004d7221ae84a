"""What recipients see of things that were changed after they were sealed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def place(same_place):
    return same_place


@pytest.fixture
def received(table, store, tmp_path, released):
    """What a recipient was given: a table, a card, and a corpus' folder, each with its seal; and, apart, the key."""
    folder = tmp_path / "received"
    shutil.copytree(store.latest("small", "corpus").folder, folder / "corpus")
    shutil.copytree(store.latest("small", "card").folder, folder / "card")
    for path in (table, table.with_name(table.name + ".seal.json")):
        shutil.copy(path, folder / path.name)
        (folder / path.name).chmod(0o644)
    (tmp_path / "key").write_text(released.public_key + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def check(dpsynth, received, tmp_path, monkeypatch):
    """Verify as the recipient does: no ledger, the key from elsewhere."""

    def act(name: str, key: str | Path | None = None) -> tuple[int, str, str]:
        monkeypatch.setenv("DPSYNTH_HOME", str(tmp_path / "nothing here"))
        return dpsynth("verify", received / name, "--key", key or tmp_path / "key")

    return act


def only(folder: Path, ending: str) -> Path:
    [path] = folder.glob(f"*{ending}")
    return path


def test_a_folder_of_sealed_things_is_not_sealed_itself_and_what_in_it_is_is_named(check, received):
    code, _, err = check(".")
    assert code == 1
    for name in ("card", "corpus", only(received, ".parquet").name):
        assert str(received / name) in err
    (received / "empty").mkdir()
    assert "there is no seal with" in check("empty")[2]


def test_a_recipient_is_told_what_is_certified_and_by_whom(check, received, released, store):
    promised = store.latest("small", "synthetic").seal.guarantee
    for name, what in (
        (only(received, ".parquet").name, "a published synthetic table of contract small"),
        ("corpus", "a synthetic corpus of contract small"),
        ("card", "a release's card of contract small"),
        ("card/card.html", "a release's card of contract small"),
        ("corpus/corpus.parquet", "a synthetic corpus of contract small"),
    ):
        code, out, err = check(name)
        assert code == 0, err
        assert what in out
        assert f"({promised.epsilon:.2f}"[:4] in out
        assert "1e-05)-differential privacy for the population small-bank, adding or removing one customer" in out
        assert "SHA256:" in out
        assert released.id in out


TAMPERED = {
    "other bytes": (lambda f: only(f, ".parquet").write_bytes(b"PAR1"), ".parquet", ".parquet was changed"),
    "a card's epsilon": (
        lambda f: (f / "card/card.html").write_text((f / "card/card.html").read_text().replace("1e-05", "1e-09")),
        "card/card.html",
        "was changed",
    ),
    "a receipt's epsilon": (
        lambda f: (f / "corpus/receipt.json").write_text("{}"),
        "corpus",
        "receipt.json was changed",
    ),
    "a file missing": (lambda f: (f / "corpus/receipt.json").unlink(), "corpus", "receipt.json is missing"),
    "a file too many": (lambda f: (f / "corpus/more").write_text(""), "corpus", "more was added"),
    "a folder too many": (
        lambda f: shutil.copytree(f / "card", f / "corpus/card"),
        "corpus",
        "card/card.html was added",
    ),
    "no seal": (lambda f: (f / "corpus/seal.json").unlink(), "corpus", "there is no seal"),
    "another artifact's seal": (
        lambda f: shutil.copy(f / "card/seal.json", f / "corpus/seal.json"),
        "corpus",
        "missing",
    ),
    "another artifact's seal beside a table": (
        lambda f: shutil.copy(f / "card/seal.json", only(f, ".parquet.seal.json")),
        ".parquet",
        "of other files",
    ),
    "an edited seal": (
        lambda f: (f / "corpus/seal.json").write_text((f / "corpus/seal.json").read_text().replace("small", "other")),
        "corpus",
        "not the entry that was signed",
    ),
    "a link to the file": (
        lambda f: ((f / "card/card.html").rename(f / "c"), (f / "card/card.html").symlink_to(f / "c")),
        "card/card.html",
        "is a link",
    ),
    "a link in a folder": (
        lambda f: ((f / "card/card.html").rename(f / "c"), (f / "card/card.html").symlink_to(f / "c")),
        "card",
        "is a link",
    ),
    "a folder that is a link": (
        lambda f: ((f / "card").rename(f / "c"), (f / "card").symlink_to(f / "c")),
        "card",
        "is a link",
    ),
    "a seal that is a link": (
        lambda f: ((f / "card/seal.json").rename(f / "c"), (f / "card/seal.json").symlink_to(f / "c")),
        "card",
        "is a link",
    ),
    "another name": (
        lambda f: (
            only(f, ".parquet").rename(f / "newer.parquet"),
            only(f, ".parquet.seal.json").rename(f / "newer.parquet.seal.json"),
        ),
        ".parquet",
        "renamed",
    ),
}


def test_what_was_tampered_with_is_not_verified(check, received, tmp_path, subtests):
    whole = tmp_path / "whole"
    shutil.copytree(received, whole)
    for tampering, (change, name, says) in TAMPERED.items():
        change(received)
        with subtests.test(tampering):
            code, out, err = check(only(received, name).name if name.startswith(".") else name)
            assert (code, out) == (1, "")
            assert says in " ".join(err.split())
        shutil.rmtree(received)
        shutil.copytree(whole, received)


def test_a_part_of_what_was_sealed_together_is_checked_by_itself(check, received, store, released):
    classifiers = store.latest("small", "classifier").folder
    shutil.copytree(classifiers, received / "classifier")
    [part] = [path.name for path in (received / "classifier").iterdir() if path.is_dir()]
    code, out, err = check(f"classifier/{part}")
    assert code == 0, err
    assert "classifiers that were trained on a synthetic table" in out
    (received / "classifier" / part / "more").write_text("")
    assert f"{part}/more was added" in check(f"classifier/{part}")[2]


def test_another_key_does_not_verify_and_none_is_asked_for(check, received, dpsynth):
    other = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    code, _, err = check("corpus", other)
    assert code == 1
    assert "not signed by the key SHA256:" in err
    assert check("corpus", "no key")[0] == 2
    assert dpsynth("verify", received / "corpus")[0] == 2  # there is no ledger here
