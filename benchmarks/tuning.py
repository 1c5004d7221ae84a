"""Are classifier settings ranked on synthetic rows as they are on real ones? For a contract whose source is public.

    python -m benchmarks.tuning contracts/ag_news.odcs.yaml --source ../shared/data/ag_news.parquet \
        --synthetic .dpsynth/warehouse/... --kinds minilm word_cnn --seeds 3

Candidates are trained on published synthetic rows, and judged by other synthetic rows and by real rows of the source,
which its owner declares public; the test split is never read. Touches no ledger: nothing here is a release.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.public_source import public_contract, rows_of
from dpsynth_assets.classify.encoder import MiniLM, Remembered
from dpsynth_assets.classify.tuning import SWEEPS, Rows, rank
from dpsynth_assets.contract import Contract
from dpsynth_assets.publish.parquet import load


def public_rows(contract: Contract, count: int) -> Rows:
    """Some real rows, in a fixed order."""
    rows = rows_of(contract)
    rows = rows.sample(n=min(count, len(rows)), random_state=0)
    return rows["text"].tolist(), rows[contract.privacy.target].tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("contract", type=Path)
    parser.add_argument("--source", help="another copy of the source")
    parser.add_argument("--synthetic", type=Path, required=True, help="the Parquet file of a published release")
    parser.add_argument("--rows", type=int, default=2_000, help="real rows to judge by")
    parser.add_argument("--kinds", nargs="+", choices=list(SWEEPS), default=["minilm", "word_cnn"])
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    contract = public_contract(chosen.contract, chosen.source)
    target = contract.privacy.target
    frame = load(chosen.synthetic)
    synthetic = frame[contract.privacy.text.column].tolist(), frame[target].tolist()
    classes = contract.privacy.classes
    public = public_rows(contract, chosen.rows)
    encoder = Remembered(MiniLM())
    print(f"{len(frame)} synthetic rows, {len(public[0])} real rows, {chosen.seeds} seeds")
    for kind in chosen.kinds:
        ranking = rank(SWEEPS[kind], synthetic, public, classes, range(chosen.seeds), encoder=encoder)
        print(f"\n{kind}\n\n{ranking.markdown()}", flush=True)


if __name__ == "__main__":
    main()
