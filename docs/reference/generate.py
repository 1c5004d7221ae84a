"""Writes the reference pages beside it from the code that they are about: commands, a contract's terms, ledger views.

    python docs/reference/generate.py      # or `make docs`

Each page is what a library or our own model says of itself; nothing is told here that the code does not say. A test
compares the pages with what this would write.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

FOLDER = Path(__file__).parent
NOTE = "<!-- Written by `make docs`. Change the code that it describes, then run that. -->\n\n"


def pages() -> dict[str, str]:
    """Each page's text by its file name."""
    made = {"commands.md": commands(), "contract.md": contract(), "views.md": views()}
    return {name: f"{NOTE}{text.strip()}\n" for name, text in made.items()}


def commands() -> str:
    """Every command with its arguments and options, as typer documents them."""
    import typer
    from typer.cli import get_docs_for_click

    from dpsynth_assets.cli.app import app

    command = typer.main.get_command(app)
    documented = get_docs_for_click(obj=command, ctx=typer.Context(command, info_name="dpsynth"), name="dpsynth")
    return "\n".join(line.rstrip() for line in documented.splitlines())


def contract() -> str:
    """Every privacy term: what is accepted, what holds where it is left out, what it means."""
    from dpsynth_assets.contract.sentences import fields_of
    from dpsynth_assets.contract.terms import PrivacyTerms

    rows = [
        f"| `{path}` | {_accepted(field)} | {_default(field)} | {_cell(field.description or '')} |"
        for path, field in fields_of(PrivacyTerms)
    ]
    return "\n".join(
        [
            "# A contract's privacy terms",
            "",
            "What the property `privacy` of a contract's table may hold, as the program checks it. No other key is",
            "accepted, and no value is converted. [Contracts](../contracts.md) says what each term is good for, and",
            "what suffers where it is wrong; the rest of the file is the Open Data Contract Standard's.",
            "",
            "| term | accepted | default | meaning |",
            "|---|---|---|---|",
            *rows,
        ]
    )


def views() -> str:
    """The views of a ledger's snapshot with their columns."""
    import duckdb

    from ledger.snapshot import write_snapshot

    with tempfile.TemporaryDirectory() as folder:
        path = write_snapshot([], Path(folder) / "audit.duckdb")
        with closing(duckdb.connect(str(path), read_only=True)) as connection:
            named = connection.execute(
                "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal ORDER BY view_name"
            ).fetchall()
            columns = {view: connection.execute(f'DESCRIBE "{view}"').fetchall() for view, _ in named}
    told = [
        f"## {view}\n\n{comment}\n\n{', '.join(f'`{name}` {kind}' for name, kind, *_ in columns[view])}"
        for view, comment in named
    ]
    head = (
        "# The ledger's views\n\n`dpsynth audit report` writes them as `audit.duckdb`, beside the page. "
        "[Reviewers](../reviewers.md#the-report-and-the-views) has queries."
    )
    return "\n\n".join([head, *told])


def _accepted(field: FieldInfo) -> str:
    annotated = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    return _cell(_form(TypeAdapter(annotated).json_schema()))


def _form(schema: Mapping[str, Any]) -> str:
    """A JSON schema in words."""
    if "anyOf" in schema:
        forms = [_form(each) for each in schema["anyOf"] if each != {"type": "null"}]
        return " or ".join(dict.fromkeys(forms))
    if "const" in schema or "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type")
    if kind == "array":
        least = schema.get("minItems")
        plural = {"mapping": "mappings", "text": "texts", "whole number": "whole numbers"}
        items = plural.get(found := _form(schema["items"]), found)
        return f"list of {items}" + (f", at least {least}" if least else "")
    if kind in ("number", "integer"):
        bounds = [f"{word} {_number(schema[key])}" for key, word in _BOUNDS.items() if key in schema]
        return ", ".join([{"number": "number", "integer": "whole number"}[kind], *bounds])
    if kind == "string":
        return f"text like `{schema['pattern']}`" if "pattern" in schema else "text"
    return {"boolean": "`true`, `false`"}.get(str(kind), "mapping")


_BOUNDS = {"exclusiveMinimum": "above", "minimum": "at least", "exclusiveMaximum": "below", "maximum": "at most"}


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "from other terms" if field.default_factory_takes_validated_data else "none"
    value = field.default
    if field.is_required():
        return "required"
    if value in (None, ()):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return ", ".join(f"`{each}`" for each in value)
    return f"`{value}`" if isinstance(value, str | int | float) else "as below"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
