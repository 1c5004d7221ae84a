"""A contract of real types, a corpus file and the verdict on it, without running the rules."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pyarrow.parquet as pq
import pytest

from dpsynth_assets.contract import Column, Contract
from dpsynth_assets.contract.terms import PrivacyTerms
from dpsynth_assets.publish import warehouse
from dpsynth_assets.publish.query import query as ask
from dpsynth_assets.publish.release import ReleaseRecord
from dpsynth_assets.quality.digest import digest_of_table
from dpsynth_assets.quality.rules import rules_of
from dpsynth_assets.quality.verdict import RuleResult, Verdict

TERMS = {
    "population": "bank-customers",
    "unit": {
        "name": "customer",
        "column": "customer_id",
        "max_records": 4,
        "public_count": 100,
        "neighbouring_relation": "add_or_remove_one_unit",
    },
    "text": {"column": "message", "max_tokens": 64},
    "labels": [{"column": "topic", "values": ["card", "loan"]}],
    "budget": {"epsilon": 10.0, "delta": 1e-6},
    "releases": {
        "label_histogram": {"mechanism": "discrete_laplace_histogram", "epsilon": 1.0},
        "adapter": {
            "mechanism": "dp_sgd",
            "method": "lora",
            "epsilon": 7.0,
            "expected_batch_size": 10,
            "steps": 10,
            "learning_rate": 0.01,
        },
    },
    "generation": {"rows": 4, "max_new_tokens": 16},
    "test_split": {"path": "test.parquet", "declared_public_by": "owner@example.org"},
    "classifier": {"target": "topic"},
}


@pytest.fixture
def contract():
    return Contract(
        id="inbox",
        version="1.0.0",
        name="Customer inbox",
        description="What customers write to their bank.",
        path=Path("inbox.odcs.yaml"),
        digest="c" * 64,
        owners=("owner@example.org",),
        approvers=(),
        retention_days=30,
        table="messages",
        columns=(
            Column("customer_id", "string", True, "Who wrote", "restricted"),
            Column("message", "string", True, "The customer's words", "restricted"),
            Column("topic", "string", True, "What it's about", None),
        ),
        source="inbox.parquet",
        privacy=PrivacyTerms.model_validate(TERMS),
        quality=(),
    )


@pytest.fixture
def corpus(tmp_path):
    """Write a corpus as the generator would leave it, beside the warehouse."""

    def write(*messages):
        path = tmp_path / "artifacts" / "corpus.parquet"
        path.parent.mkdir(exist_ok=True)
        topics = ["card" if i % 2 else "loan" for i in range(len(messages))]
        pd.DataFrame({"message": list(messages), "topic": topics}).to_parquet(path, index=False)
        return path

    return write


@pytest.fixture
def judged(contract):
    """A verdict on a stored corpus, under all rules of the contract; `fails` names rules that did not hold."""

    def judge(path, *, fails=(), under=None):
        under = under or contract
        results = tuple(
            RuleResult(rule.name, rule.expectation, rule.blocking, rule.name not in fails, {"n": 1}, rule.description)
            for rule in rules_of(under)
        )
        passed = all(result.passed for result in results if result.blocking)
        return Verdict(passed, results, digest_of_table(pq.read_table(path)), under.digest, len(pd.read_parquet(path)))

    return judge


@pytest.fixture
def release():
    """A release record; keyword arguments replace its fields."""
    record = ReleaseRecord(
        id="r1",
        contract="inbox",
        contract_version="1.0.0",
        table="messages",
        population="bank-customers",
        unit="customer",
        neighbouring_relation="add_or_remove_one_unit",
        epsilon=8.0,
        delta=1e-6,
        rows=2,
        created="2030-01-01T00:00:00+00:00",
        receipts=({"event": "poisson_sampled_gaussian", "entry": 7, "hash": "ab12"},),
    )
    return lambda **changes: replace(record, **changes)


class Tables:
    """Stands in for the ledger: remembers what was sealed, by its bytes."""

    digests: ClassVar[dict[Path, bytes]] = {}

    def state(self, path):
        known = self.digests.get(path)
        return "unsealed" if known is None else "sealed" if known == path.read_bytes() else "changed"

    def seal(self, path):
        self.digests[path] = path.read_bytes()


def digests_in(folder):
    """What the stand-in has sealed below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(data).hexdigest()
        for path, data in Tables.digests.items()
        if path.is_relative_to(folder)
    }


def query(home, sql, limits=None):
    """Columns and rows, asked of the tables that the stand-in has sealed in this folder."""
    answer = ask(home, sql, digests_in(home / "parquet"), limits)
    return answer.columns, answer.rows


def publish(home, path, **given):
    """Publish where a stand-in for the ledger seals everything."""
    return warehouse.publish(home, path, tables=Tables(), **given)


@pytest.fixture
def put(home, corpus, judged, release, contract):
    """Publish two messages (or those given) as a release."""

    def act(*messages, under=contract, **changes):
        messages = messages or ("hello there", "good bye")
        path = corpus(*messages)
        record = release(rows=len(messages), contract=under.id, **changes)
        return publish(home, path, contract=under, release=record, verdict=judged(path, under=under))

    return act


@pytest.fixture
def home(tmp_path):
    """A warehouse folder whose name would break unquoted SQL and unescaped globs."""
    return tmp_path / "it's [a] home" / "warehouse"
