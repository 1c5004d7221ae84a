"""A published synthetic table, handed out only with evidence that it is what it claims to be.

Its corpus passed its rules, the file holds that corpus, and everything that it rests on is as the ledger sealed it.
What classifiers are trained on comes from here: a file that somebody edited is found before it is passed on.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from dpsynth_assets.contract import Contract
from dpsynth_assets.gate.approval import require_terms
from dpsynth_assets.publish.release import NO_GUARANTEE
from dpsynth_assets.quality.verdict import VERDICT, Verdict
from ledger import Seal
from resources.artifact_store import Artifact, ArtifactStore
from resources.evidence import checkpoints, contradictions, of_table
from resources.heads import open_ledger
from resources.home import Home
from resources.ledger import LedgerResource
from resources.seals import TABLE

if TYPE_CHECKING:
    import pandas as pd


class UnprovenError(Exception):
    """A synthetic table that cannot be shown to be what it claims."""


def guaranteed_table(
    contract: Contract, artifacts: ArtifactStore, ledger: LedgerResource
) -> "tuple[Artifact, pd.DataFrame]":
    """As `published_table`, for what must have a guarantee.

    Raises:
        UnprovenError: also where the table has none and says so.
    """
    if artifacts.latest(contract.id, "synthetic").without_guarantee:
        raise UnprovenError(f"the synthetic table of {contract.id} has {NO_GUARANTEE}: no classifier is trained on it")
    return published_table(contract, artifacts, ledger)


def published_table(
    contract: Contract, artifacts: ArtifactStore, ledger: LedgerResource
) -> "tuple[Artifact, pd.DataFrame]":
    """The standing synthetic table and its rows, after the ledger and what lies on disk were found to agree about it
    and about all that it was made from.

    Raises:
        UnprovenError: the corpus has no passing verdict, or something is not as the ledger sealed it.
        ArtifactError, PublishError, QualityError, LedgerError: something is not there, was changed, or is not readable.
    """
    from dpsynth_assets.publish.parquet import load, read

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
    parquet = place_of(synthetic, artifacts)
    if problems := _contradictions(synthetic, parquet, artifacts, ledger):
        raise UnprovenError(
            f"the synthetic table of {contract.id} is not borne out by the privacy ledger: no classifier is trained on "
            f"it. {problems[0]} (`dpsynth audit verify` says all)"
        )
    frame = load(parquet)
    if read(parquet).verdict.corpus_digest != verdict.corpus_digest:
        raise UnprovenError(f"{parquet} holds another table than {contract.id} published: publish it again")
    return synthetic, frame


def published_rows(synthetic: Artifact, artifacts: ArtifactStore) -> "pd.DataFrame":
    """The rows of a table that was published before, from a file that is as it was sealed.

    Raises:
        UnprovenError: it is not, or is gone.
    """
    from dpsynth_assets.publish.parquet import load

    return load(require_published(synthetic, artifacts))


def require_published(synthetic: Artifact, artifacts: ArtifactStore) -> Path:
    """Where the file of a published table lies; it is as it was sealed, and so is the seal beside it.

    Raises:
        UnprovenError: it is not, or is gone.
    """
    parquet, book = place_of(synthetic, artifacts), open_ledger(Home.at(artifacts.home))
    tables = {(seal.name, seal.id): seal for seal in book.seals(f"{synthetic.contract}/{TABLE}")}
    if problems := of_table(parquet, tables, book.public_key):
        raise UnprovenError(f"{parquet} {problems[0]}")
    return parquet


def place_of(synthetic: Artifact, artifacts: ArtifactStore) -> Path:
    """Where the table lies now: its receipt says where it was published, and the home may have been moved since."""
    within = Path(synthetic.receipt["about"]["parquet"]).parts[-3:]  # contract, table and file
    return Path(Home.at(artifacts.home).warehouse, "parquet", *within)


def _contradictions(synthetic: Artifact, parquet: Path, artifacts: ArtifactStore, ledger: LedgerResource) -> list[str]:
    """What is wrong with the ledger, and what is not as it sealed it of all that a table rests on, in words."""
    home, book = Home.at(artifacts.home), ledger.open()
    by_entry = {seal.seq: seal for seal in book.seals()}
    made_from = _ancestors(synthetic.seal, by_entry)
    folders = [home.artifacts / seal.name / seal.id for seal in made_from if seal.kind != TABLE]
    tables = {(seal.name, seal.id): seal for seal in made_from if seal.kind == TABLE}
    problems = book.verify(checkpoints(home, folders)) or contradictions(home, book, folders)
    return problems or [f"{parquet} {wrong}" for wrong in of_table(parquet, tables, book.public_key)]


def _ancestors(seal: Seal, by_entry: dict[int, Seal]) -> list[Seal]:
    """A seal and those of everything that it was made from."""
    found: dict[int, Seal] = {}
    waiting = [seal]
    while waiting:
        each = waiting.pop()
        if each.seq not in found:
            found[each.seq] = each
            waiting += [by_entry[seq] for seq in each.made_from.values()]
    return list(found.values())
