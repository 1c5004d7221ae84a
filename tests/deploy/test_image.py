"""What the image is made of, as far as it can be said without Docker; and the scripts beside it."""

from __future__ import annotations

import re
import stat
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
LET_IN = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]


def copied() -> list[str]:
    """What is copied from the build's folder."""
    lines = re.findall(r"^COPY (?!--from)(?:--\S+ )*(.*)$", DOCKERFILE, re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def is_let_in(path: str) -> bool:
    """As Docker reads .dockerignore: the last pattern that matches the path, or a folder above it, decides."""
    within = [path, *(str(above) for above in Path(path).parents)]
    decided = True
    for line in LET_IN:
        pattern = line.removeprefix("!").removeprefix("**/")
        parts = [Path(each).name for each in within] if line.startswith("**/") else within
        if any(fnmatch(each, pattern) and ("/" not in each or "/" in pattern) for each in parts):
            decided = line.startswith("!")
    return decided


def test_what_is_copied_is_there_and_let_in():
    assert copied()
    for path in copied():
        assert (ROOT / path).exists(), path
        assert is_let_in(path), path


@pytest.mark.parametrize(
    "path",
    [".git/config", ".dpsynth/ledger/ledger.duckdb", "data/inbox/train.jsonl", "deploy/secrets/runs.pgpass",
     "contracts/inbox.odcs.yaml", ".venv/bin/python", "ledger/__pycache__/book.pyc"],
)  # fmt: skip
def test_nothing_else_is(path):
    assert not is_let_in(path)


def test_every_package_is_in_it():
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {each.removesuffix("*") for each in found} <= set(copied())


def test_remarks_stand_on_lines_of_their_own():
    """Docker takes one behind an instruction for a part of it."""
    instructions = re.findall(r"^[A-Z]+ .*", DOCKERFILE, re.MULTILINE)
    assert [line for line in instructions if " # " in line] == []


def test_it_is_pinned_by_the_lock():
    for install in re.findall(r"pip install .*", DOCKERFILE):
        assert "--constraint /src/requirements.lock" in install


def test_it_runs_as_the_account_that_owns_the_volumes():
    user = re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)[-1]
    assert user == "10001:10001"
    assert f'user: "{user}"' in (DEPLOY / "compose.yaml").read_text()
    pod = (DEPLOY / "kubernetes/base/dpsynth.yaml").read_text()
    assert {f"{key}: 10001" in pod for key in ("runAsUser", "runAsGroup", "fsGroup")} == {True}


@pytest.mark.parametrize("script", sorted(DEPLOY.rglob("*.sh")), ids=lambda path: path.name)
def test_every_script_is_one_of_a_plain_shell(script):
    subprocess.run(["sh", "-n", script], check=True)
    assert script.read_text().splitlines()[0] == "#!/bin/sh"
    assert script.stat().st_mode & stat.S_IXUSR


def test_passwords_are_made_once_and_lie_in_a_closed_folder(tmp_path):
    script = tmp_path / "secrets.sh"
    script.write_text((DEPLOY / "secrets.sh").read_text())
    subprocess.run(["sh", script, "db.example.org"], check=True, umask=0)
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert made.keys() == {"interface.pgpass", "runs.pgpass", "keeper.pgpass", "postgres-password", "ui-token"}
    lines = [line.split(":") for name in ("runs.pgpass", "keeper.pgpass") for line in made[name].splitlines()]
    assert [line[:4] for line in lines] == [
        ["db.example.org", "*", "dagster", "dagster"],
        ["db.example.org", "*", "ledger", "spender"],
        ["db.example.org", "*", "ledger", "keeper"],
    ]
    passwords = {line[4] for line in lines} | {made["postgres-password"], made["ui-token"]}
    assert len(passwords) == 5
    assert {len(each) for each in passwords} == {48}
    assert made["interface.pgpass"] == made["runs.pgpass"].splitlines()[0] + "\n"
    again = subprocess.run(["sh", script], capture_output=True, text=True)
    assert (again.returncode, "is there already" in again.stderr) == (2, True)
    assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == made
