"""`dpsynth ledger`: where the privacy ledger lies, its file or a server, and its move from one to the other."""

from __future__ import annotations

from typing import Annotated

import typer

from dpsynth_assets.cli.console import say
from ledger.addresses import Address, address_of
from resources.heads import move_ledger
from resources.home import Home

FILE = "file"

app = typer.Typer(no_args_is_help=True, help="Move the privacy ledger to a PostgreSQL server, or back to its file.")


@app.command()
def move(
    to: Annotated[str, typer.Argument(help="postgresql://USER@HOST:PORT/DATABASE, or `file` for a file of the home.")],
) -> None:
    """Move the ledger with all its entries. It is checked first, and is in one place at any time.

    Killed on the way, the same command goes on, and one to the old place gives up. The password comes from
    $PGPASSWORD, or the file that $PGPASSFILE names. What was moved stays where it was, under another name, as nobody's
    ledger.
    """
    home = Home.at()
    old = move_ledger(home, server_of(to))
    say("The privacy ledger is at ", (home.ledger_name, "bold"), " now, every entry as it was.")
    say(f"The old one lies at {old}, where nobody looks for it.")


def server_of(text: str) -> Address | None:
    """The server that is named; None for the home's own file."""
    return None if text == FILE else address_of(text)
