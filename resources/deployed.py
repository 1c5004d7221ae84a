"""Resources that come from the deployment alone: $DPSYNTH_HOME, or the definitions of the code location.

Whoever may launch a run may write its run config, and whatever Dagster's own `ConfigurableResource` holds can be set
there: the folder of the ledger, for one, and a run would spend from a ledger of its own. So the stores are plain
objects, and Dagster is given them under an empty configuration, by which it refuses a run that brings any.
"""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.resource_annotation import TreatAsResourceParam

NOTHING: dict[str, object] = {}  # what a run may configure


@dataclass(frozen=True)
class OfDeployment(TreatAsResourceParam):
    """What no run can configure. Assets and ops ask for it by the annotation of a parameter."""

    def as_resource(self) -> dg.ResourceDefinition:
        """For Dagster's definitions: always this very object, whatever the run config says."""
        return dg.ResourceDefinition(lambda _: self, config_schema=NOTHING, description=type(self).__doc__)


@dataclass(frozen=True)
class Deployed(OfDeployment):
    """A store under a home folder. `home` empty means $DPSYNTH_HOME, or `.dpsynth` in the working directory."""

    home: str = ""


class NothingPasses(dg.IOManager):
    """Assets hand one another names in the stores, never values; Dagster's own manager pickles them to a folder that a
    run may name."""

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        raise TypeError(f"{context.step_key} returned a value: assets keep what they make in the artifact store")

    def load_input(self, context: dg.InputContext) -> object:
        raise TypeError("a step asks for another one's value: assets read the artifact store")
