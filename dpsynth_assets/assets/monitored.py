"""A batch of new texts beside the published table, kept in the sensitive store. Free, since nothing of it leaves.

The table's side is released, and a public test split, where the contract has one, tells how far the table is from texts
without any drift. Everything else in a result is a statistic of sensitive texts that nobody was charged for: it may go
to the sensitive store and to the terminal of whoever gave the batch, and neither into metadata, logs, exit codes of
jobs, the card, nor anything that is published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpsynth_assets.assets.proof import published_rows
from dpsynth_assets.contract.monitoring import Monitoring, allowed
from dpsynth_assets.gate.approval import require_terms
from dpsynth_assets.gate.batches import batch_at
from dpsynth_assets.gate.public_rows import signed_test_rows
from dpsynth_assets.monitoring.comparison import FEWEST, NO_LABEL, Key, Texts, compare, judge
from dpsynth_assets.monitoring.page import page
from dpsynth_assets.quality.metrics.materials import TEXTS
from resources.artifact_store import ArtifactStore
from resources.checks import Check, Checks
from resources.heads import open_ledger
from resources.home import Home
from resources.sensitive_store import SensitiveStore

if TYPE_CHECKING:
    import pandas as pd

    from dpsynth_assets.contract import Contract

TEST_SPLIT, FIRST_BATCH = "test_split", "first_batch"


@dataclass(frozen=True)
class Yardstick:
    """What batches of a contract are compared with: released rows, and public ones."""

    contract: Contract
    release: str
    table: Texts
    without_drift: Texts | None


def yardstick(contract: Contract, home: Home) -> Yardstick:
    """The published table, and the public test split if the contract has one. Reads nothing sensitive.

    Raises:
        ArtifactError, PublishError, UnprovenError: there is no table, or it is not as it was sealed.
        LedgerError: the ledger cannot be used, or the contract's terms are not signed for.
        SourceError: the test split cannot be read.
    """
    require_terms(contract, open_ledger(home))
    artifacts = ArtifactStore(home=str(home.root))
    synthetic = artifacts.latest(contract.id, "synthetic")
    table = published_rows(synthetic, artifacts)
    split = contract.privacy.test_split
    tested = None if split is None else signed_test_rows(contract, SensitiveStore(home=str(home.root)))
    return Yardstick(
        contract,
        release=str(synthetic.receipt["about"]["corpus"]),
        table=_texts(contract, table, contract.privacy.text.column),
        without_drift=None if tested is None else _texts(contract, tested.drop_duplicates("unit"), "text"),
    )


def check_batch(beside: Yardstick, place: str, name: str, home: Home) -> tuple[Check, Path]:
    """Compare the batch at a place with the yardstick, and keep what was found, and the page on it, in the sensitive
    store. Gives both.

    Args:
        place: an absolute path or pattern, or an address.
        name: what the batch is called in the result.

    Raises:
        SourceError: it cannot be read, or holds records of a source that was read here.
        BaseModelError: the base model, by whose tokens texts are cut, is not here.
    """
    contract = beside.contract
    terms = contract.privacy.monitoring or Monitoring()
    checks = Checks(home.sensitive, contract.declared.id)
    earlier = [each.result for each in checks.kept() if each.result["release"] == beside.release]
    found = batch_at(contract, place, SensitiveStore(home=str(home.root)))
    labels = {column: [value or NO_LABEL for value in values] for column, values in found.labels.items()}
    batch = Texts(found.texts, labels).at_most(TEXTS)
    result: dict[str, Any] = {
        "contract": contract.id,
        "contract_digest": contract.digest,
        "release": beside.release,
        "batch": name,
        "checked": datetime.now(UTC).isoformat(timespec="seconds"),
        "unit": contract.privacy.unit.name,
        "records": found.records,
        "texts": len(found.texts),
        "compared": len(batch.texts),
        "table_texts": len(beside.table.texts),
        "false_alarm": terms.false_alarm,
        "verdict": "too few",
        "own_error": None,
        "of_test_split": [],
        "statistics": [],
        "shown": None,
    }
    if len(batch.texts) >= FEWEST:
        by, ready = TEST_SPLIT, _preparing(contract)
        table = ready(beside.table)
        compared = compare(ready(batch), table, contract.privacy.text.column, terms.false_alarm)
        if beside.without_drift is None:
            by, own = FIRST_BATCH, _of_first_batches(earlier)
        elif not (own := _of_test_split(contract, earlier)):
            public = compare(ready(beside.without_drift), table, contract.privacy.text.column, terms.false_alarm)
            own = {key: distance.size for key, distance in public.distances.items()}
        statistics = judge(compared.distances, allowed(contract.privacy), own)
        quiet = "no drift" if all(each["told"] for each in statistics) else "cannot be told"
        drifted = any(each["drifted"] for each in statistics)
        result |= {
            "verdict": "drift" if drifted else quiet if own else "first",
            "own_error": by if own else None,
            "of_test_split": [[*key, size] for key, size in own.items()] if by == TEST_SPLIT else [],
            "statistics": statistics,
            "shown": compared.shown,
        }
    kept = checks.keep(result, contract.retention_days)
    return kept, _write_page(contract, checks)


def put_page(contract: Contract, home: Home) -> tuple[Check, Path] | None:
    """The newest check of a contract, and the page on all that are kept, written anew; None where there is none."""
    checks = Checks(home.sensitive, contract.declared.id)
    own = _of(contract, checks)
    return (own[-1], _write_page(contract, checks)) if own else None


def _of(contract: Contract, checks: Checks) -> list[Check]:
    """Those of this very contract, and not of a variant or of what it is one of."""
    return [each for each in checks.kept() if each.result["contract"] == contract.id]


def _write_page(contract: Contract, checks: Checks) -> Path:
    own = _of(contract, checks)
    return checks.put_page(f"{contract.id}.html", page(contract.title, [each.result for each in own]), own)


def _of_test_split(contract: Contract, earlier: Sequence[Mapping[str, Any]]) -> dict[Key, float]:
    """How far the table is from the public test split, where an earlier check of the same release and terms says it."""
    said = (each["of_test_split"] for each in earlier if each["contract_digest"] == contract.digest)
    return {(expectation, column): size for expectation, column, size in next(filter(None, said), [])}


def _of_first_batches(earlier: Sequence[Mapping[str, Any]]) -> dict[Key, float]:
    """How far the table is from the first batch that has what is compared, which stands for texts without drift."""
    return {(of["expectation"], of["column"]): of["size"] for each in reversed(earlier) for of in each["statistics"]}


def _preparing(contract: Contract) -> Callable[[Texts], Texts]:
    """Cuts texts as those of the table are, and embeds them."""
    from dpsynth_assets.classify import encoder
    from dpsynth_assets.language import base_model, model_places

    terms, minilm = contract.privacy, encoder.MiniLM()
    longest = min(terms.text.max_tokens, terms.generation.max_new_tokens)
    local = terms.base_model.endpoint is None
    tokenizer = base_model.load_tokenizer(model_places.located(terms.base_model.name, contract)) if local else None

    def prepared(side: Texts) -> Texts:
        texts = side.texts if tokenizer is None else base_model.cut(tokenizer, side.texts, longest)
        return replace(side, texts=texts, vectors=minilm.encode(texts))

    return prepared


def _texts(contract: Contract, rows: pd.DataFrame, text: str) -> Texts:
    """At most `TEXTS` rows of a released or public table."""
    labels = {label.column: [str(value) for value in rows[label.column]] for label in contract.privacy.labels}
    return Texts([str(each) for each in rows[text]], labels).at_most(TEXTS)
