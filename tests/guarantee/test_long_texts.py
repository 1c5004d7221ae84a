"""One record cannot burn a release: of a text no more is handed out than a public number of characters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from dpsynth_assets.gate.sources import source_of
from dpsynth_assets.language import finetuning
from dpsynth_assets.releases.adapter import ADAPTER
from tests.guarantee.releases import of_release
from tests.guarantee.sources import WRITERS, Record, Setting, rows

OTHERS = [Record(f"c{number}", f"my card number {number} is lost") for number in range(3)]
LONG = "a word and anöther " * 100_000

RELEASE = """
import sys
from pathlib import Path
from tests.guarantee.neighbours import recorders
from tests.guarantee.sources import Record, Setting, rows, rows_of_file

def memory(what):
    line = next(l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith(what))
    return 1024 * int(line.split()[1])

def release(frame):
    for compute in recorders().values():
        compute(setting.contract, frame, None)

setting = Setting()
release(rows(setting, [Record()]))
before = memory("VmRSS")
release(rows_of_file(setting, Path(sys.argv[1])))
print(memory("VmHWM") - before)
"""


@pytest.mark.parametrize("suffix", WRITERS)
def test_what_is_handed_out_of_a_long_text_is_its_beginning_and_nothing_of_it_moves_another(suffix):
    setting = Setting(suffix)
    bound = source_of(setting.contract).max_characters
    assert bound == 64 * setting.contract.privacy.text.max_tokens
    with_it, without = rows(setting, [*OTHERS, Record("eve", LONG)]), rows(setting, OTHERS)
    assert with_it["text"].tolist() == [*without["text"], LONG[:bound]]
    assert with_it["unit"].tolist() == [*without["unit"], "eve"]


def test_the_tokenizer_sees_no_more_of_it():
    setting, seen = Setting(), []

    def spied(tokenizer, prefixes, texts, max_tokens):
        seen.extend(texts)
        return encode(tokenizer, prefixes, seen, max_tokens)

    encode = finetuning.encode
    with mock.patch.object(finetuning, "encode", spied):
        of_release(ADAPTER, setting.contract, rows(setting, [*OTHERS, Record("eve", LONG)]))
    assert max(map(len, seen)) == source_of(setting.contract).max_characters


@pytest.mark.slow
def test_texts_of_many_megabytes_take_little_more_memory_than_their_file(tmp_path):
    """Peak of a fresh process that reads a source of 60 MB and prepares every release of it, one text half of it."""
    if not Path("/proc/self/status").exists():
        pytest.skip("peaks are read from /proc, which this system lacks")
    source, size = tmp_path / "source.jsonl", 30 * 2**20
    many = [Record(f"d{number}", "word " * (2**20 // 5)) for number in range(30)]
    WRITERS[".jsonl"]([*OTHERS, Record("eve", "word " * (size // 5)), *many], source)
    command = [sys.executable, "-c", RELEASE, str(source)]
    root = Path(__file__).parents[2]
    ran = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    assert int(ran.stdout) < 500 * 2**20
