"""`dpsynth new`: a contract from a source's columns, with questions at a terminal and options without one."""

from __future__ import annotations

import io
import sys

import pyarrow as pa
import pyarrow.parquet
import pytest

from dpsynth_assets.contract import lint_contract, load_contract
from tests.workbooks import write_workbook

SECRET = "XYZZY-4471-PLUGH"
OPTIONS = {
    "--unit": "customer_id",
    "--public-count": "500",
    "--population": "shop-customers",
    "--epsilon": "8",
    "--owner": "owner@example.org",
    "--approver": "privacy@example.org",
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with a file of tickets, where the command is given; nobody sits at a terminal."""
    (tmp_path / "Tickets 2024.csv").write_text(
        f"ticket,customer_id,Ticket Title,body,queue\n1,c1,{SECRET},{SECRET},{SECRET}\n", encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DPSYNTH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return tmp_path


def options(**changed):
    """All options that must be said, with some changed, or left out where they are None."""
    said = OPTIONS | {f"--{name.replace('_', '-')}": value for name, value in changed.items()}
    return [each for name, value in said.items() if value is not None for each in (name, value)]


def test_options_draft_a_contract_that_holds_and_says_nothing_of_the_rows(dpsynth, folder):
    code, out, err = dpsynth("new", "Tickets 2024.csv", *options(label="queue=billing,login"))
    assert code == 0, err
    path = folder / "contracts" / "tickets_2024.odcs.yaml"
    assert lint_contract(path) == []
    contract = load_contract(path)
    terms = contract.privacy
    assert (contract.id, terms.population, terms.unit.name) == ("tickets_2024", "shop-customers", "customer")
    assert (terms.text.column, terms.target, terms.classes) == ("body", "queue", ("billing", "login"))
    assert terms.budget.delta * terms.unit.public_count <= 0.1
    assert contract.source == "../Tickets 2024.csv"
    assert "# " in path.read_text(encoding="utf-8")
    assert SECRET not in path.read_text(encoding="utf-8") + out + err
    assert "nothing of any row" in out
    assert out.index("dpsynth init") < out.index(
        "dpsynth approve contracts/tickets_2024.odcs.yaml --as owner@example.org"
    )


def test_all_names_that_differ_are_said_and_that_the_others_are_kept(dpsynth, folder):
    (folder / "a.csv").write_text("Parzellen-Nr.,Thema,Datum der Sitzung,Beitrag €\n", encoding="utf-8")
    told = options(unit="Parzellen-Nr.", text="Beitrag €", label="Thema=a,b")
    code, out, err = dpsynth("new", "a.csv", *told)
    assert code == 0, err
    said = " ".join(out.split())
    assert "`Beitrag €` is beitrag, `Parzellen-Nr.` is parzellen_nr. All other columns keep their names." in said
    assert "Published are Thema and beitrag of the synthetic records." in said
    contract = load_contract(folder / "contracts" / "a.odcs.yaml")
    assert {each.name for each in contract.columns} == {"parzellen_nr", "beitrag", "Thema", "Datum der Sitzung"}


def test_a_second_draft_has_an_id_and_a_file_of_its_own(dpsynth, folder):
    code, first, _ = dpsynth("new", "Tickets 2024.csv", *options())
    assert (code, "same place" in first) == (0, False)
    code, out, _ = dpsynth("new", "Tickets 2024.csv", *options(population="others"))
    assert code == 0
    assert "contracts/tickets_2024.odcs.yaml: its records lie at the same place" in " ".join(out.split())
    found = sorted((folder / "contracts").iterdir())
    assert [load_contract(path).id for path in found] == ["tickets_2024", "tickets_2024_2"]
    code, _, err = dpsynth("new", "Tickets 2024.csv", *options(id="tickets_2024"))
    assert (code, "ids must differ" in err) == (2, True)


def test_what_only_the_owner_knows_is_asked_for_all_at_once(dpsynth, folder):
    code, _, err = dpsynth("new", "Tickets 2024.csv", "--epsilon", "8")
    assert code == 2
    for option in ("--unit", "--public-count", "--population", "--owner", "--approver"):
        assert f"\n  {option}: " in err, option
    assert "--epsilon" not in err
    assert "never privacy" in err
    assert not (folder / "contracts").exists()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"unit": "customer"}, "Did you mean `customer_id`?"),
        ({"public_count": "many"}, "write a whole number from 2"),
        ({"population": "Our Customers"}, "use small letters"),
        ({"epsilon": "0"}, "write a number above 0"),
        ({"epsilon": "x"}, "write a number above 0"),
        ({"delta": "0.01"}, "less than 0.01"),
        ({"delta": "0.005"}, "it must be below 1 / 500"),
        ({"owner": "me"}, "write an e-mail address"),
        ({"approver": "Owner@example.org"}, "name somebody else"),
        ({"label": "queue"}, "write COLUMN=VALUE,VALUE"),
        ({"label": "queue=billing"}, "write two values or more"),
        ({"label": "queue=a:b,c"}, "no comma or colon"),
        ({"label": "topic=a,b"}, "there is no such column"),
        ({"text": "Ticket Titel"}, "Did you mean `Ticket Title`?"),
        ({"encoding": "utf-7"}, "is not read"),
        ({"delimiter": "::"}, "cannot divide cells"),
        ({"table": "t"}, "--table is about databases and workbooks"),
        ({"schema": "s"}, "--schema is about DuckDB and PostgreSQL"),
        ({"rows": "1000000000"}, "less than or equal to 1000000"),
        ({"rows": "1e9"}, "a valid integer"),
        ({"max_tokens": "5000"}, "less than or equal to 4096"),
        ({"retention_days": "40000"}, "less than or equal to 36500"),
        ({"unit": "record", "max_records": "3"}, "name it with --unit"),
        ({"id": "select"}, "is a word of SQL"),
        ({"max_records": "0"}, "write a whole number from 1"),
    ],
    ids=lambda each: "-".join(each) if isinstance(each, dict) else None,
)
def test_a_wrong_option_gets_a_sentence_and_nothing_is_written(dpsynth, folder, changed, said):
    code, _, err = dpsynth("new", "Tickets 2024.csv", *options(**changed))
    assert (code, said in err) == (2, True), err
    assert not (folder / "contracts").exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("gone.csv", None, "is no file on this machine: check the path"),
        ("hub:owner/name", None, "draft from a copy here"),
        ("empty.csv", b"", "is empty and has no header"),
        ("twice.csv", b"a,b,a\n", "has the columns a twice"),
        ("list.jsonl", b"[1, 2]\n", "no object"),
        ("broken.jsonl", SECRET.encode(), "could not be read"),
        ("broken.parquet", SECRET.encode(), "could not be read"),
        ("mail.mbox", b"", "the format .mbox is not one of"),
    ],
)
def test_a_source_without_columns_gets_a_sentence_without_its_content(dpsynth, folder, name, content, said):
    if content is not None:
        (folder / name).write_bytes(content)
    code, _, err = dpsynth("new", name, *options())
    assert (code, said in err) == (2, True), err
    assert SECRET not in err


def test_types_are_the_schemas_and_labels_of_numbers_have_codes(dpsynth, folder):
    table = pa.table(
        {"who": pa.array([1]), "text": ["a"], "stars": pa.array([3]), "at": pa.array([0], pa.timestamp("s"))}
    )
    pyarrow.parquet.write_table(table, folder / "reviews.parquet")
    code, _, err = dpsynth("new", "reviews.parquet", *options(unit="who", label="stars=1=bad,3=fair,5"))
    assert code == 0, err
    contract = load_contract(folder / "contracts" / "reviews.odcs.yaml")
    assert {column.name: column.logical_type for column in contract.columns} == {
        "text": "string",
        "who": "integer",
        "stars": "integer",
        "at": "timestamp",
    }
    [label] = contract.privacy.labels
    assert (label.values, label.codes) == (("bad", "fair", "5"), (1, 3, 5))


class Terminal(io.StringIO):
    """Standard input with somebody at it."""

    def isatty(self):
        return True


def test_at_a_terminal_each_question_has_its_reason_and_is_asked_until_it_is_answered(dpsynth, folder, monkeypatch):
    typed = ["", "", "customer_id", "", "2", "", "500", "", "queue", "billing, login", "none", "0", "4"]
    typed += ["owner@example.org", "owner@example.org", "privacy@example.org", "to sort: tickets"]
    monkeypatch.setattr(sys, "stdin", Terminal("\n".join(typed) + "\n"))
    code, out, err = dpsynth("new", "Tickets 2024.csv")
    assert code == 0, out + err
    assert "This cannot be guessed" in out
    assert "All that is ever released about the same people draws on one budget" in out
    contract = load_contract(folder / "contracts" / "tickets_2024.odcs.yaml")
    terms = contract.privacy
    assert (terms.population, terms.unit.max_records) == ("tickets-2024-customers", 2)
    assert (terms.budget.epsilon, terms.classes) == (4.0, ("billing", "login"))
    assert contract.intent["purpose"] == "to sort: tickets"


def test_answers_that_end_early_write_nothing(dpsynth, folder, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Terminal("body\n"))
    code, _, err = dpsynth("new", "Tickets 2024.csv")
    assert (code, "nothing was written" in err) == (2, True)
    assert not (folder / "contracts").exists()


class Interrupted(Terminal):
    """Standard input at which somebody types lines and then Ctrl-C."""

    def readline(self, *_):
        if line := super().readline():
            return line
        raise KeyboardInterrupt


def test_ctrl_c_at_a_question_says_that_nothing_was_written(dpsynth, folder, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Interrupted("\nbody\n"))
    code, out, err = dpsynth("new", "Tickets 2024.csv")
    assert (code, err) == (130, "error: stopped at `unit`: nothing was written\n")
    assert out.endswith("> \n"), "it stands on a line of its own"
    assert not (folder / "contracts").exists()


def test_ctrl_c_after_the_draft_says_what_is_left(dpsynth, folder, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Interrupted())
    told = options(text="body", unit_name="customer", max_records="3", label="queue=a,b", delta="1e-5", purpose="p")
    code, out, err = dpsynth("new", "Tickets 2024.csv", *told, "--encoding", "utf-8")
    assert (code, "nothing was written" in err) == (130, False)
    assert (folder / "contracts" / "tickets_2024.odcs.yaml").exists()
    assert "dpsynth init" in out


def test_a_draft_that_was_killed_before_its_ledger_was_made_is_gone_on_with(dpsynth, folder, monkeypatch):
    """What is left of it is the contract, and the same command is told what to do with that."""
    again = ["new", "Tickets 2024.csv", *options(id="a1"), "--init"]

    def killed(_):
        raise OSError(0, "killed")

    with monkeypatch.context() as patch:
        patch.setattr("dpsynth_assets.cli.new_steps.create_home", killed)
        assert dpsynth(*again)[0] != 0
    goes_on = "`dpsynth approve contracts/a1.odcs.yaml`, which says what there is to sign"
    for given in (again, [*again, "--out", "contracts/a2.odcs.yaml"]):
        code, _, err = dpsynth(*given)
        assert (code, f"To go on with it: `dpsynth init`, then {goes_on}" in err) == (2, True), err
    assert dpsynth("init")[0] == 0
    code, _, err = dpsynth(*again)
    assert (code, f"To go on with it: {goes_on}" in err) == (2, True), err
    code, out, _ = dpsynth("approve", "contracts/a1.odcs.yaml")
    assert (code, "needs two signatures" in out) == (1, True)
    (folder / "contracts" / "a1.odcs.yaml").write_text("version", encoding="utf-8")
    code, _, err = dpsynth(*again)
    assert (code, "`dpsynth lint contracts/a1.odcs.yaml` says what is wrong" in err) == (2, True), err


@pytest.mark.parametrize("name", ["a*.csv", "a$B.csv", "a#1.csv"])
def test_a_name_that_means_more_in_a_contract_is_refused(dpsynth, folder, name):
    """A pattern would take in other files, a variable another place."""
    (folder / "Tickets 2024.csv").rename(folder / name)
    code, _, err = dpsynth("new", name, *options())
    assert code == 2
    assert "rename the file or folder" in " ".join(err.split())
    assert not (folder / "contracts").exists()


RECORD = ["TH-0", "Frau Krause 0, Tel 0171 998870, HIV positiv", "Hund"]


def without_header(folder, name):
    """A file whose first row is a record; gives the options that would draft from it."""
    if name.endswith(".xlsx"):
        write_workbook(folder / name, {"Tabelle1": [RECORD, ["TH-1", "Herr Roth, gesund", "Katze"]]})
    elif name.endswith(".parquet"):
        pyarrow.parquet.write_table(pa.table([["a"], ["b"], ["c"]], RECORD), folder / name)
    else:
        (folder / name).write_text(";".join(RECORD) + "\n", encoding="utf-8")
    return ["new", name, *options(unit="TH-0", text=RECORD[1])]


@pytest.mark.parametrize("name", ["a.csv", "a.xlsx", "a.parquet"])
def test_a_first_record_is_not_taken_for_names_without_a_word(dpsynth, folder, name):
    given = without_header(folder, name)
    code, out, err = dpsynth(*given, "--init", "--reason", "to sort")
    said = " ".join((out + err).split())
    assert code == 2
    assert "column 2 (many digits)" in said
    assert "--names-checked" in said
    assert not any(each in said for each in ("Krause", "0171", "TH-0", "Hund"))
    assert not (folder / "contracts").exists()
    assert not (folder / "home").exists()


def test_whoever_says_that_they_are_names_is_warned_wherever_they_are_looked_at(dpsynth, folder):
    code, out, err = dpsynth(*without_header(folder, "a.xlsx"), "--names-checked")
    assert code == 0, out + err
    assert "the name of the contract's column 1 looks like a value of a record" in " ".join(out.split())
    path = folder / "contracts" / "a.odcs.yaml"
    assert [problem.severity for problem in lint_contract(path)] == ["warning"]
    code, out, _ = dpsynth("lint", path)
    assert (code, "looks like a value of a record (many digits)" in " ".join(out.split())) == (0, True)
    assert "Krause" not in out
    _, out, _ = dpsynth("source", "check", path)
    assert "name of the contract's column 1 looks like a value" in " ".join(out.split())


@pytest.mark.parametrize(("typed", "written"), [("no\n", False), ("perhaps\nyes\n", True)])
def test_at_a_terminal_somebody_is_asked_whether_they_are_names(dpsynth, folder, monkeypatch, typed, written):
    given = without_header(folder, "a.xlsx")
    monkeypatch.setattr(sys, "stdin", Terminal(typed + "\n" * 20))
    _, out, err = dpsynth(*given)
    asked, _, after = out.partition("Are these the names of the columns?")
    assert after
    assert "Krause" not in asked
    assert (folder / "contracts").exists() is written, out + err
    assert ("Put a row of names first" in " ".join(err.split())) is not written


def test_a_title_that_looks_like_a_record_too_is_called_a_title(dpsynth, folder):
    write_workbook(folder / "a.xlsx", {"1": [["Beschwerden, Stand 17.03.2026"], ["Nr", "Text", "Tier"], [1, "a", "b"]]})
    code, _, err = dpsynth("new", "a.xlsx", *options(unit="record", text=None))
    assert (code, "Edit the file: delete what stands above the row of names" in " ".join(err.split())) == (2, True), err


@pytest.mark.parametrize("name", ["a.xlsx", "a.csv", "bare.csv"])
def test_a_title_above_the_names_is_no_name(dpsynth, folder, name):
    if name == "a.xlsx":
        write_workbook(folder / name, {"1": [["Beschwerden"], ["Stand heute"], ["Nr", "Text", "Tier"], [1, "a", "b"]]})
    else:
        title = "Beschwerden;;" if name == "a.csv" else "Beschwerden"
        (folder / name).write_text(f"{title}\n\nNr;Text;Tier\n1;a;b\n2;c;d\n", encoding="utf-8")
    code, _, err = dpsynth("new", name, *options(unit="record", text=None))
    said = " ".join(err.split())
    assert (code, "looks like a title" in said) == (2, True)
    assert "Edit the file: delete what stands above the row of names" in said
    assert "Only if that cell names the one column that there is: --names-checked" in said
    assert not (folder / "contracts").exists()
    code, out, err = dpsynth("new", name, *options(unit="record", text=None), "--names-checked")
    assert code == 0, out + err
    [path] = (folder / "contracts").iterdir()
    assert "looks like a title" in " ".join(dpsynth("source", "check", path)[1].split())


def test_one_column_of_texts_has_no_title(dpsynth, folder):
    write_workbook(folder / "a.xlsx", {"1": [["Text"], ["a"], ["b"]]})
    (folder / "b.csv").write_text('Text\n"a, b, c"\n"well, no"\nd; e; f\nfine\n', encoding="utf-8")
    for name in ("a.xlsx", "b.csv"):
        code, out, err = dpsynth("new", name, *options(unit="record", text=None))
        assert code == 0, out + err
