"""Forty things that go wrong in real hands: each is told what is wrong, where, and what to do, and costs nothing.

Each case works on a copy of one approved contract and its home. `test_wrong_input` has what can be wrong in a contract
term by term.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from dpsynth_assets.contract import load_contract
from dpsynth_assets.gate.approval import sign
from ledger import Ledger, LedgerError, People, SetPeople
from resources.formats import READERS
from resources.home import Home
from tests.conftest import agree, write_contract

OWNER, REVIEWER = "owner@example.org", "privacy@example.org"
AS_OWNER = ("--as", OWNER, "--reason", "for tests")


@dataclass(frozen=True)
class World:
    """A copy of the contract and of its home, which a case may spoil."""

    folder: Path
    patch: pytest.MonkeyPatch

    @property
    def contract(self) -> Path:
        return self.folder / "contracts" / "small.odcs.yaml"

    @property
    def home(self) -> Home:
        return Home.at(self.folder / "home")

    @property
    def book(self) -> Ledger:
        return Ledger(self.home.ledger_file)

    def edit(self, was: str, becomes: str) -> Path:
        text = self.contract.read_text(encoding="utf-8")
        assert was in text
        self.contract.write_text(text.replace(was, becomes, 1), encoding="utf-8")
        return self.contract

    def from_csv(self, content: bytes) -> Path:
        """The contract with a CSV file for its source."""
        (self.contract.parent / "train.csv").write_bytes(content)
        return self.edit("path: train.jsonl\n    format: jsonl", "path: train.csv\n    format: csv")


Command = tuple[object, ...]
Spoil = Callable[[World], Command]  # makes what is wrong, and gives the command that comes across it


def edited(was: str, becomes: str) -> Spoil:
    """A contract with one part written otherwise, run."""
    return lambda world: ("run", world.edit(was, becomes))


def written(content: str | bytes) -> Spoil:
    """A contract that is something else altogether, run."""

    def spoil(world: World) -> Command:
        world.contract.write_bytes(content if isinstance(content, bytes) else content.encode())
        return ("run", world.contract)

    return spoil


def source(content: bytes) -> Spoil:
    """A source that holds this, looked at."""
    return lambda world: ("source", "check", world.from_csv(content))


def typed(world: World) -> Command:
    world.edit("{name: customer, logicalType: string", "{name: customer, logicalType: integer")
    return ("source", "check", world.from_csv(HEAD + b"c1,lost,card\n"))


def unreadable(world: World) -> Command:
    """For whichever account the tests run under."""

    def refusing(*_: object) -> Iterator[object]:
        raise PermissionError(13, "Permission denied")
        yield

    world.patch.setitem(READERS, ".csv", refusing)
    return ("source", "check", world.from_csv(HEAD))


def pipe(world: World) -> Command:
    world.from_csv(b"")
    (world.contract.parent / "train.csv").unlink()
    os.mkfifo(world.contract.parent / "train.csv")
    return ("source", "check", world.contract)


def signed_twice(world: World) -> Command:
    """Whoever asked cannot be the one who agrees."""
    sign(load_contract(world.edit("epsilon: 8.0", "epsilon: 9.0")), world.book, actor=OWNER, reason="first")
    return ("approve", world.contract, *AS_OWNER)


def revoked(world: World) -> Command:
    change = SetPeople("small-bank", People((OWNER,), ("new@example.org",)))
    asked = world.book.propose(change, actor=OWNER, reason="they left")
    world.book.approve(asked, actor=REVIEWER, reason="goodbye")
    return ("approve", world.edit("epsilon: 8.0", "epsilon: 9.0"), "--as", REVIEWER, "--reason", "for tests")


def wrong_key(world: World) -> Command:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("needs OpenSSH")
    for name in ("theirs", "other"):
        path = world.folder / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
    public = (world.folder / "theirs.pub").read_text(encoding="utf-8")
    change = SetPeople("small-bank", People((OWNER,), (REVIEWER,)).with_key(REVIEWER, public))
    world.book.approve(world.book.propose(change, actor=OWNER, reason="a key"), actor=REVIEWER, reason="a key")
    sign(load_contract(world.edit("epsilon: 8.0", "epsilon: 9.0")), world.book, actor=OWNER, reason="more")
    return ("approve", world.contract, "--as", REVIEWER, "--reason", "x", "--key", world.folder / "other")


def home_is_a_file(world: World) -> Command:
    world.patch.setenv("DPSYNTH_HOME", str(world.contract))
    return ("run", world.contract)


def no_home(world: World) -> Command:
    world.patch.setenv("DPSYNTH_HOME", str(world.folder / "elsewhere"))
    return ("run", world.contract)


def damaged_ledger(world: World) -> Command:
    file = world.home.ledger_file
    file.write_bytes(file.read_bytes()[:5_000] + bytes(4_000))
    return ("run", world.contract)


def no_ledger_any_more(world: World) -> Command:
    shutil.rmtree(world.home.ledger_file.parent)
    return ("run", world.contract)


def damaged_table(world: World) -> Command:
    [path] = (world.home.warehouse / "parquet").glob("*/*/*.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    return ("sql", "select count(*) from small.messages")


HEAD = b"customer,text,topic\n"
BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n" + "".join(f"d{n}: [*c, *c]\n" for n in range(50))
SERVERS = "servers:\n  - server: local\n    type: local\n    path: train.jsonl\n    format: jsonl\n"

# What is wrong, then the essential words of what is said: what, where, what to do.
CASES: dict[str, tuple[Spoil, str, str, str]] = {
    # contracts
    "no_budget": (
        edited("          budget: {epsilon: 8.0, delta: 1.0e-5}\n", ""),
        "`budget` is missing",
        "line 25",
        "Add it, for example `budget: {",
    ),
    "no_population": (edited("          population: small-bank\n", ""), "`population` is missing", "line 25", "Add it"),
    "no_server": (edited(SERVERS, ""), "does not say where its source is", "servers", "Use `type: local`"),
    "epsilon_0": (edited("epsilon: 8.0", "epsilon: 0"), "0 is out of range", "line 32", "at least 1e-09"),
    "epsilon_minus_1": (edited("epsilon: 8.0", "epsilon: -1"), "-1 is out of range", "line 32", "at least 1e-09"),
    "epsilon_1e9": (edited("epsilon: 8.0", "epsilon: 1.0e+9"), "out of range", "line 32", "at most 1e+06"),
    "epsilon_nan": (edited("epsilon: 8.0", "epsilon: .nan"), "not a finite number", "line 32", "Write a number"),
    "epsilon_eight": (edited("epsilon: 8.0", "epsilon: eight"), "must be a number", "line 32", "without quotes"),
    "delta_2": (edited("delta: 1.0e-5", "delta: 2"), "2 is out of range", "line 32", "below 0.01"),
    "rows_1e12": (
        edited("rows: 24", "rows: 1000000000000"),
        "out of range",
        "generation.rows",
        "at most 1e+08",
    ),
    "key_typo": (edited("budget: {", "bugdet: {"), "`bugdet` is not known", "line 32", "Did you mean `budget`?"),
    "mechanism": (
        edited(": dp_sgd", ": dp_sdg"),
        "`dp_sdg` is not known",
        "line 36",
        "Did you mean `dp_sgd`?",
    ),
    "list": (edited("[card, loan]", "card"), "`card` must be a list", "privacy.labels[topic].values", "Write a list"),
    "tab": (edited("  purpose", "\tpurpose"), "cannot start any token", "line 8", "Indent with spaces, not tabs"),
    "bomb": (written(BOMB), "a YAML alias", "line 2: c[0]", "Write it out"),
    "key_twice": (edited("status: active", "status: active\nid: b"), "stands here twice", "line 7", "Keep one of them"),
    "empty": (written(""), "the file is empty", "small.odcs.yaml", "dpsynth new FILE"),
    "binary": (written(b"\x7fELF\x02\xff\xfe" * 40), "is not UTF-8 text", "small.odcs.yaml", "Save it as UTF-8"),
    "folder": (lambda w: ("run", w.contract.parent), "is not a file", "contracts", "give the path of a contract"),
    # sources
    "source_gone": (
        lambda w: ("source", "check", w.edit("path: train.jsonl", "path: nowhere.jsonl")),
        "does not exist",
        "nowhere.jsonl",
        "correct its path in the contract",
    ),
    "source_empty": (source(b""), "is empty and has no header", "train.csv", "must name the columns"),
    "encoding": (
        source(HEAD + "c1,caf\u00e9,card\n".encode("cp1252")),
        "characters that the encoding does not have",
        "line 2, column text",
        "`csv: {encoding: cp1252}`",
    ),
    "delimiter": (
        source(HEAD.replace(b",", b";") + b"c1;lost;card\n"),
        "lacks the columns customer, text, topic",
        "train.csv",
        'write `csv: {delimiter: ";"}`',
    ),
    "column_twice": (source(b"customer,text,topic,topic\n"), "the columns topic twice", "train.csv", "rename one"),
    "column_gone": (source(b"customer,text\nc1,a\n"), "lacks the columns topic", "train.csv", "correct the contract"),
    "type": (typed, "no whole number", "line 2, column customer", "correct them in the source, or"),
    "comma": (source(HEAD + b"c1,a, b,card\n"), "more cells than the header", "line 2", "must stand in quotes"),
    "unreadable": (unreadable, "may not be read by this account", "train.csv", "use the one that it belongs to"),
    "pipe": (pipe, "is no file that can be read twice", "train.csv", "correct its path in the contract"),
    # commands
    "contract": (
        lambda w: ("plan", "smal"),
        "smal is not a file",
        "contracts/small.odcs.yaml",
        "give the path",
    ),
    "population": (
        lambda w: ("audit", "--population", "smal-bank"),
        "'smal-bank' has no budget",
        "in this ledger",
        "knows small-bank: name one",
    ),
    "again": (lambda w: ("run", w.contract, "--again", "x"), "x is no release", "--again", "name one of these"),
    "signed_twice": (
        signed_twice,
        "this is asked for already",
        f"asked for by {OWNER}",
        "an approver who did not ask has to agree",
    ),
    "revoked": (
        revoked,
        f"{REVIEWER} does not stand",
        "population small-bank",
        "`dpsynth people` shows",
    ),
    "wrong_key": (wrong_key, "is not by the key that stands", "in the ledger", "Sign with the key that is theirs"),
    "port": (lambda w: ("ui", "--port", "99999"), "less than or equal to 65535", "'--port'", "--help"),
    "home_is_a_file": (home_is_a_file, "is a file", "small.odcs.yaml", "name a folder with $DPSYNTH_HOME"),
    "no_home": (no_home, "there is no privacy ledger", "elsewhere/ledger", "run `dpsynth init`"),
    "damaged_ledger": (damaged_ledger, "is damaged", "home/ledger/ledger.duckdb", "put a trusted copy back"),
    "no_ledger_any_more": (no_ledger_any_more, "there is no privacy ledger", "home/ledger", "restore it"),
}

# The same for a home with a published table.
QUERIES: dict[str, tuple[Spoil, str, str, str]] = {
    "sql_that_writes": (lambda w: ("sql", "drop table small.messages"), "only answers", "the warehouse", "use SELECT"),
    "sql_syntax": (lambda w: ("sql", "selec 1"), "syntax error", 'near "selec"', "correct it there"),
    "unknown_table": (
        lambda w: ("sql", "from mesages"),
        "no table mesages",
        "Published:",
        "Did you mean small.messages",
    ),
    "damaged_table": (damaged_table, "is not the table that was sealed", ".parquet", "`dpsynth audit verify` says"),
}


@pytest.fixture(scope="module")
def approved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("approved")
    contract = write_contract(place / "contracts")
    home = Home.at(place / "home")
    home.create()
    agree(load_contract(contract), Ledger.create(home.ledger_file))
    return place


@pytest.fixture
def world(approved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path / "world", monkeypatch)
    shutil.copytree(approved, made.folder)
    monkeypatch.setenv("DPSYNTH_HOME", str(made.home.root))
    monkeypatch.chdir(made.folder)
    return made


def stands(home: Home) -> object:
    """The ledger's newest entry; its bytes where it cannot be read."""
    with suppress(LedgerError):
        return Ledger(home.ledger_file).checkpoint().hash
    return home.ledger_file.exists() and home.ledger_file.read_bytes()


def require_told(dpsynth, world: World, case: tuple[Spoil, str, str, str]) -> None:
    spoil, *pieces = case
    command = spoil(world)
    before = stands(world.home)
    code, out, err = dpsynth(*command)
    said = " ".join((out + err).split())
    assert code != 0, said
    assert "Traceback" not in said
    for piece in pieces:
        assert piece in said
    assert stands(world.home) == before


@pytest.mark.parametrize("name", CASES)
def test_it_is_told_what_is_wrong_where_and_what_to_do(name, dpsynth, world):
    require_told(dpsynth, world, CASES[name])


@pytest.fixture
def place(same_place: Path) -> Path:
    return same_place


@pytest.mark.parametrize("name", QUERIES)
def test_a_wrong_query_is_told_so_too(name, dpsynth, released, place, monkeypatch):
    monkeypatch.chdir(place)
    require_told(dpsynth, World(place, monkeypatch), QUERIES[name])
