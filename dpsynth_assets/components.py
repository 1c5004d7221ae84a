"""A contract as a Dagster component, for code locations that are laid out with `defs.yaml` files.

type: dpsynth_assets.components.ContractComponent
attributes:
  contract: ../../contracts/inbox.odcs.yaml
"""

from __future__ import annotations

import dagster as dg

from dpsynth_assets.contract import load_contract
from dpsynth_assets.factory import build_contract_defs


class ContractComponent(dg.Component, dg.Model, dg.Resolvable):
    """The assets of one data contract. `contract` is its path, relative to the component's folder."""

    contract: str

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        return build_contract_defs(load_contract(context.path / self.contract))
