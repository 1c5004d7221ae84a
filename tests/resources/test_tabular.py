"""From records to rows: declared comparison, and what is kept of a unit."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import compress

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from dpsynth_assets.gate import public_rows
from dpsynth_assets.gate.sources import source_of
from resources import tabular
from resources.bounding import bound_units
from resources.tabular import Fingerprint, SourceError, as_rows, figures

KEY = b"k" * 32


def written(contract, *records, suffix=".jsonl", kinds=None, **terms):
    """The contract on a source with these records, its columns of other declared types."""
    found = [{"customer": "a", "text": "hi", "topic": "card"} | record for record in records]
    path = contract.path.parent / f"written{suffix}"
    if suffix == ".csv":
        pd.DataFrame(found, dtype=object).to_csv(path, index=False)
    else:
        path.write_text(
            "\n".join(json.dumps({"customer": "a", "text": "hi", "topic": "card"} | record) for record in records)
        )
    columns = tuple(replace(c, logical_type=(kinds or {}).get(c.name, c.logical_type)) for c in contract.columns)
    extra = tuple(replace(columns[0], name=name, logical_type=kind) for name, kind in (kinds or {}).items()
                  if name not in {c.name for c in columns})  # fmt: skip
    privacy = contract.privacy.model_copy(update=terms)
    return replace(contract, privacy=privacy, columns=columns + extra, source=str(path))


def rows(contract):
    return as_rows(table_of(contract), source_of(contract).columns)


def table_of(contract):
    source = source_of(contract)
    return tabular.table_at(source.place, source.where, source.columns, source.layout)


def coded(contract, **update):
    return (contract.privacy.labels[0].model_copy(update=update),)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_one_person_is_one_unit_however_a_number_is_written(contract, suffix):
    found = written(
        contract, *({"customer": who} for who in (5, 5.0, "5", None)), suffix=suffix, kinds={"customer": "integer"}
    )
    assert rows(found)["unit"].tolist() == ["5"] * 3


def test_a_missing_id_is_nobody(contract):
    found = written(contract, *({"customer": who} for who in (None, "", "  ", float("nan"), "nan")))
    assert rows(found)["unit"].tolist() == ["nan"], "a text is a name, whatever it spells"


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
@pytest.mark.parametrize("kind", ["string", "integer"])
def test_a_code_is_meant_by_whatever_spells_its_number(contract, suffix, kind):
    stored = [0, 1, 1.0, "1.0", "01", 0.5, 2, None, 10**30]
    found = written(contract, *({"topic": label} for label in stored), suffix=suffix, kinds={"topic": kind},
                    labels=coded(contract, codes=(0, 1)))  # fmt: skip
    assert rows(found)["topic"].tolist() == ["card", "loan", "loan", "loan", "loan"]


def test_where_a_number_spells_two_labels_the_declared_type_says_which(contract):
    labels = coded(contract, values=("0", "1"), codes=(1, 0))
    for kind, plain in (("integer", "0"), ("string", "1")):
        found = written(contract, {"topic": 1}, kinds={"topic": kind}, labels=labels)
        assert rows(found)["topic"].tolist() == [plain]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
@pytest.mark.parametrize(
    ("kind", "wanted", "stored", "chosen"),
    [
        ("integer", 2024, [2024, "2024", "2024.0", 2025, None], [0, 1, 2]),
        ("integer", "02024", [2024, 2025], [0]),
        ("string", 2024, ["2024", "02024", 2024], [0, 2]),
        ("string", "test", ["test", "train", "Test"], [0]),
        ("boolean", True, [True, "true", "False", 1, None], [0, 1, 3]),
    ],
)
def test_rows_are_chosen_by_declared_comparison_in_every_format(contract, suffix, kind, wanted, stored, chosen):
    records = ({"kind": value, "text": f"t{place}"} for place, value in enumerate(stored))
    found = written(contract, *records, suffix=suffix, kinds={"kind": kind}, source_where={"kind": wanted})
    assert rows(found)["text"].tolist() == [f"t{place}" for place in chosen]


def test_a_filter_that_no_value_can_meet_is_refused(contract):
    found = written(contract, {}, kinds={"kind": "integer"}, source_where={"kind": "test"})
    with pytest.raises(SourceError, match="the filter on column kind wants 'test', which is no value of the type"):
        rows(found)


def test_files_of_a_folder_are_judged_by_their_own_schemas(contract):
    folder = contract.path.parent / "folder"
    folder.mkdir()
    for name, who in (("a", pa.array([5, 6])), ("b", pa.array(["5", "05"])), ("c", pa.array([5, None], pa.int8()))):
        pyarrow.parquet.write_table(
            pa.table({"customer": who, "text": [name, name], "topic": ["card", "loan"]}), folder / f"{name}.parquet"
        )
    found = rows(replace(contract, source=str(folder)))
    assert found["unit"].tolist() == ["5", "6", "5", "05", "5"]
    pyarrow.parquet.write_table(
        pa.table({"customer": [5.0, None], "text": ["d", "d"], "topic": ["card", "loan"]}), folder / "d.parquet"
    )
    with pytest.raises(SourceError, match=r"d\.parquet: column customer has type double"):
        rows(replace(contract, source=str(folder)))


@pytest.mark.parametrize("units", [8, 200])
def test_what_is_kept_of_a_unit_depends_on_that_unit_alone(units):
    everybody = [(f"u{unit}", "thank you", label) for unit in range(units) for label in ("card", "loan")]
    less = kept(everybody)
    for place in (0, len(everybody) // 2, len(everybody)):
        more = [*everybody[:place], ("eve", "thank you", "card"), *everybody[place:]]
        assert [row for row in kept(more) if row[0] != "eve"] == less
    random.Random(0).shuffle(everybody)
    assert sorted(kept(everybody)) == sorted(less)


def test_rows_stay_in_the_order_of_the_source():
    """Whoever joins stands between others, and moves no two of them against each other."""
    rows = [(f"u{place % 3}", f"text {place}", "card") for place in range(12)]
    assert kept(rows, bound=4) == [list(row) for row in rows]
    assert [row for row in map(list, rows) if row in kept(rows, bound=2)] == kept(rows, bound=2)


def test_records_of_one_text_are_told_apart_by_their_labels():
    labels = {kept([(f"u{unit}", "thank you", "card"), (f"u{unit}", "thank you", "loan")])[0][2] for unit in range(50)}
    assert labels == {"card", "loan"}


def kept(rows, bound=1):
    return list(map(list, compress(rows, bound_units([rows], bound, KEY))))


def test_two_sources_without_a_text_are_not_taken_for_one(contract):
    def identity(name, *lines, **terms):
        path = contract.path.parent / name
        path.write_text("\n".join(lines), encoding="utf-8")
        known = replace(contract, privacy=contract.privacy.model_copy(update=terms), source=str(path))
        found = Fingerprint(source_of(known), KEY)
        found.add(table_of(known))
        return found.value()

    blank = '{"text": " "}'
    empty = [identity("a.jsonl"), identity("b.jsonl"), identity("c.jsonl", blank), identity("d.jsonl", blank, "{")]
    assert len({*empty, identity("a.jsonl", population="others")}) == 5
    assert identity("a.jsonl") == identity("a.jsonl", blank) == empty[0], "the same place is the same source"
    full = '{"text": "hello"}'
    assert identity("a.jsonl", full) == identity("b.jsonl", full, blank, "{") not in empty


def test_how_much_was_left_out_is_counted_for_the_owner(contract):
    found = written(
        contract, {}, {"customer": None}, {"text": 5}, {"topic": "mortgage"}, {"customer": 5, "topic": None}
    )
    with (contract.path.parent / "written.jsonl").open("a", encoding="utf-8") as file:
        file.write("\n{")
    assert figures(table_of(found), source_of(found).columns) == {
        "records": 6, "without text": 2, "without customer": 2, "without a declared topic": 3,
    }  # fmt: skip


def test_a_test_split_in_the_source_s_file_shares_no_record_with_it(contract):
    split = contract.privacy.test_split.model_copy(update={"path": "written.csv", "where": {"fold": 2}})
    found = written(contract, *({"fold": fold, "text": f"t{fold}"} for fold in ("1", "01", "2", "2.0")), suffix=".csv",
                    kinds={"fold": "integer"}, source_where={"fold": 1}, test_split=split)  # fmt: skip
    assert rows(found)["text"].tolist() == ["t1", "t01"]
    assert public_rows._test_rows(found)["text"].tolist() == ["t2", "t2.0"]
