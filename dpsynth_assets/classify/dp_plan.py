"""The plan of a classifier that is trained on the sensitive rows with DP-SGD: public constants only, and no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dpsynth_assets.privacy.plan import DpSgd, DpSgdPlan, Learning, calibrated

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.releases.classifiers import ClassifierTerms
    from dpsynth_assets.releases.release import Release

# The word-CNN's sizes: every parameter is met by noise, so they are smaller than where there is none.
BUCKETS, DIMENSION, FILTERS, WIDTHS = 4096, 16, 16, (3, 4, 5)


@dataclass(frozen=True)
class DpClassifierPlan(DpSgdPlan):
    """Everything that decides what such a release computes: public constants only.

    Attributes:
        classifier: `minilm`, a linear head on the frozen encoder, or `word_cnn`.
        classes: of the label column `target`, in the contract's order.
        max_tokens: texts are cut to so many tokens of the encoder, or words of the word-CNN.
        seed: of the word-CNN's first weights, which are public; the noise has none.
        buckets, dimension, filters, widths: the word-CNN's sizes (`dpsynth_assets.classify.word_cnn.CnnShape`).
    """

    classifier: str
    target: str
    classes: tuple[str, ...]
    max_tokens: int
    seed: int = 0
    buckets: int = BUCKETS
    dimension: int = DIMENSION
    filters: int = FILTERS
    widths: tuple[int, ...] = WIDTHS

    @classmethod
    def of(cls, contract: Contract, release: ClassifierTerms, size: float = 1.0) -> DpClassifierPlan:
        """The contract's plan of a release by these terms, its noise calibrated to the release's epsilon.

        `size` as in `TrainingPlan.from_contract`: a quick pass over that fraction of the units.
        """
        if not 0 < size <= 1:
            raise ValueError(f"size must lie in (0, 1], not {size!r}")
        terms = contract.privacy
        units = max(2, round(terms.unit.public_count * size))
        batch = min(release.expected_batch_size, units)
        shape = DpSgd(
            sampling_probability=batch / units,
            noise_multiplier=0.0,
            l2_clip_norm=release.clipping_norm,
            expected_batch_size=batch,
            steps=max(1, round(release.steps * size)),
        )
        epsilon = release.epsilon_of(terms.budget)
        return cls(
            mechanism=calibrated(shape, epsilon, terms.budget.delta),
            learning=Learning(release.learning_rate),
            epsilon=epsilon,
            delta=terms.budget.delta,
            unit=terms.unit.name,
            neighbouring_relation=terms.unit.neighbouring_relation,
            max_records=terms.unit.max_records,
            classifier=release.classifier,
            target=terms.target,
            classes=terms.classes,
            max_tokens=terms.text.max_tokens,
        )


def classifier_plan(contract: Contract, release: Release[ClassifierTerms], size: float) -> DpClassifierPlan:
    return DpClassifierPlan.of(contract, contract.privacy.releases[release], size)
