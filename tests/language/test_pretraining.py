"""The recipe of the embedded base model, on a toy; and the model that came of it."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpsynth_assets import language
from dpsynth_assets.language.documents import read_documents
from dpsynth_assets.language.pretraining import corpus, training
from dpsynth_assets.language.pretraining.recipe import Recipe
from dpsynth_assets.language.pretraining.run import run

EMBEDDED = Path(language.__file__).parent / "embedded"

TOY = Recipe(
    tokens=20 * 4 * 32,
    vocab_size=400,
    hidden_size=32,
    layers=1,
    heads=2,
    mlp_size=64,
    length=32,
    batch=4,
    warmup_steps=5,
    piece_chars=120,
    max_repeats=1,
)
WORDS = [
    "the",
    "card",
    "of",
    "my",
    "account",
    "was",
    "not",
    "sent",
    "to",
    "a",
    "new",
    "address",
    "and",
    "I",
    "still",
    "wait",
    "for",
    "2",
    "payments",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    rng = np.random.default_rng(0)
    lines = []
    for i in range(400):
        text = " ".join(rng.choice(WORDS, 20)) + ". " + " ".join(rng.choice(WORDS, 15)) + "?"
        lines.append({"source": ("letters", "clinc150")[i % 2], "text": text})
    path = tmp_path_factory.mktemp("text") / "toy.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def train(out: Path, data: str, **options: Any) -> None:
    out.mkdir(exist_ok=True)
    training.train(out, corpus.prepare(data, out, TOY), TOY, compiled=False, log_every=4, **options)


def log_of(out: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "loss.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "cpu_seconds"} for line in lines]


def test_a_killed_run_ends_as_an_uninterrupted_one(data: str, tmp_path: Path) -> None:
    import torch

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(whole, data)
    train(killed, data, stop_after=10, save_seconds=0)  # the last checkpoint, in the middle of a log interval
    train(killed, data, stop_after=14)  # four steps are lost with the process
    train(killed, data)

    assert log_of(killed) == log_of(whole)
    assert log_of(whole)[-1]["step"] == TOY.steps == 20
    ends = [torch.load(out / "checkpoint.pt", weights_only=True)["model"] for out in (whole, killed)]
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_the_run_learns_and_is_judged_as_exported(data: str, tmp_path: Path) -> None:
    run(data, tmp_path, TOY, compiled=False)

    summary = json.loads((tmp_path / "summary.json").read_text())
    assert set(summary["held_out"]) <= {"letters", "clinc150"}
    assert summary["held_out"]
    assert all(0 < loss["nats_per_token"] < math.log(TOY.vocab_size) for loss in summary["held_out"].values())
    assert (tmp_path / "samples.txt").read_text().strip()
    assert (tmp_path / "loss.png").stat().st_size > 1000
    with pytest.raises(SystemExit, match="another recipe"):
        run(data, tmp_path, Recipe(tokens=1), compiled=False)


@pytest.mark.slow
def test_two_processes_train_one_model(data: str, tmp_path: Path) -> None:
    """The shares of a batch are averaged to what one process would have computed, up to rounding.

    Muon orthogonalises in bfloat16, which makes rounding visible in single weights; it is small beside what the
    training did to them.
    """
    import torch

    train(tmp_path / "one", data)
    (tmp_path / "two").mkdir()
    corpus.prepare(data, tmp_path / "two", TOY)
    program = f"""
import pathlib, torch.distributed
from dpsynth_assets.language.pretraining.corpus import prepare
from dpsynth_assets.language.pretraining.recipe import Recipe
from dpsynth_assets.language.pretraining.training import train
torch.distributed.init_process_group("gloo")
out, recipe = pathlib.Path({str(tmp_path / "two")!r}), {TOY!r}
train(out, prepare("", out, recipe), recipe, compiled=False)
torch.distributed.destroy_process_group()
"""
    (tmp_path / "program.py").write_text(program)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    root = str(Path(language.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    launch.append(str(tmp_path / "program.py"))
    subprocess.run(launch, check=True, env=environment, capture_output=True, timeout=300)

    ends = [torch.load(tmp_path / n / "checkpoint.pt", weights_only=True)["model"] for n in ("one", "two")]
    start = training.new_model(corpus.prepare("", tmp_path / "one", TOY), TOY).state_dict()
    for name in ends[0]:
        moved, apart = (ends[0][name] - start[name]).norm(), (ends[0][name] - ends[1][name]).norm()
        assert apart < 0.1 * moved, name


def test_held_out_documents_are_not_trained_on() -> None:
    texts = [f"Document number {i} is about something else." for i in range(3000)]
    documents = [("letters", text) for text in texts] + [("copies", texts[7])]
    trained, held_out = corpus.gather(documents, limit=200)

    assert not {t for side in trained.values() for t in side} & {t for side in held_out.values() for t in side}
    assert sum(map(len, trained.values())) + sum(map(len, held_out.values())) == len(documents)
    assert 10 < len(held_out["letters"]) < 60


@pytest.mark.parametrize(
    "text",
    ["One. Two! Three? Four.", "a " * 300 + "end.", "x" * 500, "Short.", "  Spaces  stay  inside. Of a  sentence. "],
)
def test_pieces_lose_nothing_but_space(text: str) -> None:
    parts = list(corpus.pieces(text, 100))
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert all(0 < len(part) <= 100 for part in parts)


def test_a_recipe_of_another_width_keeps_its_proportions() -> None:
    wide = TOY.of(320)
    assert (wide.hidden_size, wide.heads, wide.mlp_size) == (320, 5, 848)
    assert TOY.of(256).mlp_size == Recipe.mlp_size
    with pytest.raises(ValueError, match="multiple of 64"):
        TOY.of(100)


def test_user_turns() -> None:
    dialogue = "User: I need a flight. Assistant: Where to? User: To Rome, please."
    assert corpus.user_turns(dialogue) == ["I need a flight.", "To Rome, please."]


def test_rows_begin_with_a_document() -> None:
    documents = [np.full(n, n, np.uint16) for n in (3, 4, 5, 9, 2)]
    rows = corpus.pack(documents, 6)
    assert rows.tolist() == [[3, 3, 3, 4, 4, 4], [5, 5, 5, 5, 5, 9]]
    assert corpus.pack([], 6).shape == (0, 6)


def test_each_pass_sees_each_row_once() -> None:
    seen = [row for step in range(15) for row in training.batch_rows(step, 20, TOY)]
    passes = [seen[:20], seen[20:40], seen[40:]]
    assert all(sorted(one) == list(range(20)) for one in passes)
    assert passes[0] != passes[1]


def test_learning_rate_warms_up_holds_and_ends_at_zero() -> None:
    long = replace(TOY, tokens=100 * TOY.batch * TOY.length)
    rates = [training.schedule(step, long) for step in range(101)]
    assert rates[0] == pytest.approx(1 / TOY.warmup_steps)
    assert rates[10] == rates[59] == 1
    assert rates[80] == pytest.approx(1 / 2)
    assert rates[100] == 0


def test_no_data_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="--data"):
        list(read_documents(str(tmp_path / "*.jsonl")))


# --- the embedded model ---


@pytest.fixture(scope="module")
def embedded() -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(EMBEDDED)
    return model.eval(), AutoTokenizer.from_pretrained(EMBEDDED)


def test_embedded_model_is_small_and_single_precision(embedded: tuple[Any, Any]) -> None:
    import torch

    model, tokenizer = embedded
    assert 3e6 <= model.num_parameters() <= 6e6
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert sum(path.stat().st_size for path in EMBEDDED.iterdir() if path.suffix != ".idx") < 13e6
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    for holder in (model.config, model.generation_config):
        assert [getattr(holder, name) for name in names] == [getattr(tokenizer, name) for name in names]
    assert len({getattr(tokenizer, name) for name in names}) == 3


@pytest.mark.parametrize(
    "text",
    [
        "My card hasn't arrived yet, and I was charged £12.50!",
        "  Leading spaces,\ttabs\n\nand  double  spaces.  ",
        "Zürich, naïve, 東京, Ελλάδα, 🙂🏳️‍🌈, e\u0301",
        "cased Words AND acronyms like NASA , with loose commas .",
    ],
)
def test_embedded_tokenizer_returns_the_text(embedded: tuple[Any, Any], text: str) -> None:
    _, tokenizer = embedded
    ids = tokenizer(text)["input_ids"]
    assert ids[0] == tokenizer.bos_token_id
    assert max(ids) < len(tokenizer) == 8192
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_embedded_model_knows_plain_english(embedded: tuple[Any, Any]) -> None:
    """Uniform guessing is a perplexity of 8,192. Scrambled words must be worse: it is more than letter counts."""
    import torch

    model, tokenizer = embedded
    texts = [
        "I ordered a new card two weeks ago and it has not arrived. Can you help me?",
        "The president said on Tuesday that the two countries would work together to end the war.",
        "We had a great time in this apartment. The host was very friendly and everything was clean.",
    ]

    def perplexity(text: str) -> float:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.no_grad():
            return math.exp(model(input_ids=ids, labels=ids).loss.item())

    for text in texts:
        words = text.split()
        scrambled = " ".join(np.random.default_rng(1).permutation(words))
        assert perplexity(text) < 250
        assert perplexity(text) < perplexity(scrambled) / 2
