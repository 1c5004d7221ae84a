"""Those parts of the privacy terms that hold by themselves.

Where one part is broken, the others can still be checked against each other, so that an owner reads every problem at
once.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from dpsynth_assets.contract.budget import Budget
from dpsynth_assets.contract.classifiers import Classifier, PublicTestSplit, SafetyClassifier, usual_classifier
from dpsynth_assets.contract.monitoring import Monitoring
from dpsynth_assets.contract.prompt import Prompt
from dpsynth_assets.contract.source_terms import Blocks, CsvFiles, LabelColumn, PrivacyUnit, TextColumn
from dpsynth_assets.contract.synthesis import BaseModelTerms, Curation, Generation
from dpsynth_assets.contract.variants import Variants
from dpsynth_assets.releases import registry
from dpsynth_assets.releases.release import Release, T
from dpsynth_assets.releases.terms import ReleaseTerms
from dpsynth_assets.term import Equalities, Name, Terms

if TYPE_CHECKING:
    from dpsynth_assets.contract.terms import PrivacyTerms


@dataclass(frozen=True)
class Parts:
    """What of some privacy terms holds by itself.

    Attributes:
        labels: each with its place in the list.
        releases: those that hold, by name.
        named: the releases that the terms name, whether they hold or not.
    """

    unit: PrivacyUnit | None = None
    text: TextColumn | None = None
    labels: tuple[tuple[int, LabelColumn], ...] = ()
    all_labels_hold: bool = False  # as none do, where the terms name none
    budget: Budget | None = None
    blocks: Blocks | None = None
    releases: Mapping[str, ReleaseTerms] = field(default_factory=dict)
    named: frozenset[str] = frozenset()
    base_model: BaseModelTerms | None = None
    prompt: Prompt | None = None
    generation: Generation | None = None
    curation: Curation | None = None
    test_split: PublicTestSplit | None = None
    untested: bool = False  # the terms name no test split, not even one that does not hold
    classifier: Classifier | None = None
    safety_classifier: SafetyClassifier | None = None
    monitoring: Monitoring | None = None
    variants: Variants | None = None
    source_is_public: bool = False
    source_copies: tuple[str, ...] = ()
    source_where: Mapping[str, str | int | bool] = field(default_factory=dict)
    csv: CsvFiles | None = None

    def release(self, release: Release[T]) -> T | None:
        """What is said of a release, if it is planned and holds."""
        found = self.releases.get(release.name)
        return typing.cast("T | None", found)

    def stands(self, release: Release[Any]) -> bool:
        """Whether the terms name a release, however badly."""
        return release.name in self.named

    @classmethod
    def of(cls, terms: PrivacyTerms) -> Parts:
        """The parts of terms that all hold by themselves."""
        planned = {
            release.name: found for release in registry.releases() if (found := terms.releases.get(release)) is not None
        }
        return cls(
            unit=terms.unit,
            text=terms.text,
            labels=tuple(enumerate(terms.labels)),
            all_labels_hold=True,
            budget=terms.budget,
            blocks=terms.blocks,
            releases=planned,
            named=frozenset(planned),
            base_model=terms.base_model,
            prompt=terms.prompt,
            generation=terms.generation,
            curation=terms.curation,
            test_split=terms.test_split,
            untested=terms.test_split is None,
            classifier=terms.classifier,
            safety_classifier=terms.safety_classifier,
            monitoring=terms.monitoring,
            variants=terms.variants,
            source_is_public=terms.source_is_public,
            source_copies=terms.source_copies,
            source_where=terms.source_where,
            csv=terms.csv,
        )

    @classmethod
    def found_in(cls, raw: Any) -> Parts:
        """The parts that hold of what stands in a file as privacy terms, which may be anything."""
        if not isinstance(raw, dict):
            return cls()
        stated = raw.get("labels", [])
        entries = stated if isinstance(stated, list) else []
        labels = tuple(
            (index, label) for index, entry in enumerate(entries) if (label := _held(LabelColumn, entry)) is not None
        )
        where = _held(_Filter, {"where": raw.get("source_where", {})})
        copies = _held(_Copies, {"source_copies": raw.get("source_copies", [])})
        planned = raw.get("releases")
        planned = planned if isinstance(planned, dict) else {}
        releases = {release.name: _held(release.terms, planned.get(release.name)) for release in registry.releases()}
        return cls(
            unit=_held(PrivacyUnit, raw.get("unit")),
            text=_held(TextColumn, raw.get("text")),
            labels=labels,
            all_labels_hold=isinstance(stated, list) and len(labels) == len(entries),
            budget=_held(Budget, raw.get("budget")),
            blocks=_held(Blocks, raw.get("blocks")),
            releases={name: terms for name, terms in releases.items() if terms is not None},
            named=frozenset(name for name in planned if isinstance(name, str)),
            base_model=_held(BaseModelTerms, raw.get("base_model", {})),
            prompt=_held(Prompt, raw.get("prompt")),
            generation=_held(Generation, raw.get("generation")),
            curation=_held(Curation, raw.get("curation", {})),
            test_split=_held(PublicTestSplit, raw.get("test_split")),
            untested=raw.get("test_split") is None,
            classifier=_held(Classifier, raw["classifier"])
            if raw.get("classifier") is not None
            else usual_classifier([label for _, label in labels]),
            safety_classifier=_held(SafetyClassifier, raw.get("safety_classifier")),
            monitoring=_held(Monitoring, raw.get("monitoring")),
            variants=_held(Variants, raw.get("variants")),
            source_is_public=raw.get("source_is_public") is True,
            source_copies=copies.source_copies if copies else (),
            source_where=where.where if where else {},
            csv=_held(CsvFiles, raw.get("csv")),
        )


class _Filter(Terms):
    where: Equalities


class _Copies(Terms):
    source_copies: Annotated[tuple[Name, ...], Field(strict=False)]


M = typing.TypeVar("M", bound=BaseModel)


def _held(model: type[M], raw: Any) -> M | None:
    try:
        return model.model_validate(raw)
    except ValidationError:
        return None
