"""`dpsynth new`: drafts a contract from the columns of a source and what its owner says of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from dpsynth_assets.cli.console import BadInput, say, shown
from dpsynth_assets.cli.lint import problems_of, show_problems
from dpsynth_assets.cli.new_questions import Asked, labels_told
from dpsynth_assets.cli.new_source import found
from dpsynth_assets.cli.new_steps import go_on, goes_on_with
from dpsynth_assets.cli.questions import answer, lacking, somebody_answers
from dpsynth_assets.contract import Contract, ContractError, load_contract
from dpsynth_assets.contract.base_models import KNOWN
from dpsynth_assets.contract.consistency import READ_AS
from dpsynth_assets.contract.drafting import Answers, drafted, usual_delta
from dpsynth_assets.contract.lint import fault_of_name
from dpsynth_assets.contract.people import LONGEST_RETENTION
from dpsynth_assets.contract.source_terms import RECORD
from dpsynth_assets.contract.sql_names import names_in_sql, plain_name
from dpsynth_assets.contract.synthesis import EMBEDDED
from dpsynth_assets.contracts_folder import contracts_folder
from dpsynth_assets.gate.sources import source_of
from resources.tabular import SourceError

MOST_ROWS = 1_000_000  # a draft's; beyond it an owner writes the number into the contract


def new(
    source: Annotated[
        list[str],
        typer.Argument(
            help="The source: a file (Parquet, CSV, JSON Lines, Excel, DuckDB, SQLite), a pattern of files in quotes, "
            "a folder of Parquet files, s3://bucket/name, or postgresql://host:5432/database."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The file to write; ID.odcs.yaml in contracts/, or in $DPSYNTH_CONTRACTS, unless given."),
    ] = None,
    id_: Annotated[
        str | None, typer.Option("--id", help="The contract's id; from the source's name unless given.")
    ] = None,
    table: Annotated[str | None, typer.Option(help="The table of a database, or the sheet of a workbook.")] = None,
    schema: Annotated[str | None, typer.Option(help="The schema of a database that the table is in.")] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="What divides the cells of a CSV file; as its header shows unless given.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="How a CSV file stores characters, such as cp1252; utf-8 unless given.")
    ] = None,
    names_checked: Annotated[
        bool, typer.Option("--names-checked", help="The columns have these names, also where they look like a record.")
    ] = False,
    text: Annotated[str | None, typer.Option(help="The column that holds the text.")] = None,
    unit: Annotated[str | None, typer.Option(help="The column that tells who wrote a text, or `record`.")] = None,
    unit_name: Annotated[str | None, typer.Option(help="What one unit is called, such as customer.")] = None,
    max_records: Annotated[str | None, typer.Option(help="At most so many records of one unit are used.")] = None,
    public_count: Annotated[str | None, typer.Option(help="A round number of units, known without looking.")] = None,
    population: Annotated[str | None, typer.Option(help="The people whose budget it is.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="A label and its values: COLUMN=VALUE,VALUE (repeat for more).")
    ] = None,
    epsilon: Annotated[str | None, typer.Option(help="The budget, for all releases ever about these people.")] = None,
    delta: Annotated[str | None, typer.Option(help="Below 1 / public count; a tenth of it unless given.")] = None,
    owner: Annotated[str | None, typer.Option(help="Who asks for releases: an e-mail address, or team:NAME.")] = None,
    approver: Annotated[str | None, typer.Option(help="Who agrees to them: somebody else.")] = None,
    purpose: Annotated[str | None, typer.Option(help="What the data are for, in a sentence.")] = None,
    base_model: Annotated[
        str, typer.Option(help=f"{EMBEDDED}, {', '.join(KNOWN)}, a path from the contract's folder, or a Hub name.")
    ] = EMBEDDED,
    max_tokens: Annotated[int, typer.Option(help="Texts are cut to so many tokens.", min=4, max=4096)] = 64,
    rows: Annotated[int | None, typer.Option(help="How many synthetic rows to draw.", min=1, max=MOST_ROWS)] = None,
    retention_days: Annotated[
        int, typer.Option(help="How long sensitive copies are kept.", min=1, max=LONGEST_RETENTION)
    ] = 30,
    init: Annotated[
        bool, typer.Option("--init", help="Make the home and an empty ledger first, as `dpsynth init` does.")
    ] = False,
    reason: Annotated[
        str | None, typer.Option(help="Why the owner asks for the budget: signs for the owner at once. One of two.")
    ] = None,
) -> None:
    """Draft a commented contract from a source's columns. Their names and types are read, and nothing of the rows.

    At a terminal it asks, with the reason beside each question, for what cannot be guessed and no option says. Without
    one, options say it.
    """
    folder = out.parent if out else contracts_folder()
    stated = found(
        source,
        folder,
        table=table,
        schema=schema,
        delimiter=delimiter,
        encoding=encoding,
        names_checked=names_checked,
    )
    columns = stated.columns
    others = _contracts_in(folder)
    name = _id(id_, stated.called, others)
    path = out or folder / f"{name}.odcs.yaml"
    if path.exists():
        raise BadInput(f"{path} is there already. {goes_on_with(path)} For another, choose another --id or --out")
    given = {"text": text, "unit": unit, "public-count": public_count, "population": population}
    given |= {"epsilon": epsilon, "owner": owner, "approver": approver}
    asked = Asked(name, columns, sorted({each.privacy.population for each in others.values()}))
    if not somebody_answers() and (open_ := [q for q in asked.at_first() if given[q.option] is None]):
        raise BadInput(lacking(open_))

    chosen = answer(asked.text(), text)
    unit_column = answer(asked.unit(chosen), unit)
    unit_called, several = RECORD, 1
    if unit_column is not None:
        unit_called = answer(asked.unit_name(unit_column), unit_name)
        several = answer(asked.max_records(unit_called), max_records)
    elif unit_name or max_records:
        raise BadInput("--unit-name and --max-records are about a unit that a column tells: name it with --unit")
    count = answer(asked.public_count(unit_called), public_count)
    people = answer(asked.population(unit_called), population)
    told = labels_told(label, {each: kind for each, kind in columns.items() if each not in (chosen, unit_column)})
    first = [chosen, *([unit_column] if unit_column else []), *(each.column for each in told)]
    called = names_in_sql(columns, first)
    for each in told:
        if called[each.column] in READ_AS:
            called[each.column] += "_label"  # releases get rows in which the unit and the text are called so
    labels = tuple(each.model_copy(update={"column": called[each.column]}) for each in told)
    budget = answer(asked.epsilon(unit_called), epsilon)
    chance = answer(asked.delta(count, budget), delta if delta is not None else str(usual_delta(count)))
    asks = answer(asked.owner(), owner)
    agrees = answer(asked.approver(asks), approver)
    why = answer(asked.purpose(), purpose)
    said = Answers(
        id=name,
        server=stated.server,
        csv=stated.csv,
        table=stated.table,
        columns={called[each]: columns[each] for each in [*first, *columns]},
        stored={in_sql: each for each, in_sql in called.items() if in_sql != each},
        text=called[chosen],
        max_tokens=max_tokens,
        unit=unit_called,
        unit_column=called[unit_column] if unit_column else None,
        max_records=several,
        public_count=count,
        population=people,
        labels=labels,
        epsilon=budget,
        delta=chance,
        base_model=base_model,
        rows=rows or min(2000, count),
        owner=asks,
        approver=agrees,
        purpose=why or None,
        retention_days=retention_days,
    )
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(drafted(said))
    say()
    say("Wrote ", (shown(path.absolute()), "bold"), f": contract {name} about population {people}.")
    say("Of the source only names and types of columns were read, and nothing of any row below the names.")
    if said.stored:
        differ = [each for each in dict.fromkeys([*first, *columns]) if called[each] != each]
        renamed = ", ".join(f"`{each}` is {called[each]}" for each in differ)
        kept = " All other columns keep their names." if len(differ) < len(columns) else ""
        published = " and ".join(filter(None, (", ".join(each.column for each in labels), called[chosen])))
        say(f"In the contract and in SQL {renamed}.{kept} Published are {published} of the synthetic records.")
    if twins := _of_same_place(path, others):
        named = " and ".join(sorted({f"`{others[each].privacy.population}`" for each in twins}))
        say(
            f"{', '.join(shown(each.absolute()) for each in twins)}: its records lie at the same place, under "
            f"population {named}. The same people have one budget, so they must be one population here too.",
            style="yellow",
        )
    if show_problems(path, problems_of(path)):
        say("Mend these in the file, then: ", (f"dpsynth lint {path}", "bold"))
        raise typer.Exit(1)
    go_on(path, init=init, reason=reason)


def _contracts_in(folder: Path) -> dict[Path, Contract]:
    """The contracts of a folder that hold, by their files."""
    found = {}
    for path in sorted(folder.glob("*.odcs.yaml")):
        with suppress(ContractError):
            found[path] = load_contract(path)
    return found


def _of_same_place(path: Path, others: Mapping[Path, Contract]) -> list[Path]:
    """The contracts whose records lie where those of this one do."""
    with suppress(ContractError, SourceError):
        place = source_of(load_contract(path)).place
        return [each for each, other in others.items() if source_of(other).place == place]
    return []


def _id(given: str | None, source: str, others: Mapping[Path, Contract]) -> str:
    """An id that no other contract of the folder has."""
    taken = {each.id: path for path, each in others.items()} | {
        path.name.removesuffix(".odcs.yaml"): path for path in others
    }
    if given is not None:
        if fault := fault_of_name(given, "id"):
            raise BadInput(f"--id {given}: {'. '.join(fault)}")
        if given in taken:
            raise BadInput(
                f"--id {given}: {taken[given]} has it already, and ids must differ. {goes_on_with(taken[given])} For "
                "another, choose another --id"
            )
        return given
    plain = plain_name(source).lower()[:50].strip("_")
    plain = plain if plain[:1].isalpha() else f"texts_{plain}".strip("_")
    plain = f"{plain}_texts" if fault_of_name(plain, "id") else plain
    free = (plain, *(f"{plain}_{number}" for number in range(2, len(taken) + 3)))
    return next(name for name in free if name not in taken)
