"""`people`, and `approve` by people with keys, as they are typed."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from dpsynth_assets.gate.approval import people_differ, require_approved
from ledger import Ledger, LedgerError
from ledger.replay import Replay

pytestmark = pytest.mark.slow

OWNER, REVIEWER = "owner@example.org", "privacy@example.org"

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs OpenSSH")


def words(text):
    return " ".join(text.split())


@pytest.fixture
def key(tmp_path):
    """Make an SSH key pair; its private part's path."""

    def make(name):
        path = tmp_path / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "me@laptop", "-f", path], check=True)
        return path

    return make


@pytest.fixture
def signed(dpsynth, tmp_path, monkeypatch, contract_path, key):
    """A ledger that was made with an owner and an approver, each with a key."""
    monkeypatch.setenv("DPSYNTH_HOME", str(tmp_path / "made"))
    monkeypatch.chdir(tmp_path)
    owners, reviewers = key("owners"), key("reviewers")
    code, _, err = dpsynth("init", "--owner", f"{OWNER}={owners}.pub", "--approver", f"{REVIEWER}={reviewers}.pub")
    assert code == 0, err
    return owners, reviewers


def book(tmp_path):
    return Ledger(tmp_path / "made" / "ledger" / "ledger.duckdb")


def approve(dpsynth, contract_path, actor, *more):
    return dpsynth("approve", contract_path, "--as", actor, "--reason", "read", *more)


def test_people_with_keys_sign_and_nobody_in_their_name(dpsynth, signed, contract_path, contract, tmp_path):
    owners, reviewers = signed
    code, out, _ = approve(dpsynth, contract_path, OWNER)
    assert code == 1
    assert "takes a signature" in words(out)
    assert [entry.kind for entry in book(tmp_path).entries()] == ["created"]
    code, _, err = approve(dpsynth, contract_path, OWNER, "--key", reviewers)
    assert (code, "is not by the key" in err) == (2, True)
    code, _, err = approve(dpsynth, contract_path, "stranger@example.org")
    assert (code, "does not stand for the ledger" in err) == (2, True)
    assert approve(dpsynth, contract_path, OWNER, "--key", owners)[0] == 0

    assert approve(dpsynth, contract_path, REVIEWER)[0] == 1  # writes what is to be signed elsewhere
    statements = sorted(tmp_path.glob("small-*.statement"))
    assert len(statements) == 2
    command = ["ssh-keygen", "-q", "-Y", "sign", "-n", "dpsynth-approval", "-f", reviewers, *statements]
    subprocess.run(command, check=True, capture_output=True)
    signatures = [part for path in statements for part in ("--signature", f"{path}.sig")]
    code, _, err = approve(dpsynth, contract_path, REVIEWER, *signatures[:2])
    assert (code, "none of the signatures" in err) == (2, True)
    code, out, _ = approve(dpsynth, contract_path, REVIEWER, *signatures)
    assert (code, "is approved" in words(out)) == (0, True)
    require_approved(contract, book(tmp_path))

    code, out, _ = dpsynth("approve", "--list")
    assert "unauthenticated" not in out
    assert dpsynth("audit", "verify")[0] == 0
    replay = Replay()
    for line in book(tmp_path).export():
        replay.read(line.encode())
    assert (replay.problems, replay.report()["acts_by_name_only"]) == ([], 0)


def test_people_change_by_two_who_stand(dpsynth, contract_path, contract, book):
    code, out, _ = dpsynth("people")
    assert code == 0
    assert "the name is unauthenticated" in words(out)
    change = ("people", "set", "--owner", OWNER, "--approver", REVIEWER, "--approver", "second@example.org")
    change += ("--population", "small-bank", "--reason", "a second reviewer")
    code, _, err = dpsynth(*change, "--as", "second@example.org")
    assert (code, "does not stand for" in err) == (2, True)
    assert dpsynth(*change, "--as", OWNER)[0] == 0
    assert dpsynth(*change, "--as", REVIEWER)[0] == 0
    assert people_differ(contract, book) is not None
    for verb in ("lint", "diff", "approve"):
        assert "only they sign" in words(dpsynth(verb, contract_path)[1]), verb
    for actor in (OWNER, "second@example.org"):  # back to whom the contract names
        assert dpsynth("people", "set", contract_path, "--as", actor, "--reason", "as before")[0] == 0
    assert people_differ(contract, book) is None


def test_a_key_is_enrolled_and_revoked_by_two(dpsynth, contract_path, book, key, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # what waits for a signature is written to the working directory
    mine = key("mine")
    enrol = ("people", "key", REVIEWER, f"{mine}.pub", "--reason", "my key")
    assert dpsynth(*enrol, "--as", OWNER)[0] == 0
    assert book.people("small-bank").key_of(REVIEWER) is None
    assert dpsynth(*enrol, "--as", REVIEWER)[0] == 0
    with pytest.raises(LedgerError, match="has a key"):
        book.lower_cap("small-bank", 1.0, actor=REVIEWER, reason="in the reviewer's name")
    revoke = ("people", "revoke", REVIEWER, "--reason", "a laptop was lost")
    assert dpsynth(*revoke, "--as", OWNER)[0] == 0
    assert dpsynth(*revoke, "--as", REVIEWER)[0] == 1
    assert dpsynth(*revoke, "--as", REVIEWER, "--key", mine)[0] == 0
    assert book.people("small-bank").key_of(REVIEWER) is None
    for name in ("nobody@example.org", REVIEWER):
        assert dpsynth("people", "revoke", name, "--as", OWNER, "--reason", "again")[0] == 2


def test_a_key_of_one_population_is_asked_for_in_the_next(dpsynth, signed, contract_path, tmp_path, key):
    """And what was done before a later act is refused is said all the same."""
    owners, reviewers = signed
    for actor, mine in ((OWNER, owners), (REVIEWER, reviewers)):
        assert approve(dpsynth, contract_path, actor, "--key", mine)[0] == 0
    text = contract_path.read_text(encoding="utf-8").replace("population: small-bank", "population: second")
    second = contract_path.with_name("second.odcs.yaml")
    second.write_text(text.replace("id: small", "id: second").replace(f"{REVIEWER}", "other@example.org"), "utf-8")
    assert approve(dpsynth, second, OWNER, "--key", owners)[0] == 0
    code, out, err = approve(dpsynth, second, REVIEWER, "--key", reviewers)  # of the ledger, and not of `second`
    assert (code, "approved (entry" in words(out)) == (2, True)
    assert "does not stand for population second" in words(err)
    assert book(tmp_path).people("second").keys.keys() == {OWNER}


def test_spending_elsewhere_is_signed_by_who_has_a_key(dpsynth, signed, contract_path, tmp_path):
    owners, reviewers = signed
    for actor, mine in ((OWNER, owners), (REVIEWER, reviewers)):
        assert approve(dpsynth, contract_path, actor, "--key", mine)[0] == 0
    event = '{"event": "gaussian", "version": 1, "noise_multiplier": 30.0}'
    spent = ("audit", "external", "small-bank", event, "--yes", "--as", REVIEWER, "--reason", "a mean, in May")
    code, out, _ = dpsynth(*spent)
    assert (code, "to write down what was spent elsewhere" in words(out)) == (1, True)
    statement = tmp_path / "small-bank-1.statement"
    command = ["ssh-keygen", "-q", "-Y", "sign", "-n", "dpsynth-approval", "-f", reviewers, statement]
    subprocess.run(command, check=True, capture_output=True)
    assert dpsynth(*spent, "--signature", f"{statement}.sig")[0] == 0
    assert dpsynth(*spent, "--signature", f"{statement}.sig")[0] == 2  # once
    assert dpsynth(*spent, "--key", reviewers)[0] == 0
    code, _, err = dpsynth(
        "audit", "external", "small-bank", event, "--yes", "--as", "nobody@example.org", "--reason", "spite"
    )
    assert (code, "does not stand for population small-bank" in words(err)) == (2, True)
    assert dpsynth("audit", "verify")[0] == 0


def test_what_is_no_json_is_refused_in_a_sentence(dpsynth, book, tmp_path):
    deep = "[" * 100_000
    for event in (deep, '{"event": "gaussian", "version": 1, "noise_multiplier": ' + "9" * 5000 + "}"):
        code, _, err = dpsynth("audit", "external", "small-bank", event, "--yes", "--as", OWNER, "--reason", "x")
        assert (code, "is not JSON" in words(err)) == (2, True)
    for text in (deep, '{"seq": ' + "9" * 5000 + "}"):
        kept = tmp_path / "kept"
        kept.write_text(text, encoding="utf-8")
        code, _, err = dpsynth("audit", "verify", "--checkpoint", kept)
        assert (code, "holds no checkpoints" in words(err)) == (2, True)


def test_what_is_no_key_is_refused(dpsynth, book, tmp_path):
    other = tmp_path / "id_rsa.pub"
    other.write_text("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ me@laptop\n", encoding="utf-8")
    code, _, err = dpsynth("people", "key", REVIEWER, other, "--as", OWNER, "--reason", "x")
    assert (code, "only ssh-ed25519 is verified" in err) == (2, True)
