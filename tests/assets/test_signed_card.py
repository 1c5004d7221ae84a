"""A card speaks for the contract, so it is made under what stands in the ledger only. So are texts that are drawn."""

import dagster as dg
import pytest

from dpsynth_assets.contract import load_contract
from dpsynth_assets.factory import build_contract_defs
from resources.artifact_store import ArtifactStore
from resources.platform import platform_resources

EDITS = {
    "another purpose": ("purpose: For tests.", "purpose: To sell to anybody."),
    "another population": ("population: small-bank", "population: everybody"),
    "a smaller budget": ("epsilon: 8.0", "epsilon: 7.5"),
    "another declaration": ("declared_public_by: ", "declared_public_by: nobody-"),
}


@pytest.fixture
def place(same_place):
    return same_place


@pytest.mark.slow
@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_no_card_is_made_under_terms_that_nobody_signed(ran, contract_path, home, instance, edit):
    ran()
    standing = ArtifactStore(home=str(home.root)).latest("small", "card").id
    assert not makes("card", contract_path, home, instance, edit)
    assert ArtifactStore(home=str(home.root)).latest("small", "card").id == standing


@pytest.mark.slow
def test_no_texts_are_asked_for_under_terms_that_nobody_signed(ran, contract_path, home, instance):
    ran()
    assert not makes("candidates", contract_path, home, instance, EDITS["another purpose"])


@pytest.mark.slow
def test_the_same_is_made_where_nothing_was_changed(ran, contract_path, home, instance):
    ran()
    assert makes("card", contract_path, home, instance, ("# nothing", "# nothing"))


def makes(asset, path, home, instance, edit):
    text = path.read_text(encoding="utf-8")
    assert edit[0] in text or edit[0] == edit[1]
    path.write_text(text.replace(*edit), encoding="utf-8")
    parts = build_contract_defs(load_contract(path)), dg.Definitions(resources=platform_resources(str(home.root)))
    job = dg.Definitions.merge(*parts).resolve_implicit_global_asset_job_def()
    chosen = [dg.AssetKey(["small", asset])]
    result = job.execute_in_process(instance=instance, raise_on_error=False, asset_selection=chosen)
    return asset in {event.asset_key.path[-1] for event in result.get_asset_materialization_events()}
