"""The tokens that a text starts from: as words, in a chat model's turns, and the same in training and sampling."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from transformers import AutoTokenizer

from dpsynth_assets.contract.prompt import Prompt
from dpsynth_assets.language import finetuning, generation, job, local_writer
from dpsynth_assets.language.base_model import EMBEDDED_FOLDER, BaseModelError
from dpsynth_assets.language.objective import encode_prefix
from dpsynth_assets.language.prompts import PromptError, encoding_of, prefixes_of, turns_of
from dpsynth_assets.language.writing import Request
from dpsynth_assets.privacy.plan import TrainingPlan

TURNS = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]\n{% endif %}"
)


@pytest.fixture
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(EMBEDDED_FOLDER)


@pytest.fixture
def chat(tokenizer: Any) -> Any:
    tokenizer.chat_template = TURNS
    return tokenizer


def asking(contract: Any, template: str = "A message about {topic}. It is {safety}.", **terms: Any) -> Any:
    prompt = Prompt(template=template, **terms)
    return replace(contract, privacy=contract.privacy.model_copy(update={"prompt": prompt}))


def read(tokenizer: Any, contract: Any) -> str:
    """What the first cell's texts follow on."""
    return str(tokenizer.decode(prefixes_of(contract, tokenizer)[contract.cells[0]]))


def test_without_a_prompt_texts_follow_on_their_labels_whatever_the_model_is(inbox: Any, chat: Any) -> None:
    prefixes = prefixes_of(inbox, chat)
    assert prefixes == {cell: encode_prefix(chat, inbox.plain_label(cell)) for cell in inbox.cells}


def test_a_prompt_is_put_in_a_chat_model_s_turns_unless_it_is_not_to_be(inbox: Any, chat: Any) -> None:
    asked = "A message about card lost. It is safe.\n"
    assert read(chat, asking(inbox)) == f"<bos>[user] {asked}[assistant]\n"
    assert read(chat, asking(inbox, turns="never")) == f"<bos>{asked}"
    chat.chat_template = None
    assert read(chat, asking(inbox)) == f"<bos>{asked}"


def test_examples_are_answers_to_the_same_before(inbox: Any, chat: Any) -> None:
    request = Request("A loan?", examples=("Yes.", "No."))
    asked = f"{'[user] A loan?'}\n[assistant] "
    read = chat.decode(encoding_of(turns_of(asking(inbox)), chat)(request))
    assert read == f"<bos>{asked}Yes.\n{asked}No.\n{asked}".rstrip() + "\n"
    plain = chat.decode(encoding_of(turns_of(inbox), chat)(request))
    assert plain == "<bos>A loan?\nYes.<eos><bos>A loan?\nNo.<eos><bos>A loan?\n"


def test_what_was_asked_before_stands_before_in_turns_or_as_documents_did(inbox: Any, chat: Any) -> None:
    contract, request = asking(inbox), Request("A loan?", before=(("A dog?", "Wuff."),))
    turns = chat.decode(encoding_of(turns_of(contract), chat)(request))
    assert turns == "<bos>[user] A dog?\n[assistant] Wuff.\n[user] A loan?\n[assistant]\n"
    plain = chat.decode(encoding_of(turns_of(asking(inbox, turns="never")), chat)(request))
    assert plain == "<bos>A dog?\nWuff.<eos><bos>A loan?\n"
    with pytest.raises(PromptError, match=r"'<eos>'.*a demonstration"):
        encoding_of(turns_of(contract), chat)(Request("A loan?", before=(("A dog?", "Wuff.<eos>"),)))


def test_every_cell_has_a_prefix_of_its_own(inbox: Any, chat: Any) -> None:
    assert len(set(prefixes_of(asking(inbox), chat).values())) == len(inbox.cells)


def test_a_prompt_with_a_mark_of_the_tokenizer_is_refused(inbox: Any, chat: Any) -> None:
    """The contract knows the usual markers only; this one would end what is asked."""
    with pytest.raises(PromptError, match=r"'<eos>'.*leave it out of `prompt.template`"):
        prefixes_of(asking(inbox, "{topic} {safety}<eos>"), chat)
    chat.add_tokens(["<turn>"])
    with pytest.raises(PromptError, match="'<turn>'"):
        prefixes_of(asking(inbox, "{topic} {safety}<turn>"), chat)


@pytest.fixture
def chatting(inbox: Any, tiny_model: Any, chat: Any, tmp_path: Any) -> Any:
    """The demo contract in words, with a tiny model that has turns."""
    folder = shutil.copytree(tiny_model, tmp_path / "chatting")
    chat.save_pretrained(folder)
    terms = inbox.privacy
    adapter = terms.releases.adapter.model_copy(update={"rank": 2, "steps": 2, "noise_bands": 1, "canaries": None})
    update = {
        "base_model": terms.base_model.model_copy(update={"name": str(folder)}),
        "generation": terms.generation.model_copy(update={"max_new_tokens": 6}),
        "releases": terms.releases.model_copy(update={"adapter": adapter}),
    }
    return asking(replace(inbox, privacy=terms.model_copy(update=update)))


@pytest.mark.slow
def test_training_and_sampling_ask_alike(chatting: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: dict[tuple[str, ...], tuple[int, ...]] = {}
    sampled: list[tuple[int, ...]] = []
    plan = TrainingPlan.from_contract(chatting)
    columns = [label.column for label in chatting.privacy.labels]
    rows = [(str(at), f"a message, number {at}", *cell) for at, cell in enumerate(chatting.cells)]

    def train(model: Any, data: Any, *args: Any, **kwargs: Any) -> Any:
        for cell, record in zip(chatting.cells, data._records, strict=True):
            trained[cell] = record.ids[: record.prefix]
        return SimpleNamespace(steps=plan.mechanism.steps, attempts=[plan.mechanism.steps])

    class Sampler:
        def sample(self, prefixes: Any, seed: int, told: Any = None) -> list[list[int]]:
            sampled.extend(prefixes)
            return [[at % 100 + 10, 20 + at // 100, 30] for at, _ in enumerate(prefixes)]

    monkeypatch.setattr(job, "train", train)
    monkeypatch.setattr(local_writer, "sampler_for", lambda *_, **__: Sampler())
    finetuning.fine_tune(chatting, plan, [pd.DataFrame(rows, columns=["unit", "text", *columns])], tmp_path / "adapter")
    counts = dict.fromkeys(chatting.cells, 1)
    generation.generate_corpus(chatting, tmp_path / "adapter", counts, rows=len(counts))
    assert [trained[cell] for cell in chatting.cells] == sampled[: len(counts)]
    assert "[assistant]" in AutoTokenizer.from_pretrained(EMBEDDED_FOLDER).decode(sampled[0])


def test_the_loss_is_on_the_text_alone(chatting: Any) -> None:
    plan = TrainingPlan.from_contract(chatting)
    ready = finetuning.prepare(chatting, plan)
    shortest, longest = (function(map(len, ready.prefixes.values())) for function in (min, max))
    assert (ready.prefix, ready.longest) == (shortest, longest + plan.max_tokens)


def test_a_prompt_counts_towards_what_the_model_reads_at_once(chatting: Any) -> None:
    """And is said before anything is charged."""
    config = Path(chatting.privacy.base_model.name) / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": 90}))
    tokenizer = AutoTokenizer.from_pretrained(config.parent)
    long = asking(chatting, "{topic} {safety}" + " and so on" * 10)
    prompt = max(map(len, prefixes_of(long, tokenizer).values()))
    plan = replace(TrainingPlan.from_contract(long), max_tokens=90 - prompt)
    finetuning.prepare(long, plan)
    with pytest.raises(BaseModelError, match=rf"its prompt of {prompt} tokens.*from {91 - prompt} to {90 - prompt} or"):
        finetuning.prepare(long, replace(plan, max_tokens=91 - prompt))
    endless = asking(chatting, "{topic} {safety}" + " and so on" * 100)
    with pytest.raises(BaseModelError, match=r"may have \d+: shorten `prompt.template`, or name"):
        finetuning.prepare(endless, TrainingPlan.from_contract(endless))


def test_what_follows_a_special_token_is_no_part_of_a_text(
    chatting: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chat model that goes on after its turn speaks for the user: nobody asked."""
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED_FOLDER)
    said, more = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("my card", "user says"))
    drawn = [*said, tokenizer.bos_token_id, *more]
    sampler = SimpleNamespace(sample=lambda prefixes, *_: [drawn for _ in prefixes])
    monkeypatch.setattr(local_writer, "load_tuned", lambda *_: (None, tokenizer))
    monkeypatch.setattr(local_writer, "sampler_for", lambda *_, **__: sampler)
    draw = generation._drawing(chatting, tmp_path, None)
    assert list(draw([([chatting.cells[0]], 0)], lambda _: None)) == [(0, ["my card"])]


def test_a_released_word_that_is_a_mark_of_the_tokenizer_is_asked_of_nobody(
    chatting: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No contract could leave it out, so no text has it; the others are written."""
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED_FOLDER)
    tokenizer.add_tokens(["zork"])
    said = tokenizer("my card", add_special_tokens=False)["input_ids"]
    asked: list[Any] = []
    sampler = SimpleNamespace(sample=lambda prefixes, *_: asked.extend(prefixes) or [said for _ in prefixes])
    monkeypatch.setattr(local_writer, "load_base_model", lambda *_: (None, tokenizer))
    monkeypatch.setattr(local_writer, "sampler_for", lambda *_, **__: sampler)
    writer = local_writer.LocalWriter(local_writer.LocalModel.of(chatting, None, "float32"))
    requests = [Request(f"Use these words: {word}.", words=(word,)) for word in ("card", "zorks", "pin")]
    assert writer.write(requests, 0) == ["my card", "", "my card"]
    assert len(asked) == 2
    with pytest.raises(PromptError, match="'zork'"):
        writer.write([Request("Write about a zork.")], 0)
