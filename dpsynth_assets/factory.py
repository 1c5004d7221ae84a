"""A contract in, Dagster definitions out. Pure: reads no file but the contract it was given, opens no ledger."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import dagster as dg

from dpsynth_assets.assets.budget import budget_asset
from dpsynth_assets.assets.candidates import candidates_asset
from dpsynth_assets.assets.card import card_asset
from dpsynth_assets.assets.classifier import classifier_asset
from dpsynth_assets.assets.contamination import contamination_check
from dpsynth_assets.assets.corpus import corpus_asset, quality_checks
from dpsynth_assets.assets.early_warning import early_warnings
from dpsynth_assets.assets.evaluation import evaluation_asset
from dpsynth_assets.assets.monitoring import monitoring_definitions
from dpsynth_assets.assets.privacy_audit import audited, privacy_audit_check
from dpsynth_assets.assets.release import release_asset
from dpsynth_assets.assets.safety_classifier import safety_classifier_asset
from dpsynth_assets.assets.safety_evaluation import safety_evaluation_asset
from dpsynth_assets.assets.source import source_asset
from dpsynth_assets.assets.synthetic import synthetic_asset
from dpsynth_assets.automation import automated
from dpsynth_assets.releases.registry import planned

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract

FREE = (
    source_asset,
    budget_asset,
    candidates_asset,
    corpus_asset,
    synthetic_asset,
    classifier_asset,
    evaluation_asset,
    safety_classifier_asset,
    safety_evaluation_asset,
    card_asset,
)


def assets_of(contract: Contract) -> list[dg.AssetsDefinition]:
    """The assets of a contract: those that cost nothing, and one for each release that it plans."""
    terms = contract.privacy
    left_out = {
        classifier_asset.__name__: terms.classifier is None,
        evaluation_asset.__name__: not terms.evaluated,
        safety_classifier_asset.__name__: terms.safety_classifier is None,
        safety_evaluation_asset.__name__: terms.safety_classifier is None or terms.test_split is None,
    }
    families = [each for each in FREE if not left_out.get(each.__name__)]
    releases = [release_asset(contract, release) for release in planned(contract)]
    return [automated(asset) for asset in (*(family(contract) for family in families), *releases)]


def asset_names(contract: Contract) -> tuple[str, ...]:
    """The assets that a contract has, without its own name before them."""
    return tuple(asset.key.path[-1] for asset in assets_of(contract))


def build_contract_defs(contract: Contract) -> dg.Definitions:
    """Assets and checks of one contract, a job for all of them, and what compares new texts with its table. The
    resources that they need come from `resources.platform_resources`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)  # Dagster's word for checks that are partitioned
        checks = [quality_checks(contract), contamination_check(contract), *early_warnings(contract)]
        if audited(contract):
            checks.append(privacy_audit_check(contract))
    whole = dg.define_asset_job(
        job_name(contract),
        selection=dg.AssetSelection.groups(contract.id.replace("-", "_")),
        description=(
            f"All of contract {contract.id}, from the snapshot to the card: each of its releases is charged anew. "
            "`dpsynth run` uses the releases that stand."
        ),
        tags={"dpsynth/contract": contract.id},
    )
    made = dg.Definitions(assets=assets_of(contract), asset_checks=checks, jobs=[whole])
    return dg.Definitions.merge(made, monitoring_definitions(contract))


def job_name(contract: Contract) -> str:
    """The job of a whole contract."""
    return f"run_{contract.declared.id}".replace("-", "_")
