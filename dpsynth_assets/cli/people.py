"""`dpsynth people`: who may sign for each population, by which keys, and how they are changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from dpsynth_assets.cli.console import BadInput, console, contract_at, say
from dpsynth_assets.cli.signing import KeyOption, SignatureOption, sign_all
from dpsynth_assets.gate.approval import Need, people_of, with_known_keys
from ledger import People, SetPeople
from ledger.signatures import fingerprint
from ledger.signatures import public_key as checked
from resources.heads import open_ledger
from resources.home import Home

if TYPE_CHECKING:
    from ledger import Ledger

app = typer.Typer(help="Who may sign for each population, and by which keys.", invoke_without_command=True)

Actor = Annotated[str, typer.Option("--as", help="Who signs: somebody who stands there.")]
Reason = Annotated[str, typer.Option(help="Why, in a line; it stands in the ledger for good.")]


@app.callback()
def show(context: typer.Context) -> None:
    """Show who stands for the ledger and each population, and whose names are authenticated by a key."""
    if context.invoked_subcommand is not None:
        return

    book = _book()
    table = Table()
    for heading in ("stands for", "who", "may", "key"):
        table.add_column(heading, overflow="fold")
    unauthenticated = False
    for place, people in _standing(book).items():
        for name in people.names:
            key = book.key_of(name, place or None)
            unauthenticated = unauthenticated or key is None
            may = "ask and agree" if people.may_approve(name) else "ask"
            shown = fingerprint(key) if key else "none: the name is unauthenticated"
            table.add_row(*map(Text, (place or "the ledger", name, may, shown)))
    console().print(table)
    if book.people() is None:
        say("Anybody may register a new population here: this ledger was made without people of its own.")
    if unauthenticated:
        say("Names without a key are what people say they are. `dpsynth people key` enrols one.")


@app.command("set")
def set_people(
    actor: Actor,
    reason: Reason,
    contract: Annotated[
        Path | None, typer.Argument(help="A contract, whose owners and approvers shall stand for its population.")
    ] = None,
    owner: Annotated[list[str] | None, typer.Option(help="In place of a contract: who may ask (repeat).")] = None,
    approver: Annotated[list[str] | None, typer.Option(help="Who may also agree (repeat).")] = None,
    population: Annotated[
        str | None, typer.Option(help="With --owner and --approver: for whom; the ledger unless given.")
    ] = None,
    key: KeyOption = None,
    signature: SignatureOption = None,
) -> None:
    """Have other people stand for a population, or for the ledger. One who stands there asks, an approver agrees.
    Whoever stays keeps the key."""
    book = _book()
    if contract is not None:
        read = contract_at(contract)
        population, people = read.privacy.population, people_of(read, book)
    elif owner or approver:
        people = with_known_keys(People(tuple(owner or ()), tuple(approver or ())), book, population)
    else:
        raise BadInput("give a contract, or --owner and --approver")
    place = f"population {population}" if population else "the ledger"
    if (stand := book.people(population)) is None:
        raise BadInput(f"nobody stands for {place} yet: `dpsynth approve` registers a population with its people")
    if stand == people:
        say(f"For {place} stand {people}, already.")
        return
    need = Need(f"that for {place} stand {people}", SetPeople(population, people), population or "")
    _sign([need], book, actor, reason, key, signature, "people")


@app.command("key")
def set_key(
    name: Annotated[str, typer.Argument(help="Whose key.")],
    public_key: Annotated[Path, typer.Argument(help="The public key, such as id_ed25519.pub.")],
    actor: Actor,
    reason: Reason,
    key: KeyOption = None,
    signature: SignatureOption = None,
) -> None:
    """Enrol or replace somebody's SSH key, at each place where this name stands. From the first on, whatever is done in
    the name anywhere in the ledger must be signed by a key, and the name is listed nowhere without it."""
    try:
        public = public_key.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{public_key} cannot be read ({type(error).__name__}): give the .pub file") from None

    enrolled = checked(public)
    book = _book()
    changes = _with_key(book, name, enrolled, f"the key {fingerprint(enrolled)} for {name}")
    _sign(changes, book, actor, reason, key, signature, "key")


@app.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(help="Whose key.")],
    actor: Actor,
    reason: Reason,
    key: KeyOption = None,
    signature: SignatureOption = None,
) -> None:
    """Take somebody's key away wherever this name stands. The name is unauthenticated then; `set` takes it out."""
    book = _book()
    _sign(_with_key(book, name, None, f"no key for {name}"), book, actor, reason, key, signature, "key")


def _with_key(book: Ledger, name: str, key: str | None, what: str) -> list[Need]:
    """The change for each place where somebody stands, ledger and populations, that has another key now."""
    places = {place: people for place, people in _standing(book).items() if people.may_ask(name)}
    if not places:
        raise BadInput(f"{name} stands nowhere in this ledger: `dpsynth people` shows who does")
    found = []
    for place, people in places.items():
        if people.key_of(name) != key:
            change = SetPeople(place or None, people.with_key(name, key))
            found.append(Need(f"{what}, standing for {place or 'the ledger'}", change, place))
    if not found:
        raise BadInput(f"there is nothing to change: {what} is what stands")
    return found


def _standing(book: Ledger) -> dict[str, People]:
    """The people of the ledger (under the empty name) and of each population, where somebody stands."""
    places = {"": book.people(), **{name: book.people(name) for name in book.populations()}}
    return {place: people for place, people in places.items() if people is not None}


def _sign(
    changes: list[Need],
    book: Ledger,
    actor: str,
    reason: str,
    key: Path | None,
    signatures: list[Path] | None,
    name: str,
) -> None:
    sign_all(changes, book, actor=actor, reason=reason, key=key, signatures=signatures, name=name)


def _book() -> Ledger:
    return open_ledger(Home.at())
