"""What `dpsynth export` writes, and when it writes nothing; card and report on the terminal."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys

import pandas as pd
import pytest

from dpsynth_assets.publish.parquet import load
from tests.bucket import KEY, WRITER, bucket

KILLED = """
import os, shutil, signal
from dpsynth_assets.cli import main
shutil.copytree = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
main()
"""


@pytest.fixture
def place(same_place):
    return same_place


@pytest.fixture
def export(dpsynth, contract_path, released, tmp_path):
    return lambda *options: dpsynth("export", contract_path, "--out", tmp_path / "out", *options)


@pytest.mark.parametrize(
    ("form", "read"),
    [
        ("parquet", lambda out, name: pd.read_parquet(out / name)),
        ("hf", lambda out, name: pd.read_parquet(out / "data" / name)),
        ("csv", lambda out, _: pd.read_csv(out / "messages.csv", keep_default_na=False)),
        ("jsonl", lambda out, _: pd.read_json(out / "messages.jsonl", lines=True)),
    ],
)
def test_every_form_has_the_published_rows_a_readme_and_the_sealed_card(export, dpsynth, table, tmp_path, form, read):
    code, out, err = export("--format", form)
    assert code == 0, err
    folder = tmp_path / "out"
    assert read(folder, table.name).values.tolist() == load(table).values.tolist()
    assert f"{folder}" in out
    assert dpsynth("verify", folder / "card")[0] == 0
    readme = (folder / "README.md").read_text(encoding="utf-8")
    [file] = [path for path in folder.rglob("*") if path.suffix in (".parquet", ".csv", ".jsonl")]
    assert f'"path": "{file.relative_to(folder)}"' in readme
    if form in ("parquet", "hf"):
        assert dpsynth("verify", file)[0] == 0
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_bucket_holds_the_sealed_table_with_its_readme_and_card(dpsynth, contract_path, table, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", WRITER)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with bucket() as served:
        to = f"s3://released/small/1{served.endpoint}"
        code, out, err = dpsynth("export", contract_path, "--to", to)
        assert code == 0, out + err
        assert served.objects[f"small/1/{table.name}"] == table.read_bytes()
        assert {"small/1/README.md", "small/1/card/seal.json"} <= served.objects.keys()
        assert dpsynth("export", contract_path, "--to", to)[0] == 2, "it is there already"
        code, _, err = dpsynth("export", contract_path, "--to", to, "--out", tmp_path / "out")
        assert (code, "not both" in err) == (2, True)
    code, _, err = dpsynth("export", contract_path, "--to", f"s3://me:{KEY}@released/small")
    assert (code, "no place in a bucket" in err, KEY in err) == (2, True, False)


def test_what_a_killed_export_left_goes_with_the_next_and_nothing_else_does(export, contract_path, home, tmp_path):
    command = [sys.executable, "-c", KILLED, "export", str(contract_path), "--out", str(tmp_path / "out")]
    killed = subprocess.run(command, env=os.environ | {"DPSYNTH_HOME": str(home.root)}, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    [left] = [path for path in tmp_path.iterdir() if path.name.startswith(".out.")]
    others = [tmp_path / name for name in (".out.d", ".out.abcdefgh", ".other.abcdefgh.unfinished")]
    written = tmp_path / ".out.abcdefgh.unfinished"  # by an export that still runs
    for folder in (*others, written):
        folder.mkdir()
    held = os.open(written, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        assert export()[0] == 0
    finally:
        os.close(held)
    assert not left.exists()
    assert all(folder.exists() for folder in (*others, written))
    assert {path.name for path in tmp_path.iterdir()} == {"out", written.name, *(each.name for each in others)}


def test_what_lies_there_is_not_written_over(export, tmp_path):
    assert export()[0] == 0
    before = (tmp_path / "out/README.md").stat().st_mtime_ns
    code, _, err = export("--format", "csv")
    assert code == 2
    assert "is there already: name another folder with --out" in err
    assert (tmp_path / "out/README.md").stat().st_mtime_ns == before


def test_a_place_that_cannot_be_written_is_named_as_it_was_given(export, tmp_path):
    (tmp_path / "out").write_text("a file", encoding="utf-8")
    code, _, err = export("--out", tmp_path / "out/below")
    assert code == 2
    assert f"{tmp_path}/out/below cannot be written" in err.replace("\n", "")


def test_a_form_that_is_none_is_named(export, tmp_path):
    code, _, err = export("--format", "xlsx")
    assert code == 2
    assert "--format xlsx: the rows can be written as parquet, csv, jsonl, hf" in err
    assert not (tmp_path / "out").exists()


def test_a_table_that_was_changed_is_not_exported(export, table, tmp_path):
    table.chmod(0o644)
    frame = pd.read_parquet(table)
    frame.to_parquet(table, index=False)
    code, _, err = export()
    assert code == 2
    assert "nothing was exported" in err
    assert "is not what was sealed" in err
    assert not (tmp_path / "out").exists()


def test_a_card_of_another_release_does_not_travel_with_a_table(export, store, released):
    stands = store.latest("small", "synthetic")
    with store.draft("small", "synthetic") as draft:
        made_from = {"corpus": store.latest("small", "corpus")}
        store.seal(draft, made_from=made_from, about=stands.receipt["about"])
    code, _, err = export()
    assert code == 2
    assert "has no card yet" in err
    assert "--only card` makes it, free" in err


def test_nothing_is_exported_where_nothing_is_published(dpsynth, contract_path, book, tmp_path):
    code, _, err = dpsynth("export", contract_path, "--out", tmp_path / "out")
    assert code == 2
    assert "has no synthetic yet" in err


def test_card_and_report_say_the_gist_and_where_the_page_is(dpsynth, contract_path, released, store):
    code, out, _ = dpsynth("card", contract_path)
    assert code == 0
    assert "differential privacy, adding or removing one customer" in out
    assert str(store.latest("small", "card").folder / "card.html") in out.replace("\n", "")
    code, out, _ = dpsynth("card", contract_path, "--json")
    said = json.loads(out)
    assert [each["release"] for each in said["releases"]] == ["small/label_histogram", "small/adapter"]
    assert {"noise multiplier", "sampling rate", "steps", "clipping norm"} <= said["releases"][1]["numbers"].keys()
    assert {each["approved_by"] for each in said["approvals"]} == {"privacy@example.org"}
    code, out, _ = dpsynth("report", contract_path)
    assert code == 0
    assert "MAUVE" in out
    assert str(store.latest("small", "verdict").folder / "report.html") in out.replace("\n", "")
    assert json.loads(dpsynth("report", contract_path, "--json")[1])["reference"]["name"] == "test_split"


@pytest.mark.parametrize("page", ["card", "report"])
def test_a_page_that_was_not_made_says_what_makes_it(dpsynth, contract_path, book, page):
    code, _, err = dpsynth(page, contract_path)
    assert code == 2
    assert f"has no {page}.html yet: `dpsynth run " in err


def test_a_report_is_there_of_rows_that_are_not_published(dpsynth, contract_path, released, store):
    published = store.latest("small", "verdict").id
    text = contract_path.read_text(encoding="utf-8")
    met = "{type: expect_column_values_to_not_be_null, kwargs: {column: text}}"
    unmet = "{type: expect_column_value_lengths_to_be_between, kwargs: {column: text, max_value: 3}}"
    contract_path.write_text(text.replace(met, unmet), encoding="utf-8")
    assert dpsynth("run", contract_path, "--only", "corpus", "--quiet")[0] == 1
    code, out, err = dpsynth("report", contract_path)
    assert code == 0, err
    assert "✗ text_is_present" in out
    assert store.latest("small", "verdict").id != published
