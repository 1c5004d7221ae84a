"""From a file that nobody has seen to SQL over a synthetic table: the four commands of a new user, each with its time.

    python -m benchmarks.first_table                                        an Excel workbook
    PGUSER=... PGPASSWORD=... python -m benchmarks.first_table --database postgresql://localhost:5432/NAME

It makes up 1,600 notes of a vet's patients, three topics, up to three of an owner used, and puts them into a workbook,
or into a table of that database, which must not be there yet and is dropped at the end. Home and contract lie in a
folder that is deleted at the end. A time is one time on one machine, with nothing else running.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from rich.console import Console
from rich.table import Table

NOTES, OWNERS, NAME = 1600, 900, "Vet visits"
_HEADER = ("Visit no.", "Owner no.", "Species", "Weight (kg)", "Notes of the visit")
_FOUND = {
    "dog": ("Limps on the left hind leg since yesterday", "Barked all night and drinks a lot", "Ate a sock"),
    "cat": ("Scratches its ears, mites found", "Came in after a fight, wound cleaned", "Has not eaten for two days"),
    "rabbit": ("Front teeth are too long, cut", "Sneezes, a nostril is wet", "Vaccinated, all is well"),
}
_THEN = ("Come back in a week.", "The owner is worried.", "Antibiotics given.", "Nothing more to be done.")
_NEW = (
    *("--text", "Notes of the visit", "--unit", "Owner no.", "--max-records", "3", "--public-count", str(OWNERS)),
    *("--population", "pet-owners", "--label", "Species=dog,cat,rabbit", "--epsilon", "8", "--id", "visits"),
    *("--owner", "ann@example.com", "--approver", "ben@example.com", "--purpose", "See what visits are about."),
    *("--init", "--reason", "the first ledger"),
)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--database", help="a PostgreSQL database to put the notes into, in place of a workbook")
    database = asked.parse_args().database
    with tempfile.TemporaryDirectory(prefix="dpsynth-first-table-") as made:
        folder = Path(made)
        with _table(database) if database else nullcontext():
            source = database or _workbook(folder)
            table = Table("command", "seconds", title=f"{NOTES:,} notes, {'PostgreSQL' if database else 'Excel'}")
            whole = 0.0
            for arguments in (
                ("new", source, "--table", NAME, *_NEW),
                ("approve", "contracts/visits.odcs.yaml", "--as", "ben@example.com", "--reason", "read it"),
                ("run", "contracts/visits.odcs.yaml", "--yes"),
                ("sql", "select species, count(*) from visits.visits group by all"),
            ):
                seconds = _seconds(folder, arguments)
                table.add_row(f"dpsynth {arguments[0]}", f"{seconds:.1f}")
                whole += seconds
            table.add_row("together", f"{whole:.1f}")
    Console().print(table)


def _seconds(folder: Path, arguments: tuple[str, ...]) -> float:
    environment = {**os.environ, "DPSYNTH_HOME": str(folder / "home"), "PYTHONPATH": str(Path(__file__).parents[1])}
    started = time.perf_counter()
    done = subprocess.run(
        [Path(sys.executable).with_name("dpsynth"), *arguments], cwd=folder, env=environment, capture_output=True
    )
    if done.returncode:
        sys.exit(f"dpsynth {arguments[0]} ended with {done.returncode}: {done.stderr.decode()}")
    return time.perf_counter() - started


def _notes() -> Iterator[tuple[int, str, str, float, str]]:
    chance = random.Random(5)
    for number in range(NOTES):
        species = chance.choice(list(_FOUND))
        said = f"{chance.choice(_FOUND[species])}. {chance.choice(_THEN)}"
        yield number, f"O{chance.randrange(OWNERS):04d}", species, round(chance.uniform(1, 30), 1), said


def _workbook(folder: Path) -> str:
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = NAME
    for row in (_HEADER, *_notes()):
        sheet.append(row)
    book.create_sheet("Remarks").append(["as of", "November"])
    book.save(folder / "practice.xlsx")
    return "practice.xlsx"


@contextmanager
def _table(database: str) -> Iterator[None]:
    import psycopg

    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            f'create table "{NAME}" ("{_HEADER[0]}" int, "{_HEADER[1]}" text, "{_HEADER[2]}" text, '
            f'"{_HEADER[3]}" numeric(6, 1), "{_HEADER[4]}" text)'
        )
        try:
            with connection.cursor().copy(f'copy "{NAME}" from stdin') as rows:
                for row in _notes():
                    rows.write_row(row)
            yield
        finally:
            connection.execute(f'drop table "{NAME}"')


if __name__ == "__main__":
    main()
