"""`dpsynth monitor`, and the job that does the same: what they find, and that it stays in the sensitive store."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import time
from dataclasses import replace

import dagster as dg
import pytest

from dpsynth_assets.assets.monitored import check_batch, yardstick
from dpsynth_assets.assets.monitoring import arrived, monitoring_definitions
from dpsynth_assets.contract.monitoring import Monitoring
from dpsynth_assets.gate.sources import source_of
from dpsynth_assets.monitoring.comparison import Texts
from resources import checks
from resources.checks import Checks
from resources.known_records import LEAST_SHARED
from resources.platform import platform_resources
from resources.sensitive_store import SensitiveStore
from tests.conftest import MARKER

LIKE = "please help me with the {topic} of mine, case {row} " + MARKER
OTHER = "the weather will be very fine on the coast tomorrow, said number {row} of all the gulls there " + MARKER


@pytest.fixture
def place(same_place):
    return same_place


def batch(path, text, *, rows=60, people=None, topics=("card", "loan"), **more):
    """A file of texts, each by another customer unless so many `people` wrote them."""
    lines = [
        {"customer": f"n{row % (people or rows)}", "text": text.format(topic=topics[row % 2], row=row)}
        | ({"topic": topics[row % 2]} if topics != (None, None) else {})
        for row in range(rows)
    ]
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return path


def outside(home):
    """All files of a home that are not in the sensitive store, with what stands in them."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in home.root.rglob("*")
        if path.is_file() and home.sensitive not in path.parents
    }


def test_what_differs_is_said_and_kept_in_the_sensitive_store_alone(dpsynth, released, home, contract_path, tmp_path):
    before = outside(home)
    code, out, err = dpsynth("monitor", contract_path, batch(tmp_path / "other.jsonl", OTHER))
    text = " ".join(out.split())
    assert (code, err) == (1, "")
    assert "Drift in" in text
    assert "weather" in text
    assert "Sensitive" in text
    [page] = home.sensitive.rglob("small.html")
    assert "Over time" not in page.read_text(encoding="utf-8"), "one check is no course"
    code, out, _ = dpsynth("monitor", contract_path, batch(tmp_path / "like.jsonl", LIKE), "--json")
    found = json.loads(out)
    assert (code, found["verdict"], found["own_error"]) == (2, "cannot be told", "test_split")
    assert {each["column"] for each in found["statistics"]} == {"text", "topic"}
    assert outside(home) == before
    kept = [path for path in home.sensitive.rglob("check-*") if path.is_dir()]
    assert len(kept) == 2
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o700}
    assert {path.stat().st_mode & 0o777 for folder in kept for path in folder.iterdir()} == {0o600}
    [page] = home.sensitive.rglob("small.html")
    assert str(page) == found["page"]
    written = page.read_text(encoding="utf-8")
    for word in ("Over time", "like.jsonl", "other.jsonl", "meaning", "labels (topic)"):
        assert word in written
    code, out, _ = dpsynth("monitor", contract_path)
    assert (code, "like.jsonl" in out) == (2, True), "without a file the last check is shown"
    for said in (" ".join(out.split()), written):
        assert "Whether texts differ in" in said
        assert "cannot be told: the table itself is too far from texts without drift" in said
        assert "nothing differs" not in said


@pytest.mark.parametrize("how", ["by name", "by a pattern", "by another name", "the snapshot"])
def test_the_source_is_no_batch_of_new_texts(dpsynth, released, home, contract_path, tmp_path, how):
    """Its rows are read under a charge, and nothing that is found of them leaves outside one."""
    source = contract_path.parent / "train.jsonl"
    given = {"by name": source, "by a pattern": source.with_name("trai*.jsonl")}.get(how, tmp_path / "new.jsonl")
    if how == "by another name":
        given.hardlink_to(source)
    elif how == "the snapshot":
        given = next(home.sensitive.rglob("rows.parquet"))
    code, out, err = dpsynth("monitor", contract_path, given)
    assert (code, out) == (2, "")
    assert "not new texts" in " ".join(err.split())
    assert list(home.sensitive.rglob("check-*")) == []


def copied(source, path, *, rows=None, changed=str):
    """A file of the texts of a source, in another format and without its other columns."""
    texts = [json.loads(line)["text"] for line in source.read_text(encoding="utf-8").splitlines()]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text"])
        writer.writerows([changed(text)] for text in [*dict.fromkeys(texts)][:rows])
    return path


@pytest.mark.parametrize(
    ("rows", "changed"), [(None, str), (20, str), (None, lambda text: f"  {text.upper()} ".replace(" ", "  "))]
)
def test_a_copy_of_the_source_is_no_batch_of_new_texts(dpsynth, released, home, contract_path, tmp_path, rows, changed):
    """Wherever it lies, in whatever form: its records are known."""
    file = copied(contract_path.parent / "train.jsonl", tmp_path / "copy.csv", rows=rows, changed=changed)
    code, out, err = dpsynth("monitor", contract_path, file)
    said = " ".join(err.split())
    assert (code, out) == (2, "")
    assert "and not new texts" in said
    assert "Give texts that were not in a source" in said
    assert MARKER not in err
    assert list(home.sensitive.rglob("check-*")) == []


def test_the_source_of_another_contract_is_none_either(dpsynth, released, home, contract, contract_path, tmp_path):
    store = SensitiveStore(home=str(home.root))
    other = batch(tmp_path / "other.jsonl", OTHER)
    source = replace(source_of(contract), contract="other", population="other-people", place=str(other))
    store.settle(source, store.ingest(source), bound=True)
    code, _, err = dpsynth("monitor", contract_path, copied(other, tmp_path / "new.csv"))
    assert (code, "and not new texts" in " ".join(err.split())) == (2, True)


def test_a_few_old_texts_among_new_ones_are_no_copy(dpsynth, released, contract_path, tmp_path):
    file = copied(contract_path.parent / "train.jsonl", tmp_path / "few.csv", rows=LEAST_SHARED - 1)
    with file.open("a", encoding="utf-8") as written:
        written.writelines(f"another case {row} of mine\n" for row in range(30))
    _, out, err = dpsynth("monitor", contract_path, file, "--json")
    assert err == ""
    assert json.loads(out)["compared"] == LEAST_SHARED - 1 + 30


def test_the_job_refuses_a_copy_of_the_source(released, home, launch, contract_path):
    arrived_as = contract_path.parent / "arrivals" / "new.jsonl"
    arrived_as.parent.mkdir()
    arrived_as.write_bytes((contract_path.parent / "train.jsonl").read_bytes())
    events = repr(launch(arrived_as, expect=False))
    assert "and not new texts" in events
    assert MARKER not in events
    assert list(home.sensitive.rglob("check-*")) == []


def test_a_file_may_lack_labels_and_people(dpsynth, released, contract_path, tmp_path):
    file = batch(tmp_path / "unlabelled.jsonl", LIKE, topics=(None, None))
    code, out, _ = dpsynth("monitor", contract_path, file, "--json")
    assert code in (0, 1)
    assert {each["column"] for each in json.loads(out)["statistics"]} == {"text"}
    file = tmp_path / "texts.csv"
    file.write_text("text\n" + "".join(f"case {row} of mine\n" for row in range(30)), encoding="utf-8")
    code, out, _ = dpsynth("monitor", contract_path, file, "--json")
    assert json.loads(out)["compared"] == 30


def test_of_each_person_one_text_is_used_and_of_few_people_nothing_is_said(dpsynth, released, contract_path, tmp_path):
    code, out, _ = dpsynth("monitor", contract_path, batch(tmp_path / "few.jsonl", OTHER, rows=80, people=19), "--json")
    found = json.loads(out)
    assert (code, found["texts"], found["verdict"], found["statistics"]) == (2, 19, "too few", [])
    code, out, _ = dpsynth("monitor", contract_path)
    assert (code, "Too few texts" in out) == (2, True)
    assert "few.jsonl: 80 texts, of which one of each customer is taken: 19." in " ".join(out.split())


def test_terminal_and_page_say_how_many_of_the_texts_are_taken(dpsynth, released, home, contract_path, tmp_path):
    for people, said in ((30, "80 texts, of which one of each customer is taken: 30."), (80, "80 texts.")):
        _, out, _ = dpsynth("monitor", contract_path, batch(tmp_path / "new.jsonl", OTHER, rows=80, people=people))
        [page] = home.sensitive.rglob("small.html")
        assert f"new.jsonl: {said}" in " ".join(out.split())
        assert f"{people} were compared with" in " ".join(out.split())
        assert f"The batch has {said} All of them were compared." in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "there is no such file of new texts"),
        ("body\nhello\n", "lacks the columns text that"),
        ("", "has no header"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(dpsynth, released, contract_path, tmp_path, content, says):
    file = tmp_path / "batch.csv"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    code, _, err = dpsynth("monitor", contract_path, file)
    assert code == 2
    assert err.startswith("error: ")
    assert says in err


def test_nothing_is_compared_before_there_is_a_table(dpsynth, book, contract_path, tmp_path):
    code, _, err = dpsynth("monitor", contract_path, batch(tmp_path / "new.jsonl", LIKE))
    assert code == 2
    assert f"small has no published table to compare with: `dpsynth run {contract_path}` makes one" in err
    assert "no batch of small was checked yet" in dpsynth("monitor", contract_path)[2]


def test_checks_are_forgotten_with_the_copies_of_their_contract(dpsynth, released, home, contract_path, tmp_path):
    dpsynth("monitor", contract_path, batch(tmp_path / "new.jsonl", OTHER))
    assert "kept     small  check-" in dpsynth("forget")[1]
    assert dpsynth("forget", contract_path, "--yes")[0] == 0
    assert not [*home.sensitive.rglob("result.json"), *home.sensitive.rglob("small.html")]
    assert dpsynth("monitor", contract_path)[0] == 2


def test_a_check_that_is_over_its_time_is_shown_no_more(home):
    checks = Checks(home.sensitive, "small")
    checks.keep({"contract": "small"}, days=0)
    assert checks.kept() == []


def test_the_page_goes_with_the_first_check_that_it_shows(home):
    checks = Checks(home.sensitive, "small")
    later, first = (checks.keep({"contract": "small"}, days) for days in (9, 3))
    checks.put_page("small.html", "an earlier one", [later])
    place = checks.put_page("small.html", "of both", [later, first])
    assert place.parent == first.folder
    assert [*home.sensitive.rglob("small.html")] == [place]


@pytest.mark.parametrize(("table", "second"), [("like the texts", "no drift"), ("as it was drawn", "cannot be told")])
def test_without_a_public_split_the_first_batch_stands_for_texts_without_drift(
    released, home, contract, tmp_path, table, second
):
    beside = replace(yardstick(contract, home), without_drift=None)
    if table == "like the texts":
        topics = ["card", "loan"] * 100
        texts = [OTHER.format(row=row) for row in range(200)]
        beside = replace(beside, table=Texts(texts, {"topic": topics}))
    verdicts = []
    for name in ("first", "second"):
        check, _ = check_batch(beside, str(batch(tmp_path / f"{name}.jsonl", OTHER)), name, home)
        verdicts.append(check.result["verdict"])
    assert verdicts == ["first", second]


@pytest.fixture
def monitored(contract):
    """The contract with a place in which new texts arrive; by the file that two people signed."""
    terms = Monitoring(batches="arrivals/*.jsonl")
    return replace(contract, privacy=contract.privacy.model_copy(update={"monitoring": terms}))


@pytest.fixture
def launch(monitored, home):
    """Run the job on a file; gives whether it succeeded, and all that Dagster then knows, without what differs from run
    to run."""

    def run(path, expect=True):
        made = dg.Definitions.merge(
            monitoring_definitions(monitored), dg.Definitions(resources=platform_resources(str(home.root)))
        )
        config = {"ops": {"monitor_small_batch": {"config": {"batch": str(path)}}}}
        with dg.DagsterInstance.ephemeral() as instance:
            result = made.resolve_job_def("monitor_small").execute_in_process(
                run_config=config, instance=instance, raise_on_error=False
            )
            assert result.success is expect
            events = instance.all_logs(result.run_id)
        return [(each.dagster_event_type, each.user_message, repr(each.dagster_event)) for each in events]

    return run


def test_a_check_that_was_cut_off_is_none(home, monkeypatch):
    """Whoever looks for a snapshot reads the manifests of all that lies there."""

    def cut(path, _):
        path.touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(checks, "write_private", cut)
    with pytest.raises(KeyboardInterrupt):
        Checks(home.sensitive, "small").keep({}, 1)
    assert list((home.sensitive / "small").glob("[!.]*")) == []


def test_the_job_says_the_same_whatever_it_found(released, home, monitored, launch, contract_path, capfd):
    before = outside(home)
    said = {}
    for name, text, rows in (("like", LIKE, 60), ("drift", OTHER, 60), ("few", OTHER, 5)):
        events = launch(batch(contract_path.parent / "arrivals" / f"{name}.jsonl", text, rows=rows))
        said[name] = [event for event, _, _ in events]
        assert MARKER not in repr(events)
        for word in ("weather", "no drift", "too few", "Drift in", "cannot be told"):
            assert word not in repr(events)
        messages = [message for _, message, _ in events if message.startswith("Compared ")]
        assert len(messages) == 1
        assert "for those who may read new texts" in messages[0]
    assert said["like"] == said["drift"] == said["few"]
    assert {check.result["verdict"] for check in Checks(home.sensitive, "small").kept()} == {
        "cannot be told",
        "drift",
        "too few",
    }
    assert outside(home) == before
    out, err = capfd.readouterr()
    assert "weather" not in out + err


def test_what_fails_in_the_job_says_its_type_only(released, home, launch, contract_path, monkeypatch):
    from dpsynth_assets.assets import monitored as body

    def fail(*_):
        raise ValueError(MARKER)

    path = batch(contract_path.parent / "arrivals" / "new.jsonl", LIKE)
    monkeypatch.setattr(body, "compare", fail)
    events = repr(launch(path, expect=False))
    assert "the check of new texts failed with ValueError" in events
    assert MARKER not in events


def test_the_job_reads_no_other_file(released, launch, contract_path, tmp_path):
    events = repr(launch(batch(tmp_path / "elsewhere" / "new.jsonl", LIKE), expect=False))
    assert "is none of the files in which small has new texts arrive" in events


def test_each_file_that_has_arrived_starts_one_run(monitored, contract_path):
    [sensor] = monitoring_definitions(monitored).sensors
    old, fresh = (batch(contract_path.parent / "arrivals" / f"{name}.jsonl", LIKE) for name in ("old", "fresh"))
    minutes_ago = time.time() - 600
    os.utime(old, (minutes_ago, minutes_ago))
    assert arrived(monitored) == [fresh, old]
    context = dg.build_sensor_context()
    requests = list(sensor(context))
    assert [each.run_config["ops"]["monitor_small_batch"]["config"]["batch"] for each in requests] == [str(old)]
    assert [each.run_key for each in sensor(context)] == [each.run_key for each in requests]


def test_a_contract_that_says_nothing_of_new_texts_has_no_job(contract):
    made = monitoring_definitions(contract)
    assert not made.jobs
    assert not made.sensors
