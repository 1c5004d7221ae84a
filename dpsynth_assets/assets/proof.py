"""A published synthetic table, handed out only with evidence that it is what it claims to be.

Its corpus passed its rules, the file holds that corpus, and ledger and receipts of everything that it rests on agree.
What classifiers are trained on comes from here: a receipt that somebody edited is found before it is passed on.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from dpsynth_assets.approval import require_terms
from dpsynth_assets.assets.corpus import VERDICT
from dpsynth_assets.assets.figures import NO_GUARANTEE
from dpsynth_assets.contract import Contract
from resources.artifact_store import Artifact, ArtifactStore
from resources.evidence import checkpoints, contradictions
from resources.home import Home
from resources.ledger import LedgerResource

if TYPE_CHECKING:
    import pandas as pd

_BEFORE = ("candidates", "adapter", "label_histogram", "labeller", "votes")


class UnprovenError(Exception):
    """A synthetic table that cannot be shown to be what it claims."""


def guaranteed_table(
    contract: Contract, artifacts: ArtifactStore, ledger: LedgerResource
) -> "tuple[Artifact, pd.DataFrame]":
    """As `published_table`, for what must have a guarantee.

    Raises:
        UnprovenError: also where the table has none and says so.
    """
    synthetic = artifacts.latest(contract.id, "synthetic")
    corpus = artifacts.get(contract.id, "corpus", synthetic.receipt["about"]["corpus"])
    if synthetic.without_guarantee or corpus.without_guarantee:
        raise UnprovenError(f"the synthetic table of {contract.id} has {NO_GUARANTEE}: no classifier is trained on it")
    return published_table(contract, artifacts, ledger)


def published_table(
    contract: Contract, artifacts: ArtifactStore, ledger: LedgerResource
) -> "tuple[Artifact, pd.DataFrame]":
    """The standing synthetic table and its rows, after ledger and receipts were found to agree about it. Of a table
    without a guarantee, which says so, no ledger knows anything: only its verdict is looked at.

    Raises:
        UnprovenError: the corpus has no passing verdict, or a receipt is not borne out by the ledger.
        ArtifactMissingError, PublishError, QualityError, LedgerError: something is not there, or is not readable.
    """
    from dpsynth_assets.publish.parquet import load, read
    from dpsynth_assets.quality.verdict import Verdict

    require_terms(contract, ledger.open())
    synthetic = artifacts.latest(contract.id, "synthetic")
    about = synthetic.receipt["about"]
    corpus = artifacts.get(contract.id, "corpus", about["corpus"])
    judged = artifacts.get(contract.id, "verdict", about["verdict"])
    verdict = Verdict.load(judged.folder / VERDICT)
    if judged.receipt["about"].get("corpus") != corpus.id or not verdict.passed:
        raise UnprovenError(
            f"the corpus {corpus.id} of {contract.id} has no passing quality verdict: no classifier is trained on it. "
            f"Run its checks and publish again (materialize {contract.id}/corpus and {contract.id}/synthetic)"
        )
    if problems := [] if synthetic.without_guarantee else _contradictions(synthetic, corpus, judged, artifacts, ledger):
        raise UnprovenError(
            f"the synthetic table of {contract.id} is not borne out by the privacy ledger: no classifier is trained on "
            f"it. {problems[0]} (`dpsynth audit verify` says all)"
        )
    parquet = Path(about["parquet"])
    frame = load(parquet)
    if read(parquet).verdict.corpus_digest != verdict.corpus_digest:
        raise UnprovenError(f"{parquet} holds another table than {contract.id} published: publish it again")
    return synthetic, frame


def _contradictions(
    synthetic: Artifact, corpus: Artifact, judged: Artifact, artifacts: ArtifactStore, ledger: LedgerResource
) -> list[str]:
    """What the ledger does not bear out of the receipts that a table rests on, in words."""
    known = corpus.receipt["about"]
    made_from = [artifacts.get(corpus.contract, kind, known[kind]) for kind in _BEFORE if kind in known]
    folders = [each.folder for each in (synthetic, corpus, judged, *made_from)]
    home, book = Home.at(artifacts.home), ledger.open()
    problems = book.verify(checkpoints(home, folders)) or contradictions(home, book.entries(), folders)
    return problems if synthetic.receipts else ["its receipt names no charge", *problems]
