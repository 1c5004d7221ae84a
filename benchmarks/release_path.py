"""How long the way of one release is: transactions of the ledger, functions entered, loads of the base model, lines.

    python -m benchmarks.release_path adapter                     # the demo contract's, on a fiftieth of its units
    PYTHONPATH=FORMER python FORMER/../release_path.py adapter    # the same of another checkout

The release runs as `dpsynth run` does, in a home of its own. A function counts once, however often it is called.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

PACKAGES = ("ledger", "resources", "dpsynth_assets")


def main() -> None:
    import dpsynth_assets
    from dpsynth_assets.cli.running import materialize
    from dpsynth_assets.contract import load_contract
    from dpsynth_assets.demo.inbox import write_inbox
    from dpsynth_assets.language import base_model
    from ledger import store
    from resources.heads import create_ledger, open_ledger
    from resources.home import Home

    root = Path(dpsynth_assets.__file__).parents[1]
    with tempfile.TemporaryDirectory() as folder:
        contract = load_contract(_copy(root / "contracts" / "inbox.odcs.yaml", Path(folder)))
        write_inbox(Path(folder, "data", "inbox"))
        home = Home.at(Path(folder, "home"))
        home.create()
        create_ledger(home)
        _sign(contract, open_ledger(home))
        _require(materialize(contract, home, size=0.02, only=("source",)))
        counts: Counter[str] = Counter()
        _count(store.DuckDBStore, "transaction", counts)
        _count(base_model, "load_base_model", counts)
        entered: set[tuple[str, str, int]] = set()

        def profile(frame: Any, event: str, argument: Any) -> None:
            if event == "call":
                code = frame.f_code
                entered.add((code.co_filename, code.co_name, code.co_firstlineno))

        sys.setprofile(profile)
        try:
            _require(materialize(contract, home, only=(sys.argv[1],)))
        finally:
            sys.setprofile(None)
    own = {each for each in entered if Path(each[0]).is_relative_to(root) and "<" not in each[1]}
    by_package = Counter(Path(file).relative_to(root).parts[0] for file, _, _ in own)
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=root, capture_output=True, text=True, check=True).stdout
    files = [root / name for name in listed.split() if name.split("/")[0] in PACKAGES]
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files if path.exists())
    print(f"transactions of the ledger      {counts['transaction']}")
    print(f"loads of the base model         {counts['load_base_model']}")
    print(f"functions entered               {sum(by_package[package] for package in PACKAGES)} {dict(by_package)}")
    print(f"files entered                   {len({file for file, _, _ in own})}")
    print(f"lines of the product            {lines:,} in {len(files)} files")


def _copy(path: Path, folder: Path) -> Path:
    """The contract in a folder beside its data."""
    copied = folder / "contracts" / path.name
    copied.parent.mkdir(parents=True)
    copied.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    return copied


def _sign(contract: Any, book: Any) -> None:
    try:
        approval = import_module("dpsynth_assets.gate.approval")
    except ImportError:  # a former checkout
        approval = import_module("dpsynth_assets.approval")
    for actor in (contract.owners[0], contract.approvers[0]):
        approval.sign(contract, book, actor=actor, reason="to count")


def _count(owner: Any, name: str, counts: Counter[str]) -> None:
    original = getattr(owner, name)

    def counted(*args: Any, **kwargs: Any) -> Any:
        counts[name] += 1
        return original(*args, **kwargs)

    setattr(owner, name, counted)
    for module in list(sys.modules.values()):  # where it was imported by name
        if getattr(module, name, None) is original:
            setattr(module, name, counted)


def _require(outcome: Any) -> None:
    if not outcome.success:
        sys.exit(f"the run failed: {outcome.failures}")


if __name__ == "__main__":
    main()
