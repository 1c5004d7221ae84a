"""A contract in, Dagster definitions out. Pure: reads no file but the contract it was given, opens no ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from dpsynth_assets.assets.adapter import adapter_asset
from dpsynth_assets.assets.budget import budget_asset
from dpsynth_assets.assets.card import card_asset
from dpsynth_assets.assets.classifier import classifier_asset
from dpsynth_assets.assets.contamination import contamination_check
from dpsynth_assets.assets.corpus import corpus_asset, quality_checks
from dpsynth_assets.assets.evaluation import evaluation_asset
from dpsynth_assets.assets.label_histogram import label_histogram_asset
from dpsynth_assets.assets.source import source_asset
from dpsynth_assets.assets.synthetic import synthetic_asset
from dpsynth_assets.automation import automated

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract

FAMILIES = (
    source_asset,
    label_histogram_asset,
    adapter_asset,
    budget_asset,
    corpus_asset,
    synthetic_asset,
    classifier_asset,
    evaluation_asset,
    card_asset,
)
NAMES = tuple(family.__name__.removesuffix("_asset") for family in FAMILIES)


def build_contract_defs(contract: Contract) -> dg.Definitions:
    """Assets and checks of one contract. The resources they need come from `resources.platform_resources`."""
    assets = [automated(family(contract)) for family in FAMILIES]
    return dg.Definitions(assets=assets, asset_checks=[quality_checks(contract), contamination_check(contract)])
