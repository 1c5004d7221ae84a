"""What comes after a draft: a ledger, the owner's signature, and the commands that are left, as they have to be typed.

Each is an act of its own that somebody asked for, by an option or an answer. The second signature is never given here:
it takes another person, who reads the contract first.
"""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import typer

from dpsynth_assets.cli.console import STOPPED, BadInput, say, shown
from dpsynth_assets.cli.init import create_home
from dpsynth_assets.cli.questions import AnswersEnd, Question, Stopped, answer, somebody_answers
from dpsynth_assets.contract import Contract, ContractError, load_contract
from dpsynth_assets.gate.approval import carry_out, needs, to_sign
from dpsynth_assets.publish.sql import plain, schema_of
from resources.heads import open_ledger
from resources.home import Home


def go_on(path: Path, *, init: bool, reason: str | None) -> None:
    """Make the ledger and sign for the owner as far as that was asked for, and say which commands are left."""
    contract, home, signed, stopped = load_contract(path), Home.at(), False, False
    try:
        signed = _started(contract, home, init=init, reason=reason)
    except AnswersEnd as end:  # the draft is written: what nobody asks for any more is left to the commands
        stopped = isinstance(end, Stopped)
    _say_what_is_left(contract, home, signed=signed)
    if stopped:
        raise typer.Exit(STOPPED)


def goes_on_with(path: Path) -> str:
    """How to go on with a contract that is there already, as after a draft that was stopped once it was written."""
    try:
        load_contract(path)
    except ContractError:
        return f"`dpsynth lint {path}` says what is wrong with it."
    first = "" if Home.at().has_ledger else "`dpsynth init`, then "
    return f"To go on with it: {first}`dpsynth approve {path}`, which says what there is to sign."


def _started(contract: Contract, home: Home, *, init: bool, reason: str | None) -> bool:
    """Whether the owner has signed."""
    if not home.has_ledger:
        if init or (somebody_answers() and answer(_a_ledger(home), None)):
            create_home(home)
            say("Made an empty privacy ledger at ", (home.ledger_name, "bold"), ".")
        elif reason:
            raise BadInput(
                f"there is no ledger at {home.ledger_file} to sign in: --init makes one. The draft is written"
            )
    return home.has_ledger and _sign(contract, home, reason)


def _a_ledger(home: Home) -> Question[bool]:
    def read(typed: str) -> bool:
        if typed.lower() not in ("yes", "no"):
            raise ValueError("write yes or no")
        return typed.lower() == "yes"

    return Question(
        "init",
        f"There is no privacy ledger at {home.ledger_file}. Make an empty one?",
        "Once, before the first contract. If there was one, restore it instead: it knows what has been spent on whom.",
        read,
        default="no",
    )


def _sign(contract: Contract, home: Home, reason: str | None) -> bool:
    """Sign for the owner, who has said everything that stands in the contract; whether that was done."""
    book, owner = open_ledger(home), contract.owners[0]
    lacking = needs(contract, book)
    question = Question(
        "reason",
        f"Why do you ask for this budget, {owner}? A line, or nothing to sign later.",
        "With a reason you sign for it now, as the first of two. It stands in the ledger for good.",
        lambda typed: " ".join(typed.split()),
        default="",
    )
    why = answer(question, reason) if lacking else ""
    if not why:
        return False
    if list(to_sign(lacking, book, actor=owner, reason=why)):
        say(f"{owner} has a key in this ledger, and signs with it: by `dpsynth approve`.")
        return False
    for line in carry_out(lacking, book, actor=owner, reason=why):
        say(line)
    return True


def _say_what_is_left(contract: Contract, home: Home, *, signed: bool) -> None:
    path, table = shown(contract.path), plain(schema_of(contract.id), contract.table)
    owner, approver = contract.owners[0], contract.approvers[0]
    left = [] if home.has_ledger else ["dpsynth init"]
    left += [] if signed else [f'dpsynth approve {path} --as {quote(owner)} --reason "..."']
    left += [f'dpsynth approve {path} --as {quote(approver)} --reason "..."']
    left += [f"dpsynth run {path}", f'dpsynth sql "select * from {table} limit 10"']
    say("Next: read it. `dpsynth plan` says what it would cost, `dpsynth source check` what cannot be read.")
    say("Then, each by the person whose name it has:" if not signed else "Then, the first by somebody else:")
    for command in left:
        say("  ", (command, "bold"))
