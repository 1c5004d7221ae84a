"""The adapter as a release: what is asked before anything is spent, and the training itself.

`finetuning` trains and states the guarantee; `contamination.comparison` says what of the comparison leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dpsynth_assets.language import finetuning
from dpsynth_assets.language.contamination.comparison import compare, corpus_index
from dpsynth_assets.privacy.checkpoint import CheckpointFolder
from dpsynth_assets.progress import Progress
from dpsynth_assets.quality import rules
from dpsynth_assets.releases.release import Made, Ran, Workspace

if TYPE_CHECKING:
    import pandas as pd

    from dpsynth_assets.contract import Contract
    from dpsynth_assets.language.contamination.index import CorpusIndex
    from dpsynth_assets.privacy.plan import TrainingPlan


class RulesError(ValueError):
    """Quality rules that cannot be run: nothing is spent on a corpus that cannot be judged."""


@dataclass(frozen=True)
class Ready:
    """A model that can be trained, and what its source is compared with, if anything."""

    model: finetuning.Prepared
    index: CorpusIndex | None


def check(contract: Contract, plan: TrainingPlan, made_from: Mapping[str, Made], progress: Progress) -> Ready:
    """What training and judging need.

    Raises:
        RulesError, CorpusIndexError, BaseModelError, ObjectiveError, UnclippedGradientError: it cannot be had.
    """
    if problems := rules.check_rules(contract):
        raise RulesError(f"quality rules of {contract.id} cannot be run, so nothing was spent: {'; '.join(problems)}")
    return Ready(finetuning.prepare(contract, plan), corpus_index(contract))


def run(contract: Contract, plan: TrainingPlan, rows: pd.DataFrame, ready: Ready, work: Workspace) -> Ran:
    """Compare the source with what the base model has read, where that can be, and train."""
    if ready.index is not None:
        compare(contract, rows["text"].tolist(), ready.index, work.folder, work.keep)
    checkpoints = CheckpointFolder(work.checkpoints, plan.digest(), plan.former_digests())
    tuned = finetuning.fine_tune(contract, plan, rows, work.folder, work.progress, checkpoints, prepared=ready.model)
    return Ran(tuned.event, tuned.replay, {**plan.figures(), "precision": tuned.precision})
