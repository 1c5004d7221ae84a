"""Writes Excel workbooks as small as they may be: inline texts, numbers and raw elements, in sheets by name."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_SHEETS = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"


def write_workbook(path: Path, sheets: Mapping[str, Sequence[Sequence[object]]]) -> None:
    """Cells are texts, numbers, None, or a cell's element as bytes. A number of format 1 is shown as hours."""
    numbered = list(enumerate(sheets, start=1))
    tabs = "".join(f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"/>' for n, name in numbered)
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_SHEETS}"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{_SHEETS.replace("sheet.main", "styles")}"/></Types>',
        "_rels/.rels": _relations({"w": ("officeDocument", "xl/workbook.xml")}),
        "xl/_rels/workbook.xml.rels": _relations(
            {f"r{n}": ("worksheet", f"sheets/{n}.xml") for n, _ in numbered} | {"s": ("styles", "styles.xml")}
        ),
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{tabs}</sheets></workbook>',
    }
    parts["xl/styles.xml"] = (
        f'<styleSheet xmlns="{_MAIN}"><numFmts count="1"><numFmt numFmtId="200" formatCode="[h]:mm:ss"/></numFmts>'
        '<cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="200"/></cellXfs></styleSheet>'
    )
    for n, name in numbered:
        rows = "".join(_row(row, cells) for row, cells in enumerate(sheets[name], start=1))
        parts[f"xl/sheets/{n}.xml"] = f'<worksheet xmlns="{_MAIN}"><sheetData>{rows}</sheetData></worksheet>'
    with zipfile.ZipFile(path, "w") as file:
        for part, text in parts.items():
            file.writestr(part, text)


def _relations(targets: Mapping[str, tuple[str, str]]) -> str:
    said = "".join(
        f'<Relationship Id="{id_}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for id_, (kind, target) in targets.items()
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{said}</Relationships>'


def _row(number: int, cells: Sequence[object]) -> str:
    return f'<row r="{number}">{"".join(_cell(f"{chr(65 + n)}{number}", cell) for n, cell in enumerate(cells))}</row>'


def _cell(at: str, cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bytes):
        return cell.decode().replace("<c ", f'<c r="{at}" ' if b" r=" not in cell else "<c ", 1)
    if isinstance(cell, str):
        return f'<c r="{at}" t="inlineStr"><is><t xml:space="preserve">{escape(cell)}</t></is></c>'
    return f'<c r="{at}"><v>{cell}</v></c>'
