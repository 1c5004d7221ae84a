"""The queries in the analysts' guide run as they stand, on a table of the contract they are about."""

import re
from pathlib import Path

import pandas as pd
import pytest

from dpsynth_assets.contract import load_contract
from tests.publish.conftest import publish, query

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_every_query_of_the_guide_is_answered(home, tmp_path, judged, release, subtests):
    contract = load_contract(ROOT / "contracts" / "inbox.odcs.yaml")
    rows = [(f"my card is lost, case {i}", *cell) for i, cell in enumerate(contract.cells)]
    path = tmp_path / "corpus.parquet"
    pd.DataFrame(rows, columns=["text", "topic", "safety"]).to_parquet(path, index=False)
    record = release(
        rows=len(rows), contract_version=contract.version, population=contract.privacy.population, delta=1e-5
    )
    verdict = judged(path, under=contract, fails=("every_topic",))
    publish(home, path, contract=contract, release=record, verdict=verdict)
    guide = (ROOT / "docs" / "analysts.md").read_text(encoding="utf-8")
    queries = re.findall(r"```sql\n(.*?)```", guide, re.DOTALL) + re.findall(
        r'^dpsynth sql "(.*?)"', guide, re.MULTILINE
    )
    assert len(queries) >= 10
    for sql in queries:
        with subtests.test(sql):
            assert query(home, sql)[1]
