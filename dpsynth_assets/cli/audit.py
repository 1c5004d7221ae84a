"""`dpsynth audit`: what was spent, on what, what was refused; is all intact; the journal, in and out; keys, seals."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from dpsynth_assets.cli.console import BadInput, aside, console, fail, put, say
from dpsynth_assets.cli.questions import somebody_answers
from dpsynth_assets.cli.signing import KeyOption, SignatureOption, signature_for
from dpsynth_assets.gate.approval import Act, Need
from dpsynth_assets.releases.registry import releases
from ledger import Checkpoint, LedgerError
from ledger.accounting import epsilon
from ledger.errors import InvalidEvent
from ledger.events import from_json
from ledger.rounded import down, up
from ledger.seals import fingerprint, read_portable
from ledger.snapshot import lines_of, write_snapshot
from ledger.visible import visible
from resources.evidence import artifacts, checkpoints, contradictions, gone, receipts
from resources.heads import open_ledger, restore_ledger
from resources.home import Home
from resources.seals import SEAL, digest_of

if TYPE_CHECKING:
    from ledger import Entry, Ledger, Statement

app = typer.Typer(help="What was spent, on what, and is the ledger intact.", invoke_without_command=True)


@app.callback()
def show(
    context: typer.Context,
    population: Annotated[str | None, typer.Option(help="Only this population.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the statements as JSON.")] = False,
) -> None:
    """Show budget, charges, refusals and guarantee of every population."""
    if context.invoked_subcommand is not None:
        return

    book = open_ledger(Home.at())
    statements = [book.statement(name) for name in ([population] if population else book.populations())]
    if as_json:
        put(json.dumps([_as_json(statement) for statement in statements], indent=2, default=_plain))
        return
    for statement in statements:
        _show(statement)
    if not statements:
        say("The ledger is empty: nothing has been registered or spent.")


@app.command()
def verify(
    checkpoint: Annotated[
        Path | None, typer.Option(help="A file of checkpoints kept elsewhere, one JSON object a line.")
    ] = None,
) -> None:
    """Recompute the ledger's chain and every admission, and compare all that lies on disk with what it has sealed:
    artifacts, receipts, cards, published tables, the warehouse. Exit code 1 if anything does not hold; the first bad
    entry comes first."""
    home = Home.at()
    book = open_ledger(home)
    kept = checkpoints(home) + (_checkpoints_in(checkpoint) if checkpoint else [])
    problems = book.verify(kept) or _not_as_sealed(home, book)
    for problem in problems:
        fail(problem)
    if problems:
        raise typer.Exit(1)
    say(
        ("✓ ", "green"),
        f"The ledger at {home.ledger_name} is intact: {len(book.entries())} entries, every one recomputed, "
        f"and {len(kept)} signed checkpoints agree with it. All artifacts and published tables that lie here are as it "
        "sealed them.",
    )
    for incident in book.incidents():
        say(
            ("! ", "red"),
            f"An audit refuted {incident.release} (charge {incident.reservation}, entry {incident.seq}): what is "
            "promised of it, and of all that was made from it, does not hold.",
        )
    if missing := gone(home, book):
        say(f"Not here any more of what it sealed: {', '.join(missing)}. If nobody removed it on purpose, put it back.")
    by_name = sum("signature" in entry.payload and entry.payload["signature"] is None for entry in book.entries())
    if by_name:
        say(f"{by_name} of its proposals and approvals are by a name without a key: these names are unauthenticated.")


def _not_as_sealed(home: Home, book: Ledger) -> list[str]:
    """What lies on disk otherwise than the ledger has it."""
    from dpsynth_assets.publish.warehouse import differences
    from resources.warehouse import Warehouse

    found = contradictions(home, book)
    return found + differences(home.warehouse, Warehouse(home=str(home.root)).tables())


@app.command()
def key() -> None:
    """Print the public key that this ledger's seals are signed with, for recipients (`dpsynth verify --key`). Give it
    to them by another way than the tables."""
    public_key = open_ledger(Home.at()).public_key
    put(public_key)
    aside(f"fingerprint {fingerprint(public_key)}")


@app.command()
def seal() -> None:
    """Seal releases that were paid for and not sealed: made before artifacts were sealed, or cut off just then. Free.

    Only those whose files are the ones that their charge was committed with, and that were made of rows alone; what was
    made from them is free to make again. Makes warehouse.duckdb anew where it is not what the sealed tables make it, as
    after the home was moved.
    """
    from dpsynth_assets.publish.warehouse import put_right
    from resources.artifact_store import ArtifactStore
    from resources.warehouse import Warehouse

    home = Home.at()
    made_from_more = [release.name for release in releases() if release.made_from]
    sealed = ArtifactStore(home=str(home.root)).seal_committed(but=made_from_more)
    for artifact in sealed:
        say(f"Sealed {artifact.contract}/{artifact.kind} {artifact.id} (entry {artifact.seal.seq}).")
    if not sealed:
        say("Nothing to seal: every release that the ledger knows by its files is sealed, or not here.")
    if made := put_right(home.warehouse, Warehouse(home=str(home.root)).tables()):
        say(f"Made {made} anew from the sealed tables.")


@app.command()
def export() -> None:
    """Print the journal: a line of JSON for each entry. docs/journal.md says what stands in it, and
    `python ledger/replay.py FILE` checks it without any of the platform's code."""
    for line in open_ledger(Home.at()).export():
        put(line)


@app.command()
def checkpoint() -> None:
    """Print the ledger's head, signed. Keep it where whoever can write to the ledger cannot; `verify --checkpoint`
    compares with it."""
    put(json.dumps(open_ledger(Home.at()).checkpoint().to_json()))


@app.command()
def restore(
    journal: Annotated[Path, typer.Argument(help="What `dpsynth audit export` printed.")],
    actor: Annotated[str, typer.Option("--as", help="Who restores.")],
    reason: Annotated[str, typer.Option(help="What happened, in a line; it stands in the ledger for good.")],
    missing: Annotated[int | None, typer.Option(help="How many later entries are known to be lost.")] = None,
) -> None:
    """Rebuild a lost ledger from its journal. It says so in an entry of its own, for every reviewer to see."""
    home = Home.at()
    try:
        lines = journal.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{journal} cannot be read ({type(error).__name__}): give an exported journal") from None
    home.create()
    restore_ledger(home, lines, actor=actor, reason=reason, missing=missing)
    say(f"Restored {len(lines)} entries to {home.ledger_name}. What was charged after them stays spent:")
    say(
        "write it down with ",
        ("dpsynth audit external", "bold"),
        "; ",
        ("dpsynth audit verify", "bold"),
        " compares with receipts.",
    )


@app.command()
def external(
    population: Annotated[str, typer.Argument(help="Whose budget it is charged to.")],
    event: Annotated[str, typer.Argument(help="The mechanism as JSON, as docs/journal.md lists them.")],
    actor: Annotated[str, typer.Option("--as", help="Who writes it down.")],
    reason: Annotated[str, typer.Option(help="What was released where, in a line.")],
    block: Annotated[list[str] | None, typer.Option(help="Only this block (repeat for more).")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    key: KeyOption = None,
    signature: SignatureOption = None,
) -> None:
    """Write down spending that was done elsewhere, for good. Takes one of the population's people; no budget refuses
    it, and beyond the cap nothing more is admitted."""
    try:
        decoded = from_json(json.loads(event))
    except InvalidEvent:
        raise
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, a list of thousands of levels
        why = error.msg if isinstance(error, json.JSONDecodeError) else "a number is too long, or it is nested too deep"
        raise BadInput(f'the event is not JSON ({why}): write {{"event": "gaussian", ...}}') from None
    book = open_ledger(Home.at())
    spent: dict[str, Any] = {"actor": actor, "reason": reason}
    spent["blocks"] = [f"{population}/{each}" for each in block] if block else None
    statement = book.to_charge_elsewhere(population, decoded, **spent)
    need = Need(f"what was spent elsewhere: {decoded.describe()}", None, population)
    act = Act(need, "write down", None, statement, book.key_of(actor, population))
    signed = signature_for(act, actor=actor, key=key, signatures=signature, name=population)
    if not yes:
        stands, only = book.spending(population), f", only {', '.join(block)}" if block else ""
        alone, left = epsilon(decoded, stands.delta), stands.epsilon_remaining
        question = (
            f"Charge {decoded.describe()} to population {population}{only}? It is ε {up(alone)} by itself, "
            f"ε {down(left)} is left, and it stays charged for good."
        )
        if not somebody_answers():
            raise BadInput(f"nobody is asked here: give --yes to agree. {visible(question)} Nothing was written down")
        if not typer.confirm(visible(question)):
            say("Nothing was written down.")
            raise typer.Exit(1)
    entry = book.external_charge(population, decoded, signature=signed, **spent)
    left = book.spending(population).epsilon_remaining
    say(f"Written down as entry {entry.seq}: {decoded.describe()}. ε {down(left)} is left.")


@app.command()
def report(
    out: Annotated[Path | None, typer.Option(help="Where the page goes; the views go beside it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the registry entry only.")] = False,
) -> None:
    """Write one page for reviewers, and a DuckDB file of views beside it: promise, budget, charges, refusals, who
    approved what, and whether the ledger is intact. Needs no network and no script to read."""
    from ledger.report import registry_entry, write_report

    home = Home.at()
    if out is None and not os.access(home.root, os.W_OK):
        raise BadInput(f"{home.root} cannot be written to: name a place for the page with --out, such as report.html")
    out = out or home.root / "audit" / "report.html"
    if out.is_dir():
        raise BadInput(f"--out {out} is a folder: give the name of the page, such as {out / 'report.html'}")
    book = open_ledger(home)
    problems = book.verify(checkpoints(home))
    problems += [] if problems else _not_as_sealed(home, book)
    signed = book.checkpoint().to_json()
    out.parent.mkdir(parents=True, exist_ok=True)
    snapshot = write_snapshot(lines_of(book.export()), out.with_name("audit.duckdb"), artifacts=artifacts(home))
    if as_json:
        put(json.dumps(registry_entry(snapshot, problems=problems, checkpoint=signed), indent=2))
        return
    page = write_report(
        snapshot,
        out,
        problems=problems,
        checkpoint=signed,
        second_opinion=_by_opacus,
        audits=_audits(home, book),
        weaker=_weaker,
    )
    say(
        "Wrote ",
        (str(page), "bold"),
        " for people and ",
        (str(snapshot), "bold"),
        " for SQL (docs/reviewers.md has queries).",
    )
    if problems:
        fail(f"the ledger is not intact: {problems[0]}")
        raise typer.Exit(1)


def _by_opacus(event: Mapping[str, Any], delta: float) -> str:
    """What Opacus says of a charge."""
    from dpsynth_assets.privacy.second_opinion import second_opinion

    try:
        return str(second_opinion(from_json(event), delta))
    except InvalidEvent:
        return "no second opinion: the event is unknown to this program"


def _weaker(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[str]:
    """What of terms in the journal gives less protection than those before them, or than is usual."""
    from dpsynth_assets.contract.diff import weakened

    try:
        return weakened(before, after)
    except (TypeError, ValueError, AttributeError):  # written by hand, or by a program that has other terms
        return ["this program cannot compare them"]


def _audits(home: Home, book: Ledger) -> dict[int, str]:
    """What audits of runs found, by the entries that reserved the charges; of files that are as the ledger has them."""
    from dpsynth_assets.audit.result import FILE, AuditResult

    found = {}
    sealed = {seal.seq: seal for seal in book.seals() if FILE in seal.files}
    for folder, _ in receipts(home):
        with suppress(LedgerError, OSError, ValueError, TypeError, KeyError):
            seal = sealed[read_portable((folder / SEAL).read_bytes())[0].seq]
            if digest_of(folder / FILE) != seal.files[FILE]:
                continue
            result = AuditResult.of(folder)
            if result is not None:
                found[seal.charges[-1]] = (
                    f"ε at least {result.lower_bound:.2f}, promised {result.epsilon:.2f} ({result.canaries} canaries, "
                    f"{result.confidence:.0%})"
                )
    return found


def _checkpoints_in(path: Path) -> list[Checkpoint]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        found = [Checkpoint.from_json(json.loads(line)) for line in lines if line.strip()]
        if not found:
            raise LedgerError("it is empty")
        return found
    except (ValueError, RecursionError, LedgerError) as error:
        why = error if isinstance(error, LedgerError) else "it is not a line of JSON for each"
        raise BadInput(f"{path} holds no checkpoints ({why}): keep what `dpsynth audit checkpoint` prints") from None


def _as_json(statement: Statement) -> dict[str, Any]:
    return {
        "ledger": statement.ledger_id,
        "balance": dataclasses.asdict(statement.balance),
        "guarantee": statement.guarantee,
        "charges": [
            {
                **dataclasses.asdict(charge),
                "event": charge.event.to_json(),
                "replayed": [event.to_json() for event in charge.replayed],
            }
            for charge in statement.reservations
        ],
        "external_charges": [_entry(entry) for entry in statement.external],
        "refusals": [_entry(entry) for entry in statement.refusals],
        "incidents": [dataclasses.asdict(incident) for incident in statement.incidents],
        "head": {"seq": statement.head.seq, "hash": statement.head.hash},
    }


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "seq": entry.seq,
        "time": entry.time,
        "release": entry.release,
        "owner": entry.owner,
        "event": entry.event.to_json() if entry.event else None,
        "why": entry.payload.get("why") or entry.payload.get("reason"),
    }


def _show(statement: Statement) -> None:
    out, balance = console(), statement.balance
    say((balance.population, "bold"), f": {statement.guarantee}")
    say(
        f"  cap ε {balance.epsilon_cap:g} at δ {balance.delta:g} · spent ",
        (up(balance.epsilon_spent), "bold"),
        f" (of it reserved {up(balance.epsilon_reserved)}) · left ",
        (down(balance.epsilon_remaining), "bold"),
    )
    reported = f"  beside it, enforced nowhere: basic sum ε {up(balance.basic_sum_epsilon)}"
    if balance.pld_epsilon is not None:
        reported += f", PLD ε {up(balance.pld_epsilon)} (holds for a plan fixed in advance)"
    say(reported, style="dim")
    if len(balance.blocks) > 1:
        for each in balance.blocks:
            say(f"  {each.block}: spent {up(each.epsilon_spent)}, left {down(each.epsilon_remaining)}")
    table = Table(title="charges", title_justify="left")
    for heading in ("release", "mechanism", "ε alone", "state", "run"):
        table.add_column(heading, justify="right" if heading == "ε alone" else "left")
    for charge in statement.reservations:
        state = {"committed": Text("committed", "green"), "voided": Text("voided: not charged", "dim")}.get(
            charge.state, Text(f"{charge.state}: charged", "yellow")
        )
        table.add_row(charge.release, charge.event.describe(), up(charge.epsilon_alone), state, charge.owner[:8])
    out.print(table)
    if statement.refusals:
        refused = Table(title="refused, nothing read", title_justify="left")
        for heading in ("entry", "when", "release", "mechanism", "why", "run"):
            refused.add_column(heading)
        for entry in statement.refusals:
            mechanism = entry.event.describe() if entry.event else ""
            why, run = str(entry.payload["why"]), str(entry.owner or "")[:8]
            refused.add_row(str(entry.seq), entry.time[:19], str(entry.release), mechanism, why, run)
        out.print(refused)
    for entry in statement.external:
        assert entry.event is not None
        say(f"Done elsewhere (entry {entry.seq}, {entry.owner}): {entry.event.describe()}; {entry.payload['reason']}")


def _plain(value: object) -> str:
    return str(value)
