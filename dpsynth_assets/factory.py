"""A contract in, Dagster definitions out. Pure: reads no file but the contract it was given, opens no ledger."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import dagster as dg

from dpsynth_assets.assets.adapter import adapter_asset
from dpsynth_assets.assets.budget import budget_asset
from dpsynth_assets.assets.candidates import candidates_asset
from dpsynth_assets.assets.card import card_asset
from dpsynth_assets.assets.classifier import classifier_asset
from dpsynth_assets.assets.common import releases_of
from dpsynth_assets.assets.contamination import contamination_check
from dpsynth_assets.assets.corpus import corpus_asset, quality_checks
from dpsynth_assets.assets.dp_classifiers import dp_baseline_asset, labeller_asset
from dpsynth_assets.assets.evaluation import evaluation_asset
from dpsynth_assets.assets.label_histogram import label_histogram_asset
from dpsynth_assets.assets.safety_classifier import safety_classifier_asset
from dpsynth_assets.assets.safety_evaluation import safety_evaluation_asset
from dpsynth_assets.assets.source import source_asset
from dpsynth_assets.assets.synthetic import synthetic_asset
from dpsynth_assets.assets.votes import votes_asset
from dpsynth_assets.automation import automated

if TYPE_CHECKING:
    from collections.abc import Callable

    from dpsynth_assets.contract import Contract

FAMILIES = (
    source_asset,
    label_histogram_asset,
    adapter_asset,
    labeller_asset,
    dp_baseline_asset,
    budget_asset,
    candidates_asset,
    votes_asset,
    corpus_asset,
    synthetic_asset,
    classifier_asset,
    evaluation_asset,
    safety_classifier_asset,
    safety_evaluation_asset,
    card_asset,
)


def asset_names(contract: Contract) -> tuple[str, ...]:
    """The assets that a contract has, without its own name before them."""
    return tuple(family.__name__.removesuffix("_asset") for family in _families(contract))


def build_contract_defs(contract: Contract) -> dg.Definitions:
    """Assets and checks of one contract. The resources they need come from `resources.platform_resources`."""
    assets = [automated(family(contract)) for family in _families(contract)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)  # Dagster's word for checks that are partitioned
        checks = [quality_checks(contract), contamination_check(contract)]
    return dg.Definitions(assets=assets, asset_checks=checks)


def _families(contract: Contract) -> list[Callable[[Contract], dg.AssetsDefinition]]:
    """All of them, but for those that the contract does not ask for."""
    optional = {"labeller": labeller_asset, "votes": votes_asset, "dp_baseline": dp_baseline_asset}
    absent = {family for name, family in optional.items() if name not in releases_of(contract)}
    if contract.privacy.safety_classifier is None:
        absent |= {safety_classifier_asset, safety_evaluation_asset}
    return [family for family in FAMILIES if family not in absent]
