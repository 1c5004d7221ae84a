"""The contract that a rehearsal runs: the real one's terms, about nobody, with less of everything.

What it names is made up and lies in the rehearsal's folder: source, test split, rows to mix in. Population, owners and
approvers are invented. So whatever runs under it has no way to the real contract's source, its copies or its public
rows. Only the base model is the real one's, which is public. Reads no file.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpsynth_assets.contract import Column, resolve
from dpsynth_assets.contract.base_models import is_path
from dpsynth_assets.contract.synthesis import INDEX_SUFFIX
from dpsynth_assets.language.promise import TrainingPromise
from dpsynth_assets.privacy.plan import TrainingPlan
from dpsynth_assets.releases.adapter import ADAPTER
from dpsynth_assets.releases.dp_baseline import DP_BASELINE
from dpsynth_assets.releases.evolution import EVOLUTION
from dpsynth_assets.releases.labeller import LABELLER
from dpsynth_assets.releases.registry import planned
from dpsynth_assets.releases.votes import VOTES

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.contract.releases import Releases
    from dpsynth_assets.contract.terms import PrivacyTerms
    from dpsynth_assets.releases.release import Release

POPULATION = "rehearsal"
OWNER, APPROVER = "nobody@rehearsal.example", "nobody-else@rehearsal.example"
SOURCE, TEST, MIX = "source.parquet", "test.parquet", "mix.parquet"
_A_BATCH = 4  # a step of a rehearsal takes one in so many of its units, so that training does sample
TRAINED: tuple[Release[Any], ...] = (ADAPTER, LABELLER, DP_BASELINE)
_ROW_COUNT = "expect_table_row_count_to_be_between"


@dataclass(frozen=True)
class Scale:
    """How much of it all a rehearsal does, at most.

    Attributes:
        units: made-up privacy units.
        steps: of each training.
        texts: rows of the synthetic table.
    """

    units: int
    steps: int
    texts: int


@dataclass(frozen=True)
class Rehearsed:
    """The contract to be run, and what of the real one it leaves out, in words."""

    contract: Contract
    left_out: tuple[str, ...]


def rehearsed(contract: Contract, folder: Path, scale: Scale) -> Rehearsed:
    """What of a contract is rehearsed, with its places in `folder`."""
    terms = contract.privacy
    units = min(scale.units, terms.unit.public_count)
    left_out = []
    if counted := [rule.name for rule in contract.quality if rule.expectation == _ROW_COUNT]:
        left_out.append(f"rules about the number of rows ({', '.join(counted)}): a rehearsal has fewer")
    if terms.curation.needs_labeller:
        left_out.append("choosing texts by the labeller: so little trained, it finds none of some labels")
    small = terms.model_copy(
        update={
            "population": POPULATION,
            "unit": terms.unit.model_copy(update={"public_count": units}),
            "labels": tuple(label.model_copy(update={"codes": None, "spellings": None}) for label in terms.labels),
            # Room for what a smaller population makes dearer: this budget is nobody's.
            "budget": terms.budget.model_copy(update={"epsilon": _afforded(contract), "rule": "renyi_filter"}),
            "blocks": None,
            "source_copies": (),
            "csv": None,
            "source_where": {},
            "base_model": terms.base_model.model_copy(update=_base_model(contract)),
            "releases": _releases(terms, units, scale),
            "generation": terms.generation.model_copy(update={"rows": min(terms.generation.rows, scale.texts)}),
            "curation": terms.curation.model_copy(update={"labels": "asked", "confidence": None}),
            "test_split": _lying(terms.test_split, folder / TEST),
            "classifier": _mixing(terms.classifier, folder / MIX),
            "safety_classifier": _mixing(terms.safety_classifier, folder / MIX),
            "variants": None,
        }
    )
    made = replace(
        contract,
        base=None,
        name=f"Rehearsal of {contract.title}, on made-up rows",
        intent={"purpose": "A rehearsal on made-up rows: nothing here is about anybody, and nothing may be used."},
        path=folder / contract.path.name,
        digest=hashlib.sha256(f"rehearsal of {contract.digest}".encode()).hexdigest(),
        owners=(OWNER,),
        approvers=(APPROVER,),
        columns=tuple(Column(name, "string", True, "", None) for name in columns_of(small)),
        source=str(folder / SOURCE),
        stored_as=None,
        database_schema=None,
        quality=tuple(rule for rule in contract.quality if rule.expectation != _ROW_COUNT),
        privacy=small,
    )
    if not _can_be_audited(made):
        left_out.append("the audit of the training: so few steps leave its canaries nothing to refute")
        made = replace(made, privacy=_but(small, ADAPTER, canaries=0))
    return Rehearsed(made, tuple(left_out))


def columns_of(terms: PrivacyTerms) -> list[str]:
    """The columns of made-up rows: unit, text and labels."""
    labels = [label.column for label in terms.labels]
    return [*([terms.unit.column] if terms.unit.column else []), terms.text.column, *labels]


def _afforded(contract: Contract) -> float:
    budget = contract.privacy.budget
    each = (contract.privacy.releases[release].epsilon_of(budget) for release in planned(contract))
    return float(budget.epsilon + sum(price for price in each if price < float("inf")))


def _base_model(contract: Contract) -> dict[str, Any]:
    """Its places as seen from anywhere."""
    base, found = contract.privacy.base_model, {}
    if base.endpoint is None and is_path(base.name):
        found["name"] = str(resolve(base.name, contract))
    if base.corpus is not None and base.corpus.endswith(INDEX_SUFFIX):
        found["corpus"] = str(resolve(base.corpus, contract))
    return found


def _releases(terms: PrivacyTerms, units: int, scale: Scale) -> Releases:
    """The releases in small. Their prices stay: a smaller population gets more noise for them, in as much time."""
    found = terms.releases
    for release in TRAINED:
        if (own := found.get(release)) is None:
            continue
        steps, bands = min(own.steps, scale.steps), 1
        more: dict[str, Any] = {"steps": steps}
        if release is ADAPTER:
            more["noise_bands"] = bands = min(own.noise_bands, steps, units)
        more["expected_batch_size"] = min(own.expected_batch_size, max(1, units // max(_A_BATCH, bands)))
        found = found.but(release, own.model_copy(update=more))
    if (evolution := found.get(EVOLUTION)) is not None:
        texts = min(evolution.texts, 4)
        more = {"rounds": min(evolution.rounds, 2), "texts": texts, "topics": evolution.topics[:texts]}
        found = found.but(EVOLUTION, evolution.model_copy(update=more))
    if (votes := found.get(VOTES)) is not None:
        found = found.but(VOTES, votes.model_copy(update={"clusters": min(votes.clusters, max(2, scale.texts // 8))}))
    return found


def _but(terms: PrivacyTerms, release: Any, **more: Any) -> PrivacyTerms:
    changed = terms.releases[release].model_copy(update=more)
    return terms.model_copy(update={"releases": terms.releases.but(release, changed)})


def _can_be_audited(contract: Contract) -> bool:
    """Whether canaries that are there could refute what training promises: else a run refuses to begin."""
    from dpsynth_assets.audit.result import right_to_refute

    adapter = contract.privacy.releases.get(ADAPTER)
    if adapter is None or not adapter.canaries or contract.without_privacy:
        return True
    plan = TrainingPlan.from_contract(contract)
    return right_to_refute(TrainingPromise([plan.event()], plan.delta), plan.canaries) is not None


def _lying(rows: Any, place: Path) -> Any:
    """Public rows as they would be at another place; None where there are none."""
    moved: dict[str, Any] = {"path": str(place), "where": {}, "csv": None, "declared_public_by": OWNER}
    return rows and rows.model_copy(update=moved)


def _mixing(part: Any, place: Path) -> Any:
    """A classifier with such rows, which the labeller does not teach: none of its judgements are rehearsed."""
    teacher = {"teacher": type(part).model_fields["teacher"].default} if part and part.taught_by_labeller else {}
    return part and part.model_copy(update={"mix": _lying(part.mix, place), **teacher})
