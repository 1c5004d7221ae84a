"""The labeller as a teacher: what it said about the very corpus that a classifier is trained on.

A DP-trained labeller is a release, and asking it again is post-processing. Only the one that judged the corpus may
teach: its charge is in the corpus' receipt, hence in the guarantee of everything that is made from it.
"""

from typing import TYPE_CHECKING

from dpsynth_assets.contract import Contract
from dpsynth_assets.releases.labeller import LABELLER
from resources.artifact_store import Artifact, ArtifactStore

if TYPE_CHECKING:
    from dpsynth_assets.classify.encoder import Encoder
    from dpsynth_assets.classify.recipes import StoredClassifier


def teacher_of(
    contract: Contract, synthetic: Artifact, artifacts: ArtifactStore, encoder: "Encoder"
) -> "StoredClassifier":
    """The labeller that judged the corpus behind a published table.

    Raises:
        ClassifierError: none did, or it predicts another label than the contract does now.
    """
    from dpsynth_assets.classify.errors import ClassifierError
    from dpsynth_assets.classify.recipes import load_classifier
    from dpsynth_assets.releases.classifiers import CLASSIFIER

    corpus = artifacts.get(contract.id, "corpus", synthetic.receipt["about"]["corpus"])
    if (judge := corpus.receipt["about"].get(LABELLER.name)) is None:
        raise ClassifierError(
            f"the corpus {corpus.id} of {contract.id} was judged by no labeller, which is to teach the classifier: "
            f"make it again under these terms (materialize {contract.id}/corpus and {contract.id}/synthetic)"
        )
    labeller = load_classifier(artifacts.get(contract.id, LABELLER.name, judge).folder / CLASSIFIER, encoder)
    if labeller.classes != contract.privacy.classes:
        raise ClassifierError("the corpus' labeller predicts another label than the contract asks for now")
    return labeller
