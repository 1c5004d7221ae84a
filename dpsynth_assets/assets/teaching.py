"""The labeller as a teacher: the one that judged the very corpus that a classifier is trained on.

A DP-trained labeller is a release, and asking it again is post-processing. Only the one that judged the corpus may
teach: its charge is in the corpus' receipt, hence in the guarantee of everything that is made from it.
"""

from pathlib import Path

from dpsynth_assets.classify.errors import ClassifierError
from dpsynth_assets.contract import Contract
from dpsynth_assets.releases.labeller import LABELLER
from resources.artifact_store import Artifact, ArtifactStore


def teacher_of(contract: Contract, synthetic: Artifact, artifacts: ArtifactStore) -> Path:
    """Where the labeller lies that judged the corpus behind a published table.

    Raises:
        ClassifierError: none did.
    """
    corpus = artifacts.get(contract.id, "corpus", synthetic.receipt["about"]["corpus"])
    if (judge := corpus.receipt["about"].get(LABELLER.name)) is None:
        raise ClassifierError(
            f"the corpus {corpus.id} of {contract.id} was judged by no labeller, which is to teach the classifier: "
            f"make it again under these terms (materialize {contract.id}/corpus and {contract.id}/synthetic)"
        )
    return artifacts.get(contract.id, LABELLER.name, judge).folder
