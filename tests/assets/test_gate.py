"""Whatever happens inside the gate: what is charged, what is forfeited, what is given back, and what is let out."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import uuid
import warnings
from pathlib import Path

import dagster as dg
import pytest
from filelock import FileLock

from ledger import PoissonSampledGaussian
from resources.home import private_folder

MARKER = "XYZZY-4471-PLUGH"


def states(book) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for charge in book.reservations():
        found.setdefault(charge.release.removeprefix("small/"), []).append(charge.state)
    return found


def everything_written(home, instance, result) -> str:
    """The event log, every captured log and every other file of the home but the sensitive ones."""
    logged = "\n".join(str(record) for record in instance.all_logs(result.run_id))
    files = [p for p in home.root.rglob("*") if p.is_file() and home.sensitive not in p.parents]
    return logged + "".join(path.read_bytes().decode("utf-8", "replace") for path in files)


def test_a_refusal_comes_before_any_row_and_is_in_the_ledger(spent, run, rooms, book, refusal_of):
    assert rooms.read == 1
    result = run("adapter")
    assert rooms.read == 1
    failure = refusal_of(result, "adapter")
    assert re.search(
        r"spent [67]\.\d+, asked [67]\.\d+, left [01]\.\d+; .* No sensitive row was read", failure.description
    )
    assert "dpsynth plan" in failure.description
    figures = {name: value.value for name, value in failure.metadata.items()}
    assert figures["refused_by_privacy_ledger"] is True
    assert figures["epsilon_asked"] > figures["epsilon_left"]
    refusals = book.statement("small-bank", with_pld=False).refusals
    assert [(entry.release, entry.owner) for entry in refusals] == [("small/adapter", result.run_id)]
    assert states(book) == {"adapter": ["committed"]}


def test_a_charge_that_another_accountant_finds_too_small_is_refused_and_nothing_is_charged(
    run, rooms, book, charged_too_little, failure_of
):
    with charged_too_little():
        result = run("source", "adapter")
    failure = failure_of(result, "adapter").step_failure_data.user_failure_data
    assert re.search(r"two accountants disagree about what would be charged: DP-SGD, .* by Opacus", failure.description)
    assert "Nothing was charged, and no row was read" in failure.description
    assert rooms.read == 0
    assert states(book).get("adapter", []) in ([], ["voided"])
    assert book.balance("small-bank", with_pld=False).epsilon_spent == 0
    assert run("adapter").success, "once the two agree"
    assert rooms.read == 1


def test_a_release_before_one_that_accountants_disagree_on_is_not_charged_either(
    run, book, charged_too_little, failure_of
):
    with charged_too_little():
        result = run("source", "label_histogram", "adapter")
    said = failure_of(result, "label_histogram").step_failure_data.user_failure_data.description
    assert "two accountants disagree" in said
    assert book.balance("small-bank", with_pld=False).epsilon_spent == 0


def test_every_charge_and_refusal_is_plotted_on_the_budget_asset(spent, run, instance):
    run("adapter")
    seen = instance.fetch_observations(dg.AssetKey(["small", "budget"]), limit=10).records
    assert [record.asset_observation.metadata["epsilon_spent"].value > 6 for record in seen] == [True, True]


def test_an_exception_is_charged_and_its_text_stays_inside(run, rooms, home, book, instance, capfd, failure_of):
    def fail(frame):
        assert frame["text"].str.contains(MARKER).all()
        raise ValueError(f"cannot encode {frame['text'].iloc[0]!r}")

    rooms.train = fail
    result = run("source", "adapter")
    assert states(book) == {"adapter": ["forfeited"]}
    failure = failure_of(result, "adapter").step_failure_data.user_failure_data
    assert "failed with ValueError" in failure.description
    assert MARKER not in everything_written(home, instance, result)
    assert MARKER not in "".join(capfd.readouterr())
    [trace] = (home.sensitive / "small").glob("*/errors/*")
    assert MARKER in trace.read_text(encoding="utf-8")
    assert trace.stat().st_mode & 0o777 == 0o600
    assert not list((home.artifacts / "small" / "adapter").glob("**/*/*")), "no half-made adapter is left"


def test_an_ingestion_that_fails_says_its_type_and_leaves_nothing_behind(
    run, home, instance, capfd, failure_of, monkeypatch
):

    def fail(*_, **__):
        try:
            raise KeyError(MARKER)
        except KeyError as cause:
            raise ValueError(f"array cannot contain {MARKER} bytes") from cause

    monkeypatch.setattr("resources.snapshots.Draft.finish", fail)
    result = run("source")
    failure = failure_of(result, "source").step_failure_data.user_failure_data
    assert "the snapshot failed with ValueError" in failure.description
    assert MARKER not in everything_written(home, instance, result) + "".join(capfd.readouterr())
    [trace] = (home.sensitive / "small").glob(".*.tmp/error.txt")
    assert f"array cannot contain {MARKER} bytes" in trace.read_text(encoding="utf-8")
    assert trace.stat().st_mode & 0o777 == 0o600
    assert not list((home.sensitive / "known" / "small-bank").iterdir()), "it is compared with no more"


def test_an_interrupted_ingestion_stays_an_interrupt_without_arguments(home, contract, monkeypatch):
    from dpsynth_assets.gate.refusal import reading_without_content
    from resources.sensitive_store import SensitiveStore

    for raised, shown in ((KeyboardInterrupt(MARKER), ()), (SystemExit(MARKER), (1,))):
        store = SensitiveStore(str(home.root))
        with pytest.raises(type(raised)) as caught, reading_without_content(store, contract, "the snapshot", ""):
            raise raised
        assert caught.value.args == shown


def test_chained_exceptions_stay_inside_too(run, rooms, home, book, instance, capfd):
    def fail(frame):
        try:
            raise KeyError(MARKER)
        except KeyError as cause:
            raise RuntimeError(MARKER) from cause

    rooms.train = fail
    result = run("source", "adapter")
    assert MARKER not in everything_written(home, instance, result) + "".join(capfd.readouterr())


def test_what_is_printed_near_the_rows_stays_inside(run, rooms, home, instance, capfd):
    def chatter(frame):
        print(MARKER)
        sys.stderr.write(MARKER)
        os.write(1, MARKER.encode())
        os.write(2, MARKER.encode())
        logging.getLogger("some.library").warning(MARKER)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn(MARKER, stacklevel=1)

    handler = logging.StreamHandler(sys.__stderr__)
    logging.getLogger("some.library").addHandler(handler)
    rooms.train = chatter
    result = run("source", "adapter")
    logging.getLogger("some.library").removeHandler(handler)
    assert result.success
    assert MARKER not in everything_written(home, instance, result)
    assert MARKER not in "".join(capfd.readouterr())
    [output] = (home.sensitive / "small").glob("*/output/*")
    assert output.read_text(encoding="utf-8").count(MARKER) >= 5
    assert output.stat().st_mode & 0o777 == 0o600
    print("still here")
    assert "still here" in capfd.readouterr().out


PRINTS = """
import ctypes, os, resource, signal, sys
from pathlib import Path
from dpsynth_assets.gate.confinement import confined_output

printf, free = ctypes.CDLL(None).printf, resource.RLIM_INFINITY
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
printf(b"before\\n")
try:
    with confined_output(Path(sys.argv[1])):
        if sys.argv[2] == "full":
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, free))
        printf(b"ROW of C\\n")
        sys.__stdout__.write("ROW of Python\\n")
        sys.__stderr__.write("ROW of stderr")
except OSError:
    assert sys.argv[2] == "full"
resource.setrlimit(resource.RLIMIT_FSIZE, (free, free))
printf(b"after\\n")
print("afterwards")
"""


@pytest.mark.parametrize("disk", ["free", "full"])
def test_what_is_still_buffered_as_the_gate_closes_never_comes_out(tmp_path, disk):
    """In a process of its own, whose standard output is a file: C's and Python's streams keep whole blocks then."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    printed, kept = tmp_path / "printed", tmp_path / "kept"
    with printed.open("wb") as out:
        command = [sys.executable, "-c", PRINTS, str(kept), disk]
        subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, env=environment, check=True)
    assert sorted(printed.read_text().split()) == ["after", "afterwards", "before"]
    rows = ["ROW of C", "ROW of Python", "ROW of stderr"]
    assert disk == "full" or all(row in kept.read_text() for row in rows)


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(MARKER), SystemExit(MARKER), GeneratorExit(MARKER)])
def test_an_interrupt_leaves_a_release_that_goes_on(run, rooms, book, home, interrupt, capfd):
    def stop(frame):
        raise interrupt

    rooms.train = stop
    caught: BaseException | None = None
    try:
        run("source", "adapter")
    except BaseException as error:  # how far an interrupt gets is Dagster's business
        caught = error
    assert MARKER not in str(caught)
    assert states(book) == {"adapter": ["redeemed"]}
    assert MARKER not in "".join(capfd.readouterr())
    rooms.train = lambda frame: None
    spent = book.balance("small-bank", with_pld=False).epsilon_spent
    assert run("adapter").success
    assert states(book) == {"adapter": ["committed"]}
    assert book.balance("small-bank", with_pld=False).epsilon_spent == spent


def test_a_release_that_does_not_say_what_ran_is_forfeited(run, rooms, book, monkeypatch, failure_of):
    from dpsynth_assets.gate.passage import ChargedPassage

    monkeypatch.setattr(ChargedPassage, "finish", lambda self, event: None)
    result = run("source", "adapter")
    assert not result.success
    assert states(book) == {"adapter": ["forfeited"]}


def test_more_than_was_reserved_cannot_be_committed(run, rooms, book, monkeypatch, failure_of, home):
    from dpsynth_assets.gate.passage import ChargedPassage

    honest = ChargedPassage.finish
    monkeypatch.setattr(ChargedPassage, "finish", lambda self, *_: honest(self, PoissonSampledGaussian(0.2, 0.1, 999)))
    result = run("source", "adapter")
    text = failure_of(result, "adapter").step_failure_data.user_failure_data.description
    assert "did not accept the finished release" in text
    assert states(book) == {"adapter": ["forfeited"]}
    assert not (home.artifacts / "small" / "adapter" / "latest").exists()


def test_the_rows_are_read_once_per_grant(run, rooms, book, monkeypatch, failure_of):
    from dpsynth_assets.gate.passage import ChargedPassage

    once = ChargedPassage.rows
    monkeypatch.setattr(ChargedPassage, "rows", lambda self: (once(self), once(self))[1])
    result = run("source", "adapter")
    assert "ProtocolError" in failure_of(result, "adapter").step_failure_data.user_failure_data.description
    assert states(book) == {"adapter": ["forfeited"]}


def test_what_can_fail_without_the_rows_fails_before_they_are_paid_for(run, rooms, book, monkeypatch, failure_of):
    from dpsynth_assets.language import base_model

    def missing(name):
        raise base_model.BaseModelError("base model 'embedded' could not be loaded")

    monkeypatch.setattr(base_model, "load_base_model", missing)
    result = run("source", "adapter")
    assert "could not be loaded" in failure_of(result, "adapter").step_failure_data.user_failure_data.description
    assert states(book) == {}
    assert book.balance("small-bank", with_pld=False).epsilon_spent == 0


def test_reservations_of_dead_runs_are_given_back_and_those_of_others_are_not(reserve, run, rooms, book, instance):
    assert run("source").success
    dead = run("source").run_id  # finished, and never activated what it is made to hold here
    event = PoissonSampledGaussian(0.2, 3.0, 3)
    mine = reserve(event, owner=dead)
    foreign = reserve(event, release="x/y", owner="not-a-run")
    run("adapter")
    by_id = {charge.id: charge.state for charge in book.reservations()}
    assert by_id[mine.id] == "voided"
    assert by_id[foreign.id] == "reserved"


def test_what_a_run_held_is_given_back_when_its_process_has_died(reserve, run, book, home, rooms):
    """Dagster believes that it runs: it never heard of its end."""
    assert run("source").success
    alive, dead = str(uuid.uuid4()), str(uuid.uuid4())
    event, folder = PoissonSampledGaussian(0.2, 3.0, 3), private_folder(home.sensitive / "runs")
    charges = {owner: [reserve(event, owner=owner, key=key) for key in "ab"] for owner in (alive, dead)}
    (folder / f"{dead}.lock").touch()
    with FileLock(folder / f"{alive}.lock"):
        run("label_histogram")
    by_id = {charge.id: charge.state for charge in book.reservations()}
    assert [by_id[each.id] for each in charges[dead]] == ["voided", "voided"]
    assert [by_id[each.id] for each in charges[alive]] == ["reserved", "reserved"]


def test_without_a_ledger_nothing_starts(run, rooms, home, failure_of):
    home.ledger_file.unlink()
    failed = failure_of(run("source"), "source").step_failure_data.user_failure_data
    assert "dpsynth init" in failed.description
    assert not run("adapter").success
    assert rooms.read == 0


@pytest.mark.parametrize("key", [None, b"", b"k" * 32], ids=["gone", "empty", "another ledger's"])
def test_without_the_ledger_s_signing_key_nothing_is_charged(run, rooms, book, home, failure_of, key):
    """What could not be sealed would be paid for, and no recipient could check it."""
    assert run("source").success
    path = home.ledger_file.with_name("ledger.duckdb.key")
    path.unlink()
    if key is not None:
        path.write_bytes(key)
    result = run("adapter")
    assert not result.success
    said = str(failure_of(result, "adapter").event_specific_data)
    assert f"the signing key {path}" in said
    assert "restore it from a backup" in said
    assert rooms.read == 0
    assert book.reservations() == []


def test_the_same_source_cannot_get_a_second_budget(run, tmp_path, home, rooms, refusal_of):
    from dpsynth_assets.contract import load_contract
    from dpsynth_assets.factory import build_contract_defs
    from resources.platform import platform_resources

    assert run("source").success
    text = Path(tmp_path / "contracts" / "small.odcs.yaml").read_text(encoding="utf-8")
    other = tmp_path / "contracts" / "other.odcs.yaml"
    other.write_text(text.replace("population: small-bank", "population: another-bank"), encoding="utf-8")
    result = dg.materialize(
        [a for a in build_contract_defs(load_contract(other)).assets if a.key.path[-1] == "source"],
        resources=platform_resources(str(home.root)),
        raise_on_error=False,
    )
    text = refusal_of(result, "source").description
    assert "small-bank" in text
    assert "another-bank" in text
