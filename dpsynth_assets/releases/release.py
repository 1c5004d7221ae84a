"""What a release is: a value that says all there is to say about one charged computation on sensitive rows.

Everything about releases is derived from such values: the contract's terms, the assets and their partitions, the plan's
table, the labels of the command line, what `lint` asks. A new release is a module here and an entry in the registry.

Knows no Dagster, no ledger and no store. How it is planned and what it computes stand in other packages, above the
contract, and are imported by name when they are needed: a code location must load without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from dpsynth_assets.progress import Progress
from dpsynth_assets.releases.terms import ReleaseTerms
from dpsynth_assets.term import Fault

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.contract.parts import Parts
    from dpsynth_assets.releases.rows import Rows
    from ledger import Event

T = TypeVar("T", bound=ReleaseTerms)


class Plan(Protocol):
    """What one release is going to do, in public constants, fixed before a row is read.

    A plan that can go on after a kill also has `replay`: from a checkpoint folder, and the events charged on earlier
    occasions, to what would run again, or None.
    """

    @property
    def epsilon(self) -> float:
        """Of this release alone; infinite without privacy."""

    def event(self) -> Event:
        """The event that is charged."""

    def digest(self) -> str:
        """Identity of the plan; the charge carries it."""

    def former_digests(self) -> tuple[str, ...]:
        """By which former versions of this program would have known the same plan."""

    def describe(self) -> dict[str, Any]:
        """The plan as plain values, all public."""


class Made(Protocol):
    """What a release is made from beside the rows: the files of an artifact."""

    @property
    def folder(self) -> Path: ...

    @property
    def digest(self) -> str: ...


class Launch(Protocol):
    """Starts processes that compute one release together, and waits for them."""

    @property
    def ranks(self) -> int:
        """How many."""

    @property
    def sharded(self) -> bool:
        """Whether what is public and too large for one of them is divided among them."""

    def __call__(
        self,
        module: str,
        environment: Mapping[str, str],
        inherited: Sequence[int],
        told: Callable[[Mapping[str, Any]], None],
    ) -> bool:
        """Run the module in each of them; gives whether all ended well.

        Args:
            environment: variables, beside this process's own.
            inherited: descriptors that they have too.
            told: what one of them says, while it runs: public values.
        """


@dataclass(frozen=True)
class Workspace:
    """What a release works with inside the gate, beside the rows.

    Attributes:
        folder: what it writes here is let out.
        checkpoints: in the sensitive zone, for what a killed run leaves.
        keep: told a name and a text with figures about the rows, which stay beside them.
        progress: told how far the work has come, and nothing of the rows.
        launch: for what can be computed in several processes; None where all is computed in this one.
    """

    folder: Path
    checkpoints: Path
    keep: Callable[[str, str], object]
    progress: Progress
    launch: Launch | None = None


@dataclass(frozen=True)
class Ran:
    """What really ran.

    Attributes:
        event: what was charged ran like this; None without privacy.
        replayed: what of it ran more than once, where the run was killed on its way.
        facts: released or public values to show: numbers, texts, tables (`Markdown`) or mappings.
        warning: what whoever runs it should know, made of released or public values.
    """

    event: Event | None
    replayed: Event | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    warning: str | None = None


class Markdown(str):
    """A fact that is shown as Markdown."""

    __slots__ = ()


class AwayError(RuntimeError):
    """What a release needs from outside is away for now: a server, say. A run of the same release later goes on.

    Raised while rows are at hand it is shown in its own words. So they are made of public values and of releases, and
    whoever raises it has seen no row.
    """


class Work(Protocol):
    """What a release computes; a module with these functions."""

    def check(
        self,
        contract: Contract,
        plan: Any,
        made_from: Mapping[str, Made],
        progress: Progress,
        launch: Launch | None = None,
    ) -> Any:
        """Everything that can fail without a row fails here, before anything is charged; gives what `run` then uses.
        `launch` is the workspace's.

        Called where the ledger would admit the plan, or for a run that takes over a killed one.
        """

    def run(self, contract: Contract, plan: Any, rows: Rows, ready: Any, work: Workspace) -> Ran:
        """Compute the release from the rows and write it to the workspace's folder. `ready` is from `check`."""


def by_labels(contract: Contract, each: str = "per") -> str:
    """` per combination of topic, safety`; nothing where there are no labels."""
    columns = ", ".join(label.column for label in contract.privacy.labels)
    return f" {each} combination of {columns}" if columns else ""


Planner = Callable[["Contract", "Release[Any]", float], Plan]


def _named(place: str) -> Any:
    """What `module:name` stands for, imported now."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def _no_rules(parts: Parts) -> Iterator[Fault]:
    return iter(())


@dataclass(frozen=True, eq=False)
class Release(Generic[T]):
    """One release.

    Attributes:
        name: of its asset, of what it leaves and of its terms; what it is charged under, behind the contract's id.
        terms: what a contract may say of it.
        meaning: what the field of the contract's terms means.
        title: what the command line calls its work.
        result: what a recipient has in hand.
        describe: says of a contract that plans it what is going to be released, as plain text.
        planner: makes the plan (`Planner`); by the name of its module and its own, or itself.
        work: the module of `Work`, by name, or itself.
        technologies: as Dagster shows them.
        optional: whether a contract may leave it out.
        after: what its asset waits for, where the contract has it. After the label histogram, nothing is charged where
            that says that there are next to no rows.
        made_from: the artifacts that it is made from beside the rows, of those that the contract has.
        in_variants: whether each release variant of a contract has one of its own.
        unread: by the name of its module and its own, what stands in its place where no row is read
            (`dpsynth_assets.variants`): from a contract and a folder to facts. None: it is left out there.
        rules: what must hold between its terms and the others.
        examples: values for terms that a contract lacks, by their names.
    """

    name: str
    terms: type[T]
    meaning: str
    title: str
    result: str
    describe: Callable[[Contract], str]
    planner: str | Planner
    work: str | Work
    technologies: frozenset[str] = frozenset()
    optional: bool = True
    after: tuple[str, ...] = ()
    made_from: tuple[str, ...] = ()
    in_variants: bool = True
    unread: str | None = None
    rules: Callable[[Parts], Iterator[Fault]] = _no_rules
    examples: Mapping[str, str] = field(default_factory=dict)

    def plan(self, contract: Contract, size: float = 1.0) -> Plan:
        """What a contract's release is going to do; `size` in (0, 1] is a quick pass over that share of the units."""
        planner = cast("Planner", _named(self.planner)) if isinstance(self.planner, str) else self.planner
        return planner(contract, self, size)

    def without_rows(self, contract: Contract, folder: Path) -> Mapping[str, Any]:
        """Write to `folder` what stands in its place where no row is read; gives facts to show, all public."""
        assert self.unread is not None, "it is left out there"
        facts: Mapping[str, Any] = _named(self.unread)(contract, folder)
        return facts

    @property
    def computes(self) -> Work:
        """The module that computes it, imported now."""
        return cast("Work", import_module(self.work)) if isinstance(self.work, str) else self.work
