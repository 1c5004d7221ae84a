"""`dpsynth run` says what it costs and asks before it starts; it says what it goes on with, and what came of it."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest
import typer

from dpsynth_assets.assets import card
from dpsynth_assets.cli import costs, running
from dpsynth_assets.cli.running import Outcome
from dpsynth_assets.cli.summary import _judged, show_failure
from dpsynth_assets.contract import load_contract
from dpsynth_assets.quality.verdict import VERDICT, RuleResult, Verdict
from ledger import LedgerBusy
from ledger.charging import Charging
from ledger.rounded import up


@pytest.fixture
def place(same_place):
    return same_place


@pytest.fixture
def types(monkeypatch):
    """Somebody at the terminal, who types this to the question; gives what was asked."""
    asked = []

    def sit(answer: bool | type[BaseException]) -> list[str]:
        def confirm(question: str, **_) -> bool:
            asked.append(question)
            if isinstance(answer, bool):
                return answer
            raise answer

        monkeypatch.setattr(costs, "somebody_answers", lambda: True)
        monkeypatch.setattr(typer, "confirm", confirm)
        return asked

    return sit


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("more", [(), ("--quiet",), ("--json",)])
def test_where_nobody_is_asked_somebody_must_have_agreed(more, dpsynth, contract_path, book):
    before = book.entries()
    code, out, err = dpsynth("run", contract_path, *more, asks=True)
    assert code == 2
    assert "would be charged ε 7.306 for small/label_histogram, small/adapter" in flat(err)
    assert "give --yes to agree" in flat(err)
    assert ("ε 8, 0.694 is left after it" in flat(out)) == (more == ())
    assert book.entries() == before


def test_a_no_starts_nothing_and_an_interrupt_names_the_command(dpsynth, contract_path, book, types):
    before = book.entries()
    types(False)
    code, out, _ = dpsynth("run", contract_path, asks=True)
    assert (code, "Nothing was started, and nothing was charged." in out) == (1, True)
    types(typer.Abort)
    code, out, err = dpsynth("run", contract_path, "--size", "0.5", asks=True)
    assert (code, err) == (130, "")
    assert (
        f"Stopped before this run was charged anything: dpsynth run {contract_path} --size 0.5 runs it again."
        in flat(out)
    )
    assert book.entries() == before


def test_terms_that_nobody_signed_are_said_before_anything_is_started(dpsynth, contract_path, home):
    code, out, err = dpsynth("run", contract_path)
    assert (code, out) == (2, "")
    assert f"`dpsynth approve {contract_path} --as NAME --reason TEXT`" in flat(err)
    assert not list((home.dagster / "history" / "runs").glob("*-*"))


def test_what_is_free_is_not_asked_about(dpsynth, contract_path, released, types):
    asked = types(False)
    code, out, _ = dpsynth("run", contract_path, "--only", "card", asks=True)
    assert (code, asked) == (0, [])
    assert "Nothing is charged for this run." in out


def test_what_the_ledger_would_refuse_is_not_started(dpsynth, contract_path, released, types):
    before, asked = released.entries(), types(True)
    code, out, err = dpsynth("run", contract_path, "--again", "adapter", asks=True)
    assert (code, asked) == (3, [])
    assert "the privacy ledger would refuse small/adapter" in flat(err)
    assert "This run does not fit: of the population's ε 8, 7.306 is spent. It would be refused as a whole" in flat(out)
    assert "This run is charged" not in flat(out)
    assert "The last time, all of this took" in flat(out)
    assert released.entries() == before


def test_a_release_that_was_cut_off_is_gone_on_with_for_what_runs_again(
    dpsynth, contract_path, book, home, rooms, types, store
):
    """What is foreseen is what the ledger is asked for then."""

    def stop(frame: object) -> None:
        raise KeyboardInterrupt

    rooms.train = stop
    code, out, _ = dpsynth("run", contract_path)
    assert code == 130
    assert "ε 7.000 for small/adapter, which stays, and dpsynth run" in flat(out)
    [left] = [each for each in book.reservations() if each.release == "small/adapter"]
    (home.sensitive / "checkpoints" / left.id / "steps-begun").write_bytes(b"|.")  # two steps, none of them saved
    planned = json.loads(dpsynth("plan", contract_path, "--json")[1])
    assert planned["goes_on_with"] == {"small/adapter": left.id}
    assert list(planned["releases"]) == ["small/adapter"]
    asked = types(True)
    code, out, err = dpsynth("run", contract_path, asks=True)
    assert (code, asked) == (3, []), "two of three steps do not fit a second time"
    assert "stands and is used" in flat(out), "the histogram"
    assert "an earlier run was charged ε 7.000 for it, which stays, and ended. This run goes on with it" in flat(out)
    assert "would refuse small/adapter" in flat(err)
    assert dpsynth("run", contract_path, "--only", "adapter")[0] == 3
    foreseen = planned["releases"]["small/adapter"]["epsilon_alone"]
    assert book.entries()[-1].payload["epsilon_alone"] == pytest.approx(foreseen)


def test_a_run_says_what_it_was_charged_itself_and_what_was_charged_before(
    dpsynth, contract_path, book, home, rooms, agree
):
    """Four runs of one release: the first is charged for all of it, the third for steps that ran again, nobody else."""
    text = contract_path.read_text(encoding="utf-8")
    contract_path.write_text(text.replace("epsilon: 8.0", "epsilon: 20.0"), encoding="utf-8")
    agree(load_contract(contract_path), book)

    def stop(frame: object) -> None:
        raise KeyboardInterrupt

    train, rooms.train = rooms.train, stop
    code, out, _ = dpsynth("run", contract_path)
    assert code == 130
    assert re.search(r"this run was charged ε \S+ for small/label_histogram and ε 7\.000 for small/adapter", flat(out))
    assert "earlier run" not in flat(out)

    code, out, _ = dpsynth("run", contract_path)
    assert code == 130
    said = flat(out).partition("Stopped")[2]
    assert said.startswith(f": this run was charged nothing, and dpsynth run {contract_path} goes on.")
    assert "An earlier run was charged ε 7.000 for small/adapter, which stays, and this run went on with it." in said

    [left] = [each for each in book.reservations() if each.release == "small/adapter"]
    (home.sensitive / "checkpoints" / left.id / "steps-begun").write_bytes(b"|.")  # two steps, none of them saved
    code, out, _ = dpsynth("run", contract_path)
    assert code == 130
    [entry] = [each for each in book.entries() if each.kind == "resumed" and each.event is not None]
    again = up(entry.payload["epsilon_alone"])
    said = flat(out).partition("Stopped")[2]
    assert said.startswith(f": this run was charged ε {again} for steps of small/adapter that ran again, which stays")
    assert "An earlier run was charged ε 7.000 for small/adapter, which stays, and this run went on with it." in said

    earlier = f"earlier runs were charged ε 7.000 and ε {again} for it, which stays, and ended"
    assert earlier in flat(dpsynth("plan", contract_path)[1])
    rooms.train = train
    code, out, err = dpsynth("run", contract_path, "--json")
    assert code == 0, out + err
    said = json.loads(out)
    assert said["charged"] == {}
    assert said["charged_before"] == {"small/adapter": pytest.approx(7.0 + entry.payload["epsilon_alone"], abs=1e-3)}


def test_a_release_that_was_finished_is_taken(dpsynth, contract_path, book, rooms, monkeypatch):
    parts = ("--only", "source", "--only", "label_histogram")
    with monkeypatch.context() as patched:
        patched.setattr(Charging, "commit", lambda *_, **__: (_ for _ in ()).throw(LedgerBusy("held")))
        assert dpsynth("run", contract_path, *parts)[0] == 1
    before = len(book.reservations())
    code, out, err = dpsynth("run", contract_path, "--only", "label_histogram", asks=True)
    assert code == 0, out + err
    assert "and finished it. It is taken, nothing is charged" in flat(out)
    assert len(book.reservations()) == before


def test_what_another_run_took_meanwhile_is_not_charged_again_unasked(dpsynth, contract_path, book, rooms, monkeypatch):
    """Two terminals see the same finished release that waits to be sealed. The second comes too late."""
    with monkeypatch.context() as patched:
        patched.setattr(Charging, "commit", lambda *_, **__: (_ for _ in ()).throw(LedgerBusy("held")))
        assert dpsynth("run", contract_path, "--only", "source", "--only", "label_histogram")[0] == 1
    before, run = len(book.reservations()), running.materialize

    def second(*given, **more):
        assert run(*given, **more).success
        return run(*given, **more)

    monkeypatch.setattr(running, "materialize", second)
    code, out, err = dpsynth("run", contract_path, "--only", "label_histogram", asks=True)
    assert code == 1, out + err
    assert "Nothing is charged for this run." in out
    assert "was not among the costs that were shown" in flat(out + err)
    assert len(book.reservations()) == before


def test_what_fails_after_the_table_does_not_say_that_it_was_not_published(
    dpsynth, contract_path, released, monkeypatch
):
    monkeypatch.setattr(card, "certificate", lambda *_, **__: 1 / 0)
    code, out, _ = dpsynth("run", contract_path)
    assert code == 1
    assert "The table was published before that, and stands." in out
    assert "Nothing was published" not in out


def test_what_failed_is_told_from_what_only_warned(contract, home, book, capsys, forget_console):
    show_failure(contract, home, Outcome(False, "run", 1.0, checks_failed=["held"], checks_warned=["short"]), {})
    out = flat(capsys.readouterr().out)
    assert "Checks that failed: held. ! Checks that stop nothing, and warn: short. Nothing was published." in out


@pytest.mark.parametrize(("short", "said"), [(True, "quality checks passed"), (False, "1 of 2 quality checks passed")])
def test_quality_checks_passed_if_all_did(short, said, tmp_path):
    results = (
        RuleResult("present", "expect", blocking=True, passed=True, observed={}, description=""),
        RuleResult("short", "expect", blocking=False, passed=short, observed={}, description=""),
    )
    Verdict(True, results, "a" * 64, "b" * 64, 24).save(tmp_path / VERDICT)
    judged = SimpleNamespace(folder=tmp_path, receipt={"about": {"corpus": "c"}})
    text = _judged(SimpleNamespace(find=lambda *_: judged), SimpleNamespace(contract="small", id="c"))
    assert text.startswith(f"; {said}")
    assert ("all but short" in text) == (not short)
