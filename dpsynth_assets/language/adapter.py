"""The adapter as a release: what is asked before anything is spent, and the training itself.

`finetuning` trains and states the guarantee; `contamination.comparison` says what of the comparison leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dpsynth_assets.audit.result import right_to_refute
from dpsynth_assets.language import finetuning
from dpsynth_assets.language.contamination.comparison import compared, corpus_index
from dpsynth_assets.language.promise import TrainingPromise
from dpsynth_assets.privacy.checkpoint import CheckpointFolder
from dpsynth_assets.progress import Progress
from dpsynth_assets.quality import rules
from dpsynth_assets.releases.release import Launch, Made, Ran, Workspace

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.language.contamination.index import CorpusIndex
    from dpsynth_assets.privacy.plan import TrainingPlan
    from dpsynth_assets.releases.rows import Rows


class WeakAuditError(ValueError):
    """An audit that cannot fail: nothing is spent on what cannot be judged."""


@dataclass(frozen=True)
class Ready:
    """A model that can be trained, and what its source is compared with, if anything."""

    model: finetuning.Prepared
    index: CorpusIndex | None


def check(
    contract: Contract,
    plan: TrainingPlan,
    made_from: Mapping[str, Made],
    progress: Progress,
    launch: Launch | None = None,
) -> Ready:
    """What training and judging need.

    Raises:
        QualityError, WeakAuditError, CorpusIndexError, BaseModelError, ObjectiveError, UnclippedGradientError,
            UnfitRanksError: it cannot be had.
    """
    rules.require_rules(contract)
    _require_force(plan)
    return Ready(finetuning.prepare_for(contract, plan, launch), corpus_index(contract))


def _require_force(plan: TrainingPlan) -> None:
    """Pass if the audit that is asked for could fail.

    Raises:
        WeakAuditError: however many guesses were right, they would refute nothing.
    """
    if not plan.canaries or not plan.mechanism.is_private:
        return
    if right_to_refute(TrainingPromise([plan.event()], plan.delta), plan.canaries) is None:
        raise WeakAuditError(
            f"{plan.canaries} canaries cannot refute what this adapter promises (epsilon {plan.epsilon:g}), were every "
            "guess right: an audit that cannot fail says nothing, so nothing was spent. Write more in "
            "releases.adapter.canaries, or 0 for no audit"
        )


def run(contract: Contract, plan: TrainingPlan, rows: Rows, ready: Ready, work: Workspace) -> Ran:
    """Compare the source with what the base model has read, where that can be, and train."""
    rows = compared(contract, rows, ready.index, work.folder, work.keep)
    checkpoints = CheckpointFolder(work.checkpoints, plan.digest(), plan.former_digests())
    tuned = finetuning.fine_tune(
        contract, plan, rows, work.folder, work.progress, checkpoints, prepared=ready.model, launch=work.launch
    )
    return Ran(tuned.event, tuned.replay, {**plan.figures(), "precision": tuned.precision})
