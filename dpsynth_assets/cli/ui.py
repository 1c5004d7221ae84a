"""`dpsynth ui`: the Dagster web interface over this home folder."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from dpsynth_assets.cli.console import say


def ui(
    port: Annotated[int, typer.Option(help="Port of the web interface.")] = 3000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Open the Dagster UI over what has been run here. Stop it with Ctrl-C."""
    from resources.home import Home

    home = Home.at()
    home.enter()
    say("Dagster UI: ", (f"http://{host}:{port}", "bold"), "  (Ctrl-C stops it)")
    os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])  # noqa: PTH120
    # `dg dev`, which it names instead, wants a project of its own kind: the users of this one can do nothing about it.
    hushed = "ignore:Function `dev_command` is superseded"
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), hushed)))
    command = ["dagster", "dev", "-m", "dpsynth_assets.definitions", "-h", host, "-p", str(port)]
    os.execvp(sys.executable, [sys.executable, "-m", *command])
