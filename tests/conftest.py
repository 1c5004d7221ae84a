"""A small contract with a home of its own, for the tests of assets and command line.

Every sensitive text holds MARKER, so that a test can look for it wherever it must not be. The budget allows each
release once. The `rooms` fixture puts quick stand-ins in place of training, generation and the encoder: what those
tests are about is who may run when, not what a model learns.

What many tests begin with is made once a session and copied: an empty home, the ledger with the signatures, and, by
`made_once`, whatever a module's tests begin with.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import absl.logging
import hypothesis
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
# Dagster closes all handlers when it configures logging, and this one closes its stream, which would be pytest's.
absl.logging.get_absl_handler().python_handler.stream = sys.__stderr__

MARKER = "XYZZY-4471-PLUGH"
TOPICS = ("card", "loan")

CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: small
name: Small inbox
version: 1.0.0
status: active
description:
  purpose: For tests.
servers:
  - server: local
    type: local
    path: train.jsonl
    format: jsonl
schema:
  - name: messages
    logicalType: object
    physicalType: table
    description: Messages.
    properties:
      - {{name: customer, logicalType: string, required: true, classification: confidential, description: Writer.}}
      - {{name: text, logicalType: string, required: true, classification: restricted, description: What was written.}}
      - {{name: topic, logicalType: string, required: true, classification: internal, description: What it is about.}}
    customProperties:
      - property: privacy
        value:
          population: {population}
          unit: {{name: customer, column: customer, max_records: 2, public_count: 40,
                 neighbouring_relation: add_or_remove_one_unit}}
          text: {{column: text, max_tokens: 12}}
          labels:
            - {{column: topic, values: [card, loan]}}
          budget: {{epsilon: 8.0, delta: 1.0e-5}}
          base_model: {{name: "{model}"}}
          releases:
            label_histogram: {{mechanism: discrete_laplace_histogram, epsilon: 0.5}}
            adapter: {{mechanism: dp_sgd, method: lora, epsilon: 7.0, rank: 2, expected_batch_size: 8, steps: 3,
                      learning_rate: 0.001}}
          generation: {{rows: 24, max_new_tokens: 8, batch_size: 32}}
          test_split: {{path: test.jsonl, declared_public_by: owner@example.org}}
          classifier: {{target: topic}}
    quality:
      - name: text_is_present
        type: custom
        engine: greatExpectations
        severity: error
        implementation: {{type: expect_column_values_to_not_be_null, kwargs: {{column: text}}}}
team:
  members:
    - {{username: owner@example.org, role: owner}}
roles:
  - {{role: privacy_reviewer, access: approve, firstLevelApprovers: privacy@example.org}}
slaProperties:
  - {{property: retention, value: 30, unit: d}}
"""


def write_contract(folder: Path, *, population: str = "small-bank", model: str = "embedded") -> Path:
    """The contract with its source and its public test split; returns the contract's path."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, offset, marker in (("train", 0, f" {MARKER}"), ("test", 500, "")):
        rows = [
            {
                "customer": f"c{offset + row // 2}",
                "text": f"my {TOPICS[row % 2]} number {offset + row} is lost{marker}",
                "topic": TOPICS[row % 2],
            }
            for row in range(60)
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    path = folder / "small.odcs.yaml"
    path.write_text(CONTRACT.format(population=population, model=model), encoding="utf-8")
    return path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests in a home are slow: its ledger's file is opened for each transaction, up to 200 times in a run."""
    for item in items:
        if isinstance(item, pytest.Function) and "copy_of" in item.fixturenames:
            item.add_marker(pytest.mark.slow)


# No test is timed: machines that run them may be busy.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


@pytest.fixture(autouse=True)
def interrupts_as_in_a_new_process():
    """A run that was interrupted leaves SIGINT ignored, since its process ends; a test's process goes on, and others
    that it starts would inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def imports_as_in_a_new_process():
    """The command line keeps processes that it starts from importing what lies in the working directory; a test's
    process goes on, and others that it starts may need that."""
    os.environ.pop("PYTHONSAFEPATH", None)  # also where a fixture of several tests has called it


@pytest.fixture(autouse=True)
def forget_console():
    """Clears the command line's one console: the streams that it holds are a test's, and are closed after it."""

    def forget() -> None:
        module = sys.modules.get("dpsynth_assets.cli.console")
        if module is None or not module.console.cache_info().currsize:
            return
        file = module.console().file
        if file is not sys.stdout:
            file.close()
        module.console.cache_clear()

    yield forget
    forget()


@pytest.fixture(scope="session")
def copy_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """`copy_of(what, make, to)`: the folder `to` as `make()` leaves it, and what that returned. The first test of the
    session that asks for `what` makes it, all others copy it."""
    kept: dict[object, tuple[Path, Any]] = {}

    def copy(what: object, make: Callable[[], Any], to: Path) -> Any:
        if what in kept:
            shutil.rmtree(to, ignore_errors=True)
            shutil.copytree(kept[what][0], to, symlinks=True)
        else:
            folder, made = tmp_path_factory.mktemp("kept") / to.name, make()
            shutil.copytree(to, folder, symlinks=True)
            kept[what] = folder, made
        return kept[what][1]

    return copy


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where contract and home are. Modules that use `made_once` put `same_place` here."""
    return tmp_path


@pytest.fixture
def same_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder that has one name all session: what is copied into it may hold paths."""
    folder = tmp_path_factory.getbasetemp() / "same-place"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


@pytest.fixture
def made_once(same_place: Path, contract_path: Path, home, copy_of) -> Callable[[object, Callable[[], Any]], Any]:
    """`made_once(what, make)`: contract and home as `make()` leaves them, and what it returned."""
    assert home.root.parent == same_place, "a copy elsewhere would hold paths of the place where it was made"
    text = contract_path.read_text(encoding="utf-8")
    return lambda what, make: copy_of((what, text), make, same_place)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """A folder with a random two-layer Llama and the embedded tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from dpsynth_assets.language.base_model import EMBEDDED_FOLDER

    folder = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED_FOLDER)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def contract_path(place: Path) -> Path:
    return write_contract(place / "contracts")


@pytest.fixture
def contract(contract_path: Path):
    from dpsynth_assets.contract import load_contract

    return load_contract(contract_path)


@pytest.fixture
def home(place: Path, monkeypatch: pytest.MonkeyPatch, copy_of):
    """A home folder with an empty ledger, and this process pointed at it."""
    from ledger import Ledger
    from resources.home import Home

    made = Home.at(place / "home")

    def make() -> None:
        made.create()
        Ledger.create(made.ledger_file)

    copy_of("empty home", make, made.root)
    monkeypatch.setenv("DPSYNTH_HOME", str(made.root))
    monkeypatch.setenv("DAGSTER_HOME", str(made.dagster))
    return made


def agree(contract, book) -> None:
    """Both signatures under what a contract needs."""
    from dpsynth_assets.gate.approval import sign

    for actor in ("owner@example.org", "privacy@example.org"):
        sign(contract, book, actor=actor, reason="for tests")


@pytest.fixture(name="agree")
def agree_fixture():
    return agree


@pytest.fixture
def book(home, contract, copy_of):
    """The home's ledger, in which the small contract is approved."""
    from ledger import Ledger

    made = Ledger(home.ledger_file)
    approved = repr(replace(contract, path=None, source=None))
    copy_of(("approved", approved), lambda: agree(contract, made), home.ledger_file.parent)
    return made


@pytest.fixture
def snapshotted(book, contract, home):
    """The ledger, with the contract's source in the store and bound, and nothing spent."""
    from dpsynth_assets.gate.binding import bind
    from dpsynth_assets.gate.sources import source_of
    from resources.sensitive_store import SensitiveStore

    store = SensitiveStore(home=str(home.root))
    bind(contract, store.ingest(source_of(contract)), book, store)
    return book


@pytest.fixture
def query(home):
    """The rows that SQL gives of the home's published tables."""
    from dpsynth_assets.publish.query import query
    from dpsynth_assets.publish.warehouse import PARQUET
    from resources.heads import open_ledger
    from resources.seals import digests_of_tables

    return lambda sql: query(home.warehouse, sql, digests_of_tables(open_ledger(home), home.warehouse / PARQUET)).rows


@pytest.fixture
def reserve(snapshotted, contract, home):
    """Reserve an event against the small contract's population and source."""
    from dpsynth_assets.gate.sources import source_of
    from resources.sensitive_store import SensitiveStore

    def make(event, population="small-bank", release="small/adapter", key="key", owner="run"):
        source = SensitiveStore(home=str(home.root)).latest(source_of(contract)).identity
        return snapshotted.reserve(
            population, event, source=source, release=release, key=key, owner=owner, plan_digest="d" * 64
        )

    return make


def put_stand_ins(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Quick stand-ins. `read` counts the frames that training was given; `train` may be replaced."""
    import numpy as np
    import pandas as pd

    from dpsynth_assets.classify import encoder
    from dpsynth_assets.language import base_model, finetuning, generation
    from dpsynth_assets.quality import rules
    from dpsynth_assets.safety import export

    state = SimpleNamespace(read=0, train=lambda frame: None)

    def fine_tune(contract, plan, rows, folder, progress=None, checkpoints=None, prepared=None, launch=None):
        state.read += 1
        frames = list(rows)
        state.train(pd.concat(frames, ignore_index=True) if frames else None)
        (folder / "adapter.txt").write_text("an adapter", encoding="utf-8")
        if progress:
            progress(plan.mechanism.steps, plan.mechanism.steps)
        return finetuning.FineTuned(folder, plan.event() if plan.mechanism.is_private else None)

    def generate_corpus(contract, adapter_folder, counts, rows=None, progress=None, shards=None, draw=None, pool=None):
        columns = [label.column for label in contract.privacy.labels]
        cells = [contract.cells[row % 2 % len(contract.cells)] for row in range(rows)]
        texts = [f"please help me with the {(*cell, 'card')[0]} of mine, case {row}" for row, cell in enumerate(cells)]
        return pd.DataFrame(
            [(text, *cell) for text, cell in zip(texts, cells, strict=True)],
            columns=[contract.privacy.text.column, *columns],
        )

    class MiniLM:
        def __init__(self, folder=None, *, max_tokens=256):
            self.max_tokens = max_tokens

        def cut_to(self, max_tokens):
            return self

        def tokenize(self, texts):
            return [list(text.encode())[: self.max_tokens] for text in texts]

        def encode(self, texts, progress=None):
            vectors = np.zeros((len(texts), 384), dtype=np.float32)
            vectors[:, 0] = [1.0 if "card" in text else -1.0 for text in texts]
            return vectors

    monkeypatch.setattr(finetuning, "fine_tune", fine_tune)
    monkeypatch.setattr(
        finetuning, "prepare", lambda contract, plan: base_model.load_base_model(contract.privacy.base_model.name)
    )
    monkeypatch.setattr(generation, "generate_corpus", generate_corpus)
    monkeypatch.setattr(encoder, "MiniLM", MiniLM)
    monkeypatch.setattr(export, "device_encoder", MiniLM)
    monkeypatch.setattr(rules, "check_rules", lambda contract: ())
    monkeypatch.setattr(base_model, "load_base_model", lambda name: None)
    of_hub, real = re.compile(r"[\w.-]+/[\w.-]+"), base_model.load_tokenizer
    monkeypatch.setattr(base_model, "load_tokenizer", lambda name: None if of_hub.fullmatch(name) else real(name))
    return state


@pytest.fixture
def rooms(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Quick stand-ins (`put_stand_ins`)."""
    return put_stand_ins(monkeypatch)


@pytest.fixture
def definitions(contract, home, book):
    """The contract's assets with resources on the test's home."""
    import dagster as dg

    from dpsynth_assets.factory import build_contract_defs
    from resources.platform import platform_resources

    return dg.Definitions.merge(
        build_contract_defs(contract), dg.Definitions(resources=platform_resources(str(home.root)))
    )
