"""A YAML file as plain data in which every value knows its line.

Reads YAML 1.2 and refuses what YAML 1.1 readers, the standard's own package among them, would read differently: one
file must not mean two things. Knows nothing of contracts.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from dpsynth_assets.contract import scalars
from dpsynth_assets.contract.problems import Problem

Path = tuple[str | int, ...]
Fault = tuple[int, Path, str, str]

LARGEST = 1_000_000  # characters; a contract is written by hand

_NAMING_KEYS = ("name", "property", "server", "username", "role", "column", "metric")


@dataclass(frozen=True)
class Document:
    """Plain data (dict, list, str, int, float, bool, None) and the line of every path in it."""

    data: Any
    lines: Mapping[Path, int]
    faults: tuple[Fault, ...] = ()  # of the YAML itself
    short: dict[Path, str] = field(default_factory=dict)  # paths that go by a name of their own in messages

    def line(self, path: Path) -> int:
        """The line of `path`, or of the nearest thing around it that exists."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return 1

    def at(self, path: Path) -> Any:
        """The value at `path`, or None."""
        value = self.data
        for step in path:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def where(self, path: Path) -> str:
        """`path` as a person says it: list items by their name, `privacy.budget.delta` for the terms."""
        start = next((n for n in range(len(path), 0, -1) if path[:n] in self.short), 0)
        said = self.short[path[:start]] if start else ""
        for position in range(start, len(path)):
            step = path[position]
            if isinstance(step, int):
                said += f"[{self._name_of(path[: position + 1], step)}]"
            else:
                said += f".{step}" if said else step
        return said or "contract"

    def _name_of(self, path: Path, index: int) -> str:
        item = self.at(path)
        if isinstance(item, dict):
            for key in _NAMING_KEYS:
                if isinstance(item.get(key), str):
                    return str(item[key])
        return str(index)

    def problems(self) -> list[Problem]:
        """What is wrong with the YAML."""
        return [Problem(line, self.where(path), what, remedy) for line, path, what, remedy in self.faults]

    def problem(self, path: Path, what: str, remedy: str) -> Problem:
        return Problem(self.line(path), self.where(path), what, remedy)

    def warning(self, path: Path, what: str, remedy: str) -> Problem:
        return Problem(self.line(path), self.where(path), what, remedy, "warning")


def read(text: str) -> tuple[Document | None, list[Problem]]:
    """The document, which knows its faults, or why there is none: the syntax does not hold."""
    if len(text) > LARGEST:
        return None, [
            Problem(1, "contract", "longer than 1,000,000 characters", "Contracts are written by hand; split it")
        ]
    try:
        node = YAML(typ="safe", pure=True).compose(io.StringIO(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        fault = " ".join(str(part) for part in (error.context, error.problem) if part)
        return None, [Problem(line, "YAML", f"not readable: {fault}", _syntax_remedy(fault))]
    except YAMLError as error:
        return None, [Problem(1, "YAML", f"not readable: {str(error).splitlines()[0]}", "Save the file as UTF-8 text")]
    except RecursionError:
        return None, [Problem(1, "YAML", "not readable: nested too deeply", "Write it as the shipped contracts are")]
    if node is None:
        return None, [Problem(1, "contract", "the file is empty", "`dpsynth new FILE` drafts one from a source")]
    builder = _Builder(text)
    data = builder.value(node, ())
    return Document(data, builder.lines, tuple(builder.faults)), []


def _syntax_remedy(fault: str) -> str:
    if "\\t" in fault:
        return "Indent with spaces, not tabs"
    if "mapping values are not allowed" in fault:
        return "Quote a text that contains `: `, and check the indentation of this line and the one above"
    return "Check indentation, quotes and brackets on this line and the one above"


class _Builder:
    """Plain values out of YAML nodes, with the line of each path and the faults on the way."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self.faults: list[Fault] = []
        self._text = text.splitlines()
        self._seen: set[int] = set()

    def value(self, node: Node, path: Path) -> Any:
        line = self.lines.setdefault(path, node.start_mark.line + 1)
        if id(node) in self._seen:
            self._add(line, path, "a YAML alias", "Write it out: reviewers read a contract line by line")
            return None
        self._seen.add(id(node))
        if self._tagged(node):
            self._add(line, path, "a YAML tag", "Write the plain value, in quotes if it is text")
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        text = self._writable(str(node.value), line, path)
        if node.style is not None:
            return text
        if fault := scalars.fault_of(text):
            self._add(line, path, *fault)
        return scalars.value_of(text)

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            name = self._writable(str(key.value), line, path)
            if not isinstance(key, ScalarNode):
                self._add(line, path, "a key that is not text", "Write keys as plain words")
            elif name == "<<":
                self._add(line, path, "a YAML merge key `<<`", "Write it out: reviewers read a contract line by line")
            elif name in mapping:
                first = self.lines[(*path, name)]
                self._add(line, (*path, name), f"`{name}` stands here twice, first on line {first}", "Keep one of them")
            else:
                if key.style is None and scalars.fault_of(name):
                    what = f"the key `{name}` is not text to every YAML reader"
                    self._add(line, (*path, name), what, f'Write "{name}"')
                self.lines[(*path, name)] = line
                mapping[name] = self.value(value, (*path, name))
        return mapping

    def _writable(self, text: str, line: int, path: Path) -> str:
        """The text, if it can be written again: YAML can spell half a character, which no UTF-8 text holds."""
        try:
            text.encode()
        except UnicodeEncodeError as error:
            half = f"\\u{ord(text[error.start]):04x}"
            remedy = "Write the character itself, or all of it in one escape, as \\U0001F600"
            self._add(line, path, f"`{half}` is half a character", remedy)
            return text.encode(errors="replace").decode()
        return text

    def _tagged(self, node: Node) -> bool:
        mark = node.start_mark
        line = self._text[mark.line] if mark.line < len(self._text) else ""
        return line[mark.column : mark.column + 1] == "!"

    def _add(self, line: int, path: Path, what: str, remedy: str) -> None:
        self.faults.append((line, path, what, remedy))
