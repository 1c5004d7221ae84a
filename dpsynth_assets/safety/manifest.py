"""What an exported folder says of itself beside model and thresholds. Facts of contract and receipts only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dpsynth_assets.safety.rows import Prepared
from dpsynth_assets.safety.terms import terms_of

if TYPE_CHECKING:
    import pandas as pd

    from dpsynth_assets.contract import Contract
    from ledger import Guarantee


@dataclass(frozen=True)
class Table:
    """The published synthetic table that a classifier is trained on.

    Attributes:
        release: the corpus that it was made of.
        guarantee: by its seal; a table without one is not handed out for this.
        receipts: of the charges that it rests on.
    """

    rows: pd.DataFrame
    release: str
    guarantee: Guarantee
    receipts: Sequence[Mapping[str, Any]]


def manifest(contract: Contract, table: Table, rows: Prepared) -> dict[str, Any]:
    """The entries of the manifest, of a classifier that these rows were prepared for."""
    privacy, terms = contract.privacy, terms_of(contract)
    others = [v for label in privacy.labels if label.column == terms.target for v in label.values if v != terms.unsafe]
    split = privacy.test_split
    source = (
        "held-out synthetic texts"
        if terms.validation == "synthetic" or split is None
        else (f"public texts, half of the test split declared public by {split.declared_public_by}")
    )
    epsilon, delta = table.guarantee.epsilon, table.guarantee.delta
    limits = [
        f"The thresholds were set on {source}, {rows.certification.unsafe.mean():.0%} of which are unsafe. Where "
        "unsafe texts are rarer, precision is lower.",
        "Precision and recall are promised for texts like those, at the stated confidence; not for other languages, "
        "topics or times.",
        "Texts that go to review are meant to be read by a person.",
    ]
    if terms.validation == "synthetic":
        limits.insert(0, "Synthetic texts are not real ones: measure on public real texts before blocking any.")
    return {
        "contract": {"id": contract.id, "version": contract.version, "digest": contract.digest},
        "labels": {"column": terms.target, "unsafe": terms.unsafe, "safe": others},
        "trained_on": {
            "release": table.release,
            "synthetic_rows": len(table.rows),
            "texts": len(rows.train),
            "taught_by": terms.teacher or "labels",
            "public_rows_mixed_in": None if terms.mix is None else terms.mix.model_dump(mode="json"),
        },
        "guarantee": {
            "epsilon": epsilon,
            "delta": delta,
            "unit": privacy.unit.name,
            "max_records": privacy.unit.max_records,
            "neighbouring_relation": privacy.unit.neighbouring_relation,
            "population": privacy.population,
            "sentence": (
                f"({epsilon:.4g}, {delta:g})-differentially private for adding or removing one {privacy.unit.name} of "
                f"{privacy.population}: post-processing of the releases whose receipts stand here, however often it is "
                "used."
            ),
        },
        "receipts": list(table.receipts),
        "intended_use": (
            f"Screening short texts for `{terms.target}` = {terms.unsafe}, as trained for: {contract.description}"
        ),
        "limits": limits,
    }
