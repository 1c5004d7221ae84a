"""`dpsynth ui`: the Dagster web interface over this home folder."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import secrets
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from dpsynth_assets.cli.console import BadInput, say
from resources.home import Home

_TOKEN = "DPSYNTH_UI_TOKEN"
_ORIGIN = re.compile(r"((?P<scheme>https?)://)?(?P<host>[a-z0-9.-]+|\[[0-9a-f:.]+\])(:(?P<port>[0-9]{1,5}))?")
_USUAL = {"http": "80", "https": "443"}
_SECRET = re.compile(r"[A-Za-z0-9_-]{32,}")


def ui(
    port: Annotated[int, typer.Option(help="Port of the web interface.", min=1, max=65535)] = 3000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(help="Answer to this name too (repeat for more): where a login stands in front, its address."),
    ] = None,
    workspace: Annotated[
        Path | None,
        typer.Option(help="Dagster's file that says where the code server is, where others run it and the daemon."),
    ] = None,
) -> None:
    """Open the Dagster UI over what has been run here. Stop it with Ctrl-C.

    It answers to whoever has the secret in the address that it prints, and to no page of another site. A secret that
    stays the same from start to start is taken from $DPSYNTH_UI_TOKEN. docs/operators.md says how to put a login in
    front.
    """
    origins = origins_of(host, port, allowed_host or ())
    if workspace is not None and not workspace.is_file():
        raise BadInput(f"--workspace {workspace}: there is no such file")
    require_free(host, port)  # before Dagster's processes are started, which takes many seconds
    chosen = _chosen_token()
    token = chosen or secrets.token_urlsafe(32)
    home = Home.at()
    home.enter()
    os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])  # noqa: PTH120
    say("Dagster UI: ", (f"{origins[0]}/?token={f'${_TOKEN}' if chosen else token}", "bold"), "  (Ctrl-C stops it)")

    from dpsynth_assets.web.serving import serve

    try:
        serve(host, port, origins, token, workspace)
    except SystemExit:  # the web server could not begin; it has said why
        raise BadInput(f"the interface could not be started on port {port} of {host}: choose another --port") from None
    say(f"The Dagster UI has stopped. What was run is kept in {home.root}: `dpsynth ui` shows it again.")


def _chosen_token() -> str | None:
    """The secret that the operator chose. Children do not inherit it: they would hand it to the code of every run."""
    chosen = os.environ.pop(_TOKEN, None)
    if chosen is not None and not _SECRET.fullmatch(chosen):
        raise BadInput(f"${_TOKEN} must be at least 32 letters, digits, - and _: let a generator of secrets make it")
    return chosen


def require_free(host: str, port: int) -> None:
    """Pass if the interface can listen there.

    Raises:
        BadInput: another program does, or this account may not.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the web server does
            tried.bind(address)
    except OSError as error:
        what = "another program listens there" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise BadInput(
            f"port {port} of {host} cannot be used: {what}. Stop what uses it, an earlier `dpsynth ui` perhaps, or "
            "choose another one, such as `dpsynth ui --port 3001`"
        ) from None


def origins_of(host: str, port: int, allowed: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """The origins under which browsers reach the interface: its own address, and what stands in front of it.

    Raises:
        BadInput: it listens on all addresses and nobody has said under which name, or a name is none.
    """
    suffix = "" if port == 80 else f":{port}"
    named = [_origin(each) for each in allowed]
    if host in ("localhost", "127.0.0.1", "::1"):
        return tuple(f"http://{name}{suffix}" for name in ("127.0.0.1", "localhost", "[::1]")) + tuple(named)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return (f"http://{host.lower()}{suffix}", *named)
    if not address.is_unspecified:
        return (f"http://[{address}]{suffix}" if address.version == 6 else f"http://{address}{suffix}", *named)
    if not named:
        raise BadInput(f"--host {host} listens on all addresses: say under which name with --allowed-host NAME")
    return tuple(named)


def _origin(name: str) -> str:
    """`dpsynth.example.org` as `https://dpsynth.example.org`; an origin in full as browsers write it."""
    match = _ORIGIN.fullmatch(name.lower())
    if match is None:
        raise BadInput(f"--allowed-host {name}: give one host, such as dpsynth.example.org, or http://HOST:PORT")
    scheme, host, port = match["scheme"] or "https", match["host"], match["port"]
    return f"{scheme}://{host}" + (f":{port}" if port and port != _USUAL[scheme] else "")
