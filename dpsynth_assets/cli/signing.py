"""Signatures of people with a key: by running ssh-keygen here, or from files that were signed elsewhere.

The private key is ssh-keygen's business, passphrase and agent included; nothing here opens it.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpsynth_assets.cli.console import BadInput, say, shown
from dpsynth_assets.gate.approval import carry_out, people_differ, to_sign
from ledger import Ledger, LedgerError
from ledger.signatures import NAMESPACE, SignatureRefused, require_signature, unarmored
from resources.home import Home

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.gate.approval import Act, Need, Signer

KeyOption = Annotated[Path | None, typer.Option("--key", help="Your SSH key: ssh-keygen signs with it, here and now.")]
SignatureOption = Annotated[
    list[Path] | None, typer.Option("--signature", help="A .sig file that was made elsewhere (repeat for more).")
]


def sign_all(
    changes: Sequence[Need],
    book: Ledger,
    *,
    actor: str,
    reason: str,
    key: Path | None,
    signatures: Sequence[Path] | None,
    name: str,
) -> None:
    """Do and say what one person can do about the changes. Somebody with a key, who gave neither key nor signatures,
    is told what to sign instead: exit code 1."""
    signer = _by_key(key) if key else _from_files(signatures) if signatures else None
    if signer is None and (acts := list(to_sign(changes, book, actor=actor, reason=reason))):
        _tell_what_to_sign(acts, actor, name)
        raise typer.Exit(1)
    for line in carry_out(changes, book, actor=actor, reason=reason, signer=signer):
        say(line)


def signature_for(
    act: Act, *, actor: str, key: Path | None, signatures: Sequence[Path] | None, name: str
) -> str | None:
    """This person's signature for one act, None where no key stands for the name. As above without key and signatures:
    exit code 1."""
    if act.key is None:
        return None
    signer = _by_key(key) if key else _from_files(signatures) if signatures else None
    if signer is None:
        _tell_what_to_sign([act], actor, name)
        raise typer.Exit(1)
    return signer(act.statement, act.key)


def say_who_stands(contract: Contract) -> None:
    """Say whether others stand in the ledger than the contract names; silent where there is no ledger to be read."""
    with suppress(LedgerError):
        if differ := people_differ(contract, Ledger(Home.at().ledger_file)):
            say(f"Note: {differ}.")


def _tell_what_to_sign(acts: Iterable[Act], actor: str, name: str) -> None:
    files = []
    for number, act in enumerate(acts, 1):
        path = Path(f"{name}-{number}.statement")
        path.write_text(act.statement, encoding="utf-8")
        files.append(path)
        joined = {"agree": "agree to", "ask": "ask for"}.get(str(act.does), str(act.does))
        say(f"{path}: to {joined} {act.need.what}")
    listed = " ".join(map(shown, files))
    say(f"{actor} has a key in this ledger, so this takes a signature. Read what was written, then sign it:")
    say(f"  ssh-keygen -Y sign -n {NAMESPACE} -f ~/.ssh/id_ed25519 {listed}")
    say(f"and give the same command again with {' '.join(f'--signature {shown(path)}.sig' for path in files)}")
    say("(or at once with --key ~/.ssh/id_ed25519). Signatures hold until something else is decided about the same.")


def _by_key(key: Path) -> Signer:
    def sign(statement: str, public: str) -> str:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "statement"
            path.write_text(statement, encoding="utf-8")
            command = ["ssh-keygen", "-q", "-Y", "sign", "-n", NAMESPACE, "-f", str(key.expanduser()), str(path)]
            try:
                made = subprocess.run(command, check=False)
            except OSError:
                raise BadInput("ssh-keygen is not on this machine: sign elsewhere, and give --signature") from None
            signature = Path(f"{path}.sig")
            if made.returncode or not signature.exists():
                raise BadInput(f"ssh-keygen could not sign with {key}: its own message stands above")
            return unarmored(signature.read_text(encoding="utf-8"))

    return sign


def _from_files(paths: Sequence[Path]) -> Signer:
    try:
        given = [unarmored(path.read_text(encoding="utf-8")) for path in paths]
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"a signature cannot be read ({type(error).__name__}): give the .sig files") from None

    def sign(statement: str, public: str) -> str:
        said = ""
        for signature in given:
            try:
                require_signature(public, statement, signature)
            except SignatureRefused as error:
                said = str(error)
            else:
                return signature
        raise BadInput(
            f"none of the signatures is for what is to be signed now ({said}): sign what the command writes without "
            "--signature, with the same reason"
        )

    return sign
