"""What must hold between the privacy terms: one list of rules, over as many terms as hold by themselves.

`lint` says every fault with its line, and the terms refuse to be made where there is an error, whoever makes them. What
a release asks of the other terms stands with the release. Looks at what terms say, never at data or files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from dpsynth_assets.contract import monitoring, prompt
from dpsynth_assets.contract.parts import Parts
from dpsynth_assets.contract.problems import choose_from
from dpsynth_assets.contract.synthesis import INDEX_SUFFIX
from dpsynth_assets.releases import registry
from dpsynth_assets.releases.adapter import ADAPTER
from dpsynth_assets.releases.evolution import EVOLUTION, VOTED
from dpsynth_assets.releases.key_phrases import BY_PHRASES, KEY_PHRASES
from dpsynth_assets.releases.release import Release
from dpsynth_assets.term import Fault

MOST_CELLS = 100_000
READ_AS = ("unit", "text")  # the columns of the rows that releases get, beside the labels


def faults(parts: Parts) -> Iterator[Fault]:
    """All that does not hold, errors and warnings."""
    return chain.from_iterable(rule(parts) for rule in RULES)


def columns_have_one_role(parts: Parts) -> Iterator[Fault]:
    """One column is not two things at once."""
    used: dict[str, str] = {}
    roles = [(("unit", "column"), parts.unit.column if parts.unit else None, "the unit")]
    roles += [(("text", "column"), parts.text.column if parts.text else None, "the text")]
    labels = [(("labels", index, "column"), label.column, "a label") for index, label in parts.labels]
    for path, name, role in [*roles, *labels]:
        if name is None:
            continue
        if name in used:
            both = "named by two labels" if role == used[name] else f"{role} and {used[name]} at once"
            yield Fault(path, f"the column `{name}` is {both}", "Name another column")
        used.setdefault(name, role)
    for path, name, _ in labels:
        if name in READ_AS:  # releases get rows in which these are the unit and the text
            yield Fault(path, f"a label cannot be called `{name}`", "Rename the column in the source, as in a view")
    block = parts.blocks.column if parts.blocks else None
    if block is not None and used.get(block) in ("the unit", "the text"):
        yield Fault(("blocks", "column"), f"the column `{block}` is {used[block]} and the blocks' too", "Name another")


def classifiers_predict_labels(parts: Parts) -> Iterator[Fault]:
    """What classifiers predict is a label, and what is unsafe is one of its values."""
    labels = {label.column: label.values for _, label in parts.labels}
    if not parts.all_labels_hold:
        return
    if parts.classifier is not None and (target := parts.classifier.target) not in labels:
        yield Fault(("classifier", "target"), f"`{target}` is not a label", choose_from(target, list(labels)))
    if (safety := parts.safety_classifier) is None:
        return
    place = "safety_classifier"
    if safety.target not in labels:
        yield Fault((place, "target"), f"`{safety.target}` is not a label", choose_from(safety.target, list(labels)))
    elif safety.unsafe not in labels[safety.target]:
        what = f"`{safety.unsafe}` is not a value of `{safety.target}`"
        yield Fault((place, "unsafe"), what, choose_from(safety.unsafe, labels[safety.target]))
    if safety.validation == "test_split" and parts.untested:
        what = "the thresholds are to be set on the public test split, and the contract names none"
        yield Fault((place, "validation"), what, "Add `test_split`, or write `validation: synthetic`")


def teachers_judge_the_corpus(parts: Parts) -> Iterator[Fault]:
    """Only the labeller that judged the corpus may teach what is trained on it."""
    classifier, safety, curation = parts.classifier, parts.safety_classifier, parts.curation
    if curation is None or classifier is None:
        return
    if classifier.taught_by_labeller and not curation.needs_labeller:
        yield Fault(
            ("classifier", "teacher"),
            "the labeller is to teach the classifiers, and no labeller judges the corpus",
            "Let it choose or label the drawn texts (`curation`), or leave `teacher` out",
        )
    judged = curation.needs_labeller and safety is not None and safety.target == classifier.target
    if safety is not None and safety.taught_by_labeller and not judged:
        yield Fault(
            ("safety_classifier", "teacher"),
            f"the labeller is to teach what is {safety.unsafe}, and no labeller judges `{safety.target}` in the corpus",
            "Let it choose or label the drawn texts (`curation`), by the same target, or write `teacher: minilm`",
        )


def cells_are_few(parts: Parts) -> Iterator[Fault]:
    """The combinations of labels can be counted, and there are rows for them."""
    cells = math.prod(len(label.values) for _, label in parts.labels)
    if cells > MOST_CELLS:
        yield Fault(
            ("labels",), f"{cells:,} label combinations, more than {MOST_CELLS:,}", "Use fewer or coarser labels"
        )
    elif parts.generation is not None and parts.generation.rows < cells:
        yield Fault(
            ("generation", "rows"),
            f"{parts.generation.rows} rows for {cells} label combinations: some will be missing",
            "Generate more rows, or use coarser labels",
            "warning",
        )


def delta_is_small(parts: Parts) -> Iterator[Fault]:
    """Delta is below one in the number of units."""
    cap, unit = parts.budget, parts.unit
    if cap is not None and unit is not None and cap.delta * unit.public_count >= 1:
        yield Fault(
            ("budget", "delta"),
            f"delta {cap.delta:g} is not below 1 / public_count = {1 / unit.public_count:.2g}: "
            "publishing one unit outright would satisfy it",
            f"Write {_below(unit.public_count)} or less",
        )


def releases_fit_the_budget(parts: Parts) -> Iterator[Fault]:
    """No release alone costs more than there is, and all together hardly do."""
    cap = parts.budget
    if cap is None:
        return
    asked = [each.name for each in registry.releases() if each.name in parts.releases]
    costs = {name: parts.releases[name].epsilon_of(cap) for name in asked}
    for name, cost in costs.items():
        if cost > cap.epsilon:
            yield Fault(
                ("releases", name, "epsilon"),
                f"this release alone costs epsilon {cost:g}, the budget is {cap.epsilon:g}",
                "Lower it: the ledger would refuse",
            )
    total = sum(costs.values())
    if total > cap.epsilon * (1 + 1e-9) and max(costs.values()) <= cap.epsilon:
        said = " + ".join(f"{cost:g}" for cost in costs.values())
        yield Fault(
            ("releases",),
            f"the releases add up to epsilon {said} = {total:g}, the budget is {cap.epsilon:g}",
            "`dpsynth plan` says whether the ledger admits them all the same",
            "warning",
        )


def _below(count: int) -> str:
    """A round delta of at most a tenth of 1 / count, written so that every YAML reader sees a number."""
    return f"1.0e-{len(str(count * 10 - 1))}"


def releases_fit_the_other_terms(parts: Parts) -> Iterator[Fault]:
    """What each release asks of the terms beside it."""
    return chain.from_iterable(release.rules(parts) for release in registry.releases())


def texts_are_no_longer_than_learned(parts: Parts) -> Iterator[Fault]:
    text, generation = parts.text, parts.generation
    if text is None or generation is None or not parts.stands(ADAPTER):
        return
    if generation.max_new_tokens > text.max_tokens:
        yield Fault(
            ("generation", "max_new_tokens"),
            f"{generation.max_new_tokens} tokens are more than training sees, text.max_tokens = {text.max_tokens}",
            f"Write at most {text.max_tokens}",
        )


def base_model_is_declared(parts: Parts) -> Iterator[Fault]:
    if parts.base_model is not None and parts.base_model.undeclared:
        yield Fault(
            ("base_model",),
            "nothing says what the base model has seen: the source may be in its training data",
            "Add one of `corpus`, `trained_before` to base_model",
            "warning",
        )


def servers_are_asked_for_what_they_can_do(parts: Parts) -> Iterator[Fault]:
    """What takes a model's weights or more than the protocol has is not asked of an endpoint."""
    base, generation = parts.base_model, parts.generation
    if base is None or base.endpoint is None:
        return
    if base.corpus is not None and base.corpus.endswith(INDEX_SUFFIX):
        yield Fault(
            ("base_model", "corpus"),
            "an index is compared with the source where an adapter is trained, and an endpoint's model is not",
            "Say in words what the model was trained on, or write `trained_before`",
        )
    for name in ("top_k", "min_p"):
        if generation is not None and getattr(generation, name) is not None:
            yield Fault(
                ("generation", name), f"a server that is asked for texts is told no `{name}`", "Leave it out: use top_p"
            )
    if base.shows_its_key:
        yield Fault(
            ("base_model", "endpoint"),
            "the key would go over the network for everybody on the way to read",
            "Write https, or reach the server through a tunnel that begins on this machine",
            "warning",
        )


def prompts_ask_for_every_label(parts: Parts) -> Iterator[Fault]:
    if parts.prompt is not None and parts.all_labels_hold:
        yield from prompt.faults(parts.prompt, [label for _, label in parts.labels])


def what_a_writer_is_told_has_no_turn_markers(parts: Parts) -> Iterator[Fault]:
    """Beside the prompt itself."""
    phrases, evolution = parts.release(KEY_PHRASES), parts.release(EVOLUTION)
    for place, shown in enumerate(phrases.demonstrations if phrases else ()):
        where = ("releases", KEY_PHRASES.name, "demonstrations", place)
        yield from prompt.markers((((*where, "asked"), shown.asked), ((*where, "text"), shown.text)))
    if evolution is not None:
        own = ("releases", EVOLUTION.name)
        yield from prompt.markers(((*own, "topics", place), topic) for place, topic in enumerate(evolution.topics))
        yield from prompt.markers([((*own, "paraphrase"), evolution.paraphrase or "")])


def new_texts_are_compared_by_what_the_table_has(parts: Parts) -> Iterator[Fault]:
    if parts.monitoring is not None:
        labels = [label.column for _, label in parts.labels] if parts.all_labels_hold else None
        yield from monitoring.faults(parts.monitoring, parts.text.column if parts.text else None, labels)


def variants_are_admissible(parts: Parts) -> Iterator[Fault]:
    """A variant without privacy is for a public source, and variants are no closed plan."""
    if parts.variants is None:
        return
    if parts.variants.has_none and not parts.source_is_public:
        yield Fault(
            ("variants", "epsilons"),
            "a variant without privacy would publish the source's people without any guarantee",
            "Leave `none` out; only a source that is declared public (`source_is_public: true`) may have it",
        )
    for place, method in enumerate(parts.variants.methods):
        writers: dict[str, Release[Any]] = {VOTED: EVOLUTION, BY_PHRASES: KEY_PHRASES}
        writer = writers.get(method.method, ADAPTER)
        others = [each for each in (ADAPTER, EVOLUTION) if each is not writer and parts.stands(each)]
        if parts.named and (others or not parts.stands(writer)):
            yield Fault(
                ("variants", "methods", place),
                f"a variant by `{method.method}` has its texts from `releases.{writer.name}` alone, and so must the "
                "contract",
                "Leave the variant out, or write a contract of its own for it, about the same population",
            )
    if parts.budget is not None and parts.budget.rule == "closed_plan":
        yield Fault(
            ("variants",),
            "a closed plan names every release in advance, and variants are released one at a time",
            "Write `rule: renyi_filter`, or leave the variants out",
        )


RULES: tuple[Callable[[Parts], Iterator[Fault]], ...] = (
    columns_have_one_role,
    classifiers_predict_labels,
    teachers_judge_the_corpus,
    cells_are_few,
    delta_is_small,
    releases_fit_the_budget,
    releases_fit_the_other_terms,
    texts_are_no_longer_than_learned,
    base_model_is_declared,
    servers_are_asked_for_what_they_can_do,
    prompts_ask_for_every_label,
    what_a_writer_is_told_has_no_turn_markers,
    new_texts_are_compared_by_what_the_table_has,
    variants_are_admissible,
)
