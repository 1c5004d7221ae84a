"""What signal a planned release can have beside its noise, told before anything is spent.

A function of the plan and of the contract's public constants alone. Nothing here may be told what a source holds: how
many units there are is `unit.public_count`, taken at its word, and how many of them have a label is declared nowhere,
so labels are reckoned as if all were equally common, and how many units one needs is said beside.

Where the limits come from:

- *A step too loud.* With LoRA on the embedded model at epsilon 3, a quarter of the batch and four times the steps
  (docs/training.md, "What the learning devices are worth"), whose noise is 1.8 % of all that a batch may add, gained
  0.048 nats a token where the plain batch (0.5 %) gained 0.165: seven tenths of what is learned were lost.
- *A label that an adapter hears.* All its units over all steps, if they agree, against the noise of all steps in that
  direction, `share * batch * sqrt(steps) / noise multiplier`. In docs/experiments.md facts at 44 were not learned
  (`contracts/knowledge.odcs.yaml`, lora-3), intents at 80 were (`contracts/banking77.odcs.yaml`): it lies between.
- *A label that a classifier hears*: the same quantity for its classes. A MiniLM head of 77 intents was right for
  22 % of texts at 8.3, for 64 % at 25 (docs/training.md, "What signal is enough").
- *A count that says something*: it is above what noise makes of nobody in 95 of 100 cases, by the noise's definition.
- *A phrase that is heard*: the bound of the mechanism, from which on a count is let out, for a phrase of eight letters.
- *Votes for a text*: at least one deviation of their noise on average, as in docs/contracts.md ("Private Evolution").
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import singledispatch
from typing import TYPE_CHECKING

from dpsynth_assets.privacy.correlation import noise_growth
from dpsynth_assets.privacy.evolution import EvolutionPlan
from dpsynth_assets.privacy.histogram import HistogramPlan
from dpsynth_assets.privacy.key_phrases import KeyPhrasesPlan
from dpsynth_assets.privacy.plan import DpSgdPlan, TrainingPlan

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.releases.release import Plan

LOUDEST_STEP = 0.018
HEARD_BY_ADAPTER, HEARD_BY_CLASSIFIER = 50.0, 15.0
_HEARD = {
    True: (HEARD_BY_ADAPTER, "of measured ones 44 times was not learned, 80 times was"),
    False: (HEARD_BY_CLASSIFIER, "a head of 77 classes was right for 22 % of texts at 8 times, for 64 % at 25"),
}
_SELDOM = 0.05
_A_WORD, _COMMON = 8, 0.1  # letters; the part of a label's records that have a common word
_FALSE_ALARM = 1e-6  # of `synthesis.label_histogram`, which stops a run on an empty source


@dataclass(frozen=True)
class Signal:
    """What is to be expected of one release.

    Attributes:
        said: the expectation in a sentence or two.
        figures: the same in numbers, by names that say what they are.
        warnings: where the release will be of little use, each with what to do.
    """

    said: str
    figures: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@singledispatch
def signal_of(plan: Plan, contract: Contract, size: float = 1.0) -> Signal | None:
    """What signal a plan of the contract can have; None for a kind of plan of which nothing is known.

    Args:
        size: in (0, 1], the share of the units that the plan is for.
    """
    return None


@signal_of.register(DpSgdPlan)
def _of_training(plan: DpSgdPlan, contract: Contract, size: float = 1.0) -> Signal:
    mechanism, terms = plan.mechanism, contract.privacy
    unit, units = plan.unit, _units(contract, size)
    is_adapter = isinstance(plan, TrainingPlan)
    labels, called = _told_apart(contract, is_adapter)
    limit, known = _HEARD[is_adapter]
    growth = noise_growth(mechanism.num_bands)
    loudness = mechanism.noise_multiplier * growth / mechanism.expected_batch_size
    whole = mechanism.expected_batch_size * math.sqrt(mechanism.steps) / (mechanism.noise_multiplier * growth)
    least = math.ceil(limit / whole * units)
    tokens = mechanism.steps * mechanism.expected_batch_size * plan.max_records * terms.text.max_tokens
    of_a_label = whole / labels
    said = (
        f"a step adds up {mechanism.expected_batch_size:,} {unit}s on average, and its noise is "
        f"{_figure(100 * loudness)} % of the most that they may add. {mechanism.steps:,} steps read at most {tokens:,} "
        "tokens on average. Over all steps, "
        + (f"what all {unit}s" if labels == 1 else f"if all {labels} {called} are equally common, what one's {unit}s")
        + f" agree on comes to at most {_figure(of_a_label)} times the noise; what fewer than {least:,} {unit}s have "
        "in common is hardly learned."
    )
    warnings = []
    if loudness >= LOUDEST_STEP:
        warnings.append(
            f"most of a step is noise: {_figure(100 * loudness)} % of all that a batch may add, and at "
            f"{100 * LOUDEST_STEP:g} % a model lost seven tenths of what it learned. "
            + ("Texts will be hardly better than the base model's, or worse. " if is_adapter else "")
            + "Raise expected_batch_size and lower steps, raise epsilon, or find more units"
        )
    if of_a_label < limit:
        who = (
            f"what all {unit}s have in common"
            if labels == 1
            else f"one of {labels} {called}, {units // labels:,} {unit}s"
        )
        warnings.append(
            f"{who}, will mostly drown: at most {_figure(of_a_label)} times the noise, and {known}. "
            + ("" if labels == 1 else "Use fewer or coarser labels, ")
            + ("Raise" if labels == 1 else "raise")
            + " epsilon, or find more units"
        )
    figures = {
        "noise_of_a_step_over_its_batch": loudness,
        "expected_batch_size": mechanism.expected_batch_size,
        "tokens_read_at_most": tokens,
        "signal_of_all_units_over_noise": whole,
        "signal_of_an_average_label_over_noise": of_a_label,
        "fewest_units_that_are_heard": least,
    }
    return Signal(said, figures, tuple(warnings))


@signal_of.register(HistogramPlan)
def _of_counts(plan: HistogramPlan, contract: Contract, size: float = 1.0) -> Signal:
    unit, units, cells = plan.unit, _units(contract, size), len(plan.cells)
    votes = cells > len(contract.cells)
    average, off = units / cells, _margin(plan.scale)
    what = (
        "clusters of a label's texts"
        if votes and len(contract.cells) > 1
        else "clusters"
        if votes
        else "label combinations"
    )
    said = (
        f"the noise of a count is within ±{off:,} in 95 of 100 cases. "
        + (
            f"All records are some {units:,}"
            if cells == 1
            else f"A count of each of {cells:,} {what} is {_figure(average)} on average"
        )
        + ("" if plan.max_records == 1 else f" if every {unit} has one record")
        + ("." if cells == 1 else f"; one below {off:,} cannot be told from none.")
    )
    warnings = []
    if average <= off:
        few = "fewer clusters" if votes else "fewer or coarser labels"
        warnings.append(
            f"an average count ({_figure(average)}) is no larger than its noise (±{off:,}): which {what} are common "
            f"will be chance. Use {few}, or give this release a larger epsilon"
        )
    if not votes and units / 2 <= plan.margin(cells, _FALSE_ALARM):
        warnings.append(
            "the noise of all counts is too large to tell an empty source from a full one: where labels or columns "
            "are declared wrongly, the dearer releases would be charged for nobody. Give this release a larger "
            "epsilon, and try `dpsynth source check` first"
        )
    deviation = math.sqrt(2 * math.exp(-1 / plan.scale)) / (1 - math.exp(-1 / plan.scale))
    return Signal(
        said,
        {"noise_deviation": deviation, "noise_in_95_of_100": off, "average_count": average, "counts": cells},
        tuple(warnings),
    )


@signal_of.register(EvolutionPlan)
def _of_votes(plan: EvolutionPlan, contract: Contract, size: float = 1.0) -> Signal:
    noise, texts = plan.mechanism.standard_deviation, len(plan.cells) * plan.texts
    average = _units(contract, size) / texts
    said = (
        f"the noise of a text's votes has a deviation of {noise:.1f}, and a text has {average:.1f} votes on average if "
        f"every {plan.unit} casts one."
    )
    drown = "a text's votes will mostly drown in their noise: fewer texts, fewer rounds or a larger ε"
    return Signal(
        said,
        {"noise_deviation": noise, "average_votes": average, "texts": texts},
        (drown,) if average < noise else (),
    )


@signal_of.register(KeyPhrasesPlan)
def _of_phrases(plan: KeyPhrasesPlan, contract: Contract, size: float = 1.0) -> Signal:
    least, longest = plan.mechanism.least((_A_WORD, True)), plan.mechanism.least((2 * _A_WORD, True))
    average = _units(contract, size) / len(plan.cells)
    what = "of a label " if len(plan.cells) > 1 else ""
    said = (
        f"a phrase of {_A_WORD} letters is let out from a noisy count of {least:,.0f} records on, one of "
        f"{2 * _A_WORD} from {longest:,.0f}. All records {what}are some {_figure(average)} if every "
        f"{plan.unit} has one."
    )
    seldom = (
        f"only phrases of more than a tenth of the records {what}will be heard: fewer phrases of each record, larger "
        "labels or a larger ε"
    )
    figures = {
        "noise_deviation": plan.mechanism.standard_deviation,
        "least_count_of_eight_letters": least,
        "average_records": average,
    }
    return Signal(said, figures, (seldom,) if least > average * _COMMON else ())


def _units(contract: Contract, size: float) -> int:
    """How many units are declared, of that share of them."""
    return max(1, round(contract.privacy.unit.public_count * size))


def _told_apart(contract: Contract, is_adapter: bool) -> tuple[int, str]:
    """How many labels a model has to tell apart, and what they are called. An adapter is told each label's value in
    words of its own, whatever stands beside it, so the label with the most values counts, not their combinations."""
    labels = contract.privacy.labels
    if not labels:
        return 1, ""
    if is_adapter:
        most = max(labels, key=lambda label: len(label.values))
        return len(most.values), f"values of {most.column}"
    return len(contract.privacy.classes), f"values of {contract.privacy.target}"


def _margin(scale: float) -> int:
    """What discrete Laplace noise exceeds with a probability of at most a twentieth: P(|X| > m) = 2 q^(m+1) / (1 + q)
    for q = exp(-1 / scale)."""
    q = math.exp(-1 / scale)
    return max(0, math.ceil(scale * math.log(2 / (_SELDOM * (1 + q)))) - 1)


def _figure(value: float) -> str:
    """Two significant digits, and no exponent."""
    if value >= 10:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"
