"""How a contract says where its source is and how it is written, and what other people's valid files may look like."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpsynth_assets.contract import SourcePlaceError, lint_contract, load_contract
from dpsynth_assets.contract.diff import changes, terms_for_approval
from dpsynth_assets.gate.sources import source_of

MINIMAL = Path(__file__).parent / "right" / "minimal.odcs.yaml"
SERVER = "{server: local, type: local, path: letters.parquet, format: parquet}"
SECRET = "hunter2-XYZZY"


def variant(folder: Path, *pairs: tuple[str, str]) -> Path:
    text = MINIMAL.read_text()
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "letters.odcs.yaml"
    path.write_text(text)
    return path


def said(folder: Path, *pairs: tuple[str, str]) -> str:
    return "\n".join(map(str, lint_contract(variant(folder, *pairs))))


@pytest.mark.parametrize(
    ("server", "place"),
    [
        ("{server: a, type: local, path: 'in/a-*.csv.gz', format: csv}", "/in/a-*.csv.gz"),
        ("{server: a, type: local, path: in/a.tsv, format: csv}", "/in/a.tsv"),
        ("{server: a, type: local, path: in/a.sqlite, format: sqlite}", "/in/a.sqlite"),
        ("{server: a, type: local, path: in/a.xlsx, format: xlsx}", "/in/a.xlsx"),
        ("{server: a, type: local, path: '${LETTERS_AT}/a.jsonl', format: json}", "${LETTERS_AT}/a.jsonl"),
        ("{server: a, type: duckdb, database: in/a.duckdb, schema: crm}", "/in/a.duckdb"),
        ("{server: a, type: s3, location: 's3://b/a-*.csv', format: csv}", "s3://b/a-*.csv"),
        ("{server: a, type: s3, location: 's3://b/a', endpointUrl: 'https://c'}", "s3://b/a?endpoint=https://c"),
        (
            "{server: a, type: postgres, host: '${DB}', port: 5432, database: crm, schema: public}",
            "postgresql://${DB}:5432/crm",
        ),
    ],
)
def test_servers_that_are_read(tmp_path, server, place):
    source = source_of(load_contract(variant(tmp_path, (SERVER, server))))
    assert source.place == (f"{tmp_path}{place}" if place.startswith("/") else place)
    assert source.layout.table == "letters"


@pytest.mark.parametrize(
    ("server", "says"),
    [
        ("{server: a, type: local, path: in/**/a.csv, format: csv}", "more than names and `*`"),
        ("{server: a, type: local, path: in/*, format: csv}", "csv ends with .csv"),
        ("{server: a, type: local, path: $HOME/a.csv, format: csv}", "Write `${NAME}`"),
        ("{server: a, type: local, path: a.xls, format: xls}", "Did you mean `xlsx`?"),
        ("{server: a, type: s3, location: 's3://*/a.csv', format: csv}", "names nothing in a bucket"),
        ("{server: a, type: s3, location: 's3://b/{model}/*.csv', format: csv}", "more than names and `*`"),
        ("{server: a, type: duckdb, database: a.sqlite}", "duckdb ends with .duckdb"),
        ("{server: a, type: postgres, host: a/b, port: 5432, database: d, schema: s}", "is no name of a host"),
        ("{server: a, type: kafka, host: 'a:1'}", "of another system export a table as Parquet"),
        ("{server: a, type: local, path: a.csv, format: csv, encoding: ISO-8859-1}", "Write `csv: {encoding: ...}`"),
    ],
)
def test_servers_that_are_not_read_and_what_to_write(tmp_path, server, says):
    assert says in said(tmp_path, (SERVER, server))


@pytest.mark.parametrize(
    "server",
    [
        f"{{server: a, type: s3, location: 's3://reader:{SECRET}@b/a.csv', format: csv}}",
        f"{{server: a, type: s3, location: 's3://b/a.csv', endpointUrl: 'https://reader:{SECRET}@c', format: csv}}",
        f"{{server: a, type: postgres, host: 'reader:{SECRET}@db', port: 5432, database: d, schema: s}}",
        f"{{server: a, type: postgres, host: db, port: 5432, database: d, schema: s, password: {SECRET}}}",
        f"{{server: a, type: local, path: 'postgresql://reader:{SECRET}@db/d', format: csv}}",
        f"{{server: a, type: local, path: 'postgresql://reader:a/{SECRET}@db/d', format: csv}}",
        f"{{server: a, type: local, path: 'postgresql://reader:{SECRET} {SECRET}@1@db/d', format: csv}}",
        f"{{server: a, type: local, path: 'postgresql://db/d?user=u&password={SECRET}', format: csv}}",
        f"{{server: a, type: s3, location: 's3://AKIA:a/{SECRET}@b/a.csv', format: csv}}",
        f"{{server: a, type: s3, location: 's3://b/a.csv', endpointUrl: 'https://u:a/{SECRET}@c', format: csv}}",
        f"{{server: a, type: s3, location: 's3://b/a.csv', endpointUrl: 'https://c&secret_key={SECRET}', format: csv}}",
        f"{{server: a, type: s3, location: 's3://b/a.csv', endpointUrl: 'https:%2F%2Fu:{SECRET}@c', format: csv}}",
        f"{{server: a, type: postgres, host: db, port: 'u:{SECRET}@5432', database: d, schema: s}}",
        f"{{server: a, type: postgres, host: db, port: 5432, database: 'd?password={SECRET}', schema: s}}",
        f"{{server: a, type: custom, format: huggingface, dataset: 'u:{SECRET}@x/y'}}",
    ],
)
def test_a_credential_in_a_contract_is_refused_and_not_repeated(tmp_path, server):
    problems = said(tmp_path, (SERVER, server))
    assert problems
    assert SECRET not in problems


@pytest.mark.parametrize(
    "place",
    [
        f"s3://reader:{SECRET}@b/a.csv",
        f"s3://reader:a/{SECRET}@b/a.csv",
        f"s3://b/x.csv?endpoint=https:%2F%2Fu:{SECRET}@h",
        f"s3://b/x.csv?endpoint=https://h&secret_key={SECRET}",
        f"postgresql://reader:{SECRET}@db:5432/d",
        f"postgresql://u:h/{SECRET}@h/db",
        f"postgresql://u:{SECRET} {SECRET}@h/db",
        f"postgresql://u:a {SECRET}@1@/h/db",
        f"postgresql://u:a%0A{SECRET}@h/db",
        f"postgresql://reader:{SECRET}/d",
        f"postgresql://reader:{SECRET} a/{SECRET}",
        f"postgresql://h/db?password={SECRET}",
    ],
)
def test_a_credential_in_a_copy_or_in_an_asked_place_is_not_repeated(tmp_path, place):
    problems = said(tmp_path, ("population", f"source_copies: ['{place}']\n          population"))
    assert "holds a name or a password" in problems
    assert SECRET not in problems
    with pytest.raises(SourcePlaceError) as caught:
        load_contract(variant(tmp_path)).with_source(place)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "asked",
    [
        "s3://bucket/letters-a.csv?endpoint=http:%2F%2F127.0.0.1:9977%2Fx.csv",
        "s3://bucket/letters-a.csv?endpoint=https://elsewhere/x.csv",
        "s3://bucket/letters-a%2F.csv",
        "s3://bucket/letters-${PGPASSWORD}.csv",
        "s3://bucket/../letters-a.csv",
        "exports/letters-${PGPASSWORD}.csv",
    ],
)
def test_whoever_asks_for_a_copy_chooses_neither_server_nor_variable(tmp_path, monkeypatch, asked):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PGPASSWORD", "1/../../secret/other")
    copies = "source_copies: ['s3://bucket/letters-*.csv', 'exports/letters-*.csv']\n          population"
    contract = load_contract(variant(tmp_path, ("population", copies)))
    with pytest.raises(SourcePlaceError):
        contract.with_source(asked)
    assert contract.with_source("s3://bucket/letters-a.csv").source == "s3://bucket/letters-a.csv"


def test_a_copy_at_a_server_that_is_named_is_read_there(tmp_path):
    copies = (
        "source_copies: ['s3://b/letters-*.csv?endpoint=https://s3.example:9000', '${AT}/a.csv']\n          population"
    )
    contract = load_contract(variant(tmp_path, ("population", copies)))
    asked = "s3://b/letters-a.csv?endpoint=https://s3.example:9000"
    assert contract.with_source(asked).source == asked
    assert contract.with_source("${AT}/a.csv").source == "${AT}/a.csv"
    with pytest.raises(SourcePlaceError):
        contract.with_source("s3://b/letters-a.csv")


@pytest.mark.parametrize(
    ("server", "copies"),
    [
        ("{server: a, type: duckdb, database: '${CRM}', schema: main}", ""),
        ("{server: a, type: local, path: '${CRM}', format: xlsx}", ""),
        (SERVER, "source_copies: ['../exports/letters*']\n          "),
        (SERVER, "source_copies: ['s3://b/letters*']\n          "),
        (SERVER, "source_copies: ['../exports/letters.db']\n          "),
    ],
)
def test_another_table_takes_two_signatures_wherever_there_may_be_several(tmp_path, server, copies):
    base = ((SERVER, server), ("population", f"{copies}population"))
    before = terms_for_approval(load_contract(variant(tmp_path, *base)))
    other = (*base, ("  - name: letters", "  - name: letters\n    physicalName: therapy"))
    after = terms_for_approval(load_contract(variant(tmp_path, *other)))
    assert [change.term for change in changes(before, after) if change.weakens] == ["stored.table"]


def test_what_a_variable_holds_is_neither_signed_nor_said(tmp_path, monkeypatch):
    monkeypatch.setenv("LETTERS_AT", f"/{SECRET}")
    path = variant(tmp_path, ("path: letters.parquet", "path: '${LETTERS_AT}/letters.parquet'"))
    contract = load_contract(path)
    assert terms_for_approval(contract.seen_from(tmp_path / "home"))["source"] == "${LETTERS_AT}/letters.parquet"
    with pytest.raises(SourcePlaceError) as caught:
        contract.with_source("other.parquet")
    assert SECRET not in str(caught.value)


def test_places_are_compared_by_what_variables_hold_now(tmp_path, monkeypatch):
    change = ("path: letters.parquet", "path: '${LETTERS_AT}/public_letters.parquet'")
    monkeypatch.setenv("LETTERS_AT", "/elsewhere")
    assert said(tmp_path, change) == ""
    monkeypatch.setenv("LETTERS_AT", str(tmp_path))
    assert "the public test split is the sensitive source itself" in said(tmp_path, change)


def test_a_test_split_among_the_files_of_a_pattern_is_the_source(tmp_path):
    change = (SERVER, "{server: a, type: local, path: '*_letters.parquet', format: parquet}")
    assert "the public test split is the sensitive source itself" in said(tmp_path, change)


def test_several_copies_are_not_one_source(tmp_path):
    copies = ("population", "source_copies: [in/letters-*.parquet]\n          population")
    contract = load_contract(variant(tmp_path, copies))
    assert contract.with_source(tmp_path / "in" / "letters-1.parquet")
    with pytest.raises(SourcePlaceError):
        contract.with_source(tmp_path / "in" / "letters-*.parquet")


def test_physical_names_are_what_is_read_and_are_signed(tmp_path):
    names = ("{name: body,", "{name: body, physicalName: Ticket Text,")
    before, after = load_contract(variant(tmp_path)), load_contract(variant(tmp_path, names))
    assert source_of(after).columns.stored == {"body": "Ticket Text"}
    assert source_of(before).reading != source_of(after).reading
    (change,) = changes(terms_for_approval(before), terms_for_approval(after))
    assert change.weakens
    wrong = said(tmp_path, ("body", "Ticket Text"))
    assert "Write `name: Ticket_Text`, and `physicalName: Ticket Text` beside it" in wrong


def test_the_table_of_a_database_is_signed(tmp_path):
    server = (SERVER, "{server: a, type: local, path: a.sqlite, format: sqlite}")
    one = load_contract(variant(tmp_path, server))
    other = load_contract(variant(tmp_path, server, ("- name: letters\n", "- name: letters\n    physicalName: all\n")))
    assert source_of(other).layout.table == "all"
    (change,) = changes(terms_for_approval(one), terms_for_approval(other))
    assert change.weakens


@pytest.mark.parametrize("csv", ['{delimiter: ";"}', "{encoding: windows-1252}"])
def test_how_csv_files_are_written_is_signed(tmp_path, csv):
    server = (SERVER, "{server: a, type: local, path: a.csv, format: csv}")
    one = load_contract(variant(tmp_path, server))
    other = load_contract(variant(tmp_path, server, ("population:", f"csv: {csv}\n          population:")))
    assert any(change.weakens for change in changes(terms_for_approval(one), terms_for_approval(other)))
    layout = source_of(other).layout
    assert (layout.delimiter, layout.encoding) in ((";", "utf-8"), (None, "cp1252"))


@pytest.mark.parametrize(
    ("csv", "says"),
    [
        ('{delimiter: ";;"}', "cannot divide cells"),
        ("{delimiter: a}", "cannot divide cells"),
        ("{encoding: utf-7}", "the encoding 'utf-7' is not read. Did you mean `utf-8`?"),
        ("{encoding: klingon}", "is not read"),
    ],
)
def test_csv_files_that_nobody_could_read(tmp_path, csv, says):
    assert says in said(tmp_path, ("population:", f"csv: {csv}\n          population:"))


TEAM = "team:\n  members:\n    - {username: owner@example.com, role: owner}"
OF_3_0 = (
    ("v3.2.0", "v3.0.2"),
    (TEAM, "team:\n  - {username: owner@example.com, role: owner}"),
    ("metric: rowCount", "rule: rowCount"),
)


def test_a_contract_is_judged_by_the_version_that_it_declares(tmp_path):
    assert said(tmp_path, *OF_3_0) == ""
    assert said(tmp_path, ("v3.2.0", "v3.1.0")) == ""
    assert "`metric` is missing" in said(tmp_path, ("metric: rowCount", "rule: rowCount"))
    assert "team" in said(tmp_path, ("v3.2.0", "v3.0.2"))  # which had a list there


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("{rule: duplicateCount, mustBeLessThan: 10, unit: percent}", {"min_value": 0.9, "strict_min": True}),
        ("{rule: nullCheck, mustBe: 0}", {}),
        ("{rule: validValues, validValues: [praise]}", {"value_set": ["praise"]}),
    ],
)
def test_library_rules_of_3_0(tmp_path, rule, expected):
    column = f"{{name: kind, logicalType: string, required: true, quality: [{rule[:1]}name: own, {rule[1:]}]}}"
    contract = load_contract(variant(tmp_path, *OF_3_0, ("{name: kind, logicalType: string, required: true}", column)))
    (found,) = [found for found in contract.quality if found.name == "own"]
    assert found.kwargs == {"column": "kind", **expected}


def test_columns_without_a_type_are_text(tmp_path):
    contract = load_contract(variant(tmp_path, ("logicalType: string, ", "")))
    assert contract.unit_by == "column author as string"


def test_an_id_that_names_nothing_in_sql_takes_an_asset_name(tmp_path):
    uuid = ("id: letters", "id: 53581432-6c55-4ba2-a65f-72344a91553a")
    assert "Add `asset: letters` to the privacy terms" in said(tmp_path, uuid)
    contract = load_contract(variant(tmp_path, uuid, ("population:", "asset: letters_of_2026\n          population:")))
    assert contract.id == "letters_of_2026"
    assert "is a word of SQL" in said(tmp_path, ("population:", "asset: select\n          population:"))


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        ("mustBeGreaterThan: 500", {"min_value": 500, "strict_min": True}),
        ("mustBeLessThan: 500", {"max_value": 500, "strict_max": True}),
    ],
)
def test_bounds_that_leave_themselves_out(tmp_path, bound, expected):
    (rule,) = load_contract(variant(tmp_path, ("mustBeGreaterOrEqualTo: 500", bound))).quality
    assert rule.kwargs == expected


def test_a_rule_for_information_stops_nothing(tmp_path):
    (rule,) = load_contract(variant(tmp_path, ("type: library\n", "type: library\n        severity: info\n"))).quality
    assert not rule.blocking


def test_other_columns_may_be_called_anything(tmp_path):
    more = "properties:\n      - {name: sent at, physicalType: timestamp}"
    assert said(tmp_path, ("properties:", more)) == ""
