"""The tutorial's commands, one after another as they stand there, in an empty folder."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.commands import ROOT

pytestmark = pytest.mark.slow

TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", TUTORIAL, re.MULTILINE | re.DOTALL)
EXIT_CODE = re.compile(r"# .*exit code (\d)")


def test_the_tutorial_ends_in_a_table_that_a_recipient_verifies(dpsynth, tmp_path: Path, monkeypatch, rooms):
    """In process, with stand-ins for training, drawing and the encoder, which take a minute of a processor and have
    tests of their own: what is under test is that each command does what the page says, charges and refusals too."""
    monkeypatch.setenv("DPSYNTH_HOME", str(tmp_path / "letters" / ".dpsynth"))
    monkeypatch.chdir(tmp_path)
    said: dict[str, str] = {}
    for block in BLOCKS:
        if "dpsynth" not in block:
            script = block.replace("python -", f"{shlex.quote(sys.executable)} -")
            subprocess.run(["bash", "-euc", script], check=True)
            monkeypatch.chdir(tmp_path / "letters")
            continue
        for line in block.replace("\\\n", " ").splitlines():
            wanted = int(found[1]) if (found := EXIT_CODE.search(line)) else 0
            words, into = of_shell(line)
            code, out, err = dpsynth(*words)
            assert code == wanted, f"{line}\n{out}{err}"
            said[line] = " ".join(out.split())
            if into:
                Path(into).write_text(out, encoding="utf-8")
    assert said['dpsynth sql "SELECT kind, count(*) AS letters FROM letters.letters GROUP BY kind"'].count("│") == 6
    plan, run = (said[f"dpsynth {verb} contracts/letters.odcs.yaml"] for verb in ("plan", "run"))
    assert "ε 7.32 of 8" in TUTORIAL
    assert "ε 7.32 if each may be chosen" in plan
    assert "ε 7.311 spent" in run
    assert "byte for byte" in said["dpsynth verify letters.letters/*.parquet --key publisher.key"]
    assert not list(Path(".dpsynth/sensitive/letters").rglob("*.parquet")), "the copies are deleted"
    assert Path(".dpsynth/audit/report.html").is_file()


def of_shell(line: str) -> tuple[list[str], str | None]:
    """The arguments of a `dpsynth` line as a shell hands them over, and the file that its output goes to."""
    program, *words = shlex.split(line, comments=True)
    assert program == "dpsynth", line
    into = words[words.index(">") + 1] if ">" in words else None
    words = words[: words.index(">")] if into else words
    return [each for word in words for each in (sorted(map(str, Path().glob(word))) if "*." in word else [word])], into
