"""The queries on the demo's tables run as they stand on every page, on tables of the contracts they are about."""

import re
from pathlib import Path

import pandas as pd
import pytest

from dpsynth_assets.contract import load_contract
from tests.docs.commands import commands
from tests.publish.conftest import publish, query

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_every_query_of_the_docs_is_answered(home, tmp_path, judged, release, subtests):
    for name in ("inbox", "inbox_smollm2"):
        publish_rows(load_contract(ROOT / "contracts" / f"{name}.odcs.yaml"), home, tmp_path, judged, release)
    guide = (ROOT / "docs" / "analysts.md").read_text(encoding="utf-8")
    queries = re.findall(r"```sql\n(.*?)```", guide, re.DOTALL)
    queries += [
        command.words[2]
        for command in commands()
        if command.words[:2] == ("dpsynth", "sql")
        and len(command.words) > 2
        and not command.words[2].startswith("-")
        # These two query tables of their own: the tutorial's are run in its test.
        and command.page not in ("docs/tutorial.md", "docs/contracts.md")
    ]
    assert len(queries) >= 15
    for sql in dict.fromkeys(queries):
        with subtests.test(sql):
            assert query(home, sql)[1]


def publish_rows(contract, home, tmp_path, judged, release):
    """A row of each label combination, as a release of the contract."""
    rows = [(f"my card is lost, case {i}", *cell) for i, cell in enumerate(contract.cells)]
    path = tmp_path / f"{contract.id}.parquet"
    pd.DataFrame(rows, columns=["text", "topic", "safety"]).to_parquet(path, index=False)
    record = release(
        rows=len(rows),
        contract=contract.id,
        contract_version=contract.version,
        population=contract.privacy.population,
        delta=1e-5,
    )
    verdict = judged(path, under=contract, fails=("every_topic",))
    publish(home, path, contract=contract, release=record, verdict=verdict)
