"""Where the rows are: the source, its public test split, and that the two cannot overlap."""

from __future__ import annotations

import glob
import os
import pathlib
import posixpath
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase

from dpsynth_assets.contract.classifiers import PublicRows, PublicTestSplit
from dpsynth_assets.contract.document import Path
from dpsynth_assets.contract.draft import Draft
from dpsynth_assets.contract.model import HUB, SAME_AS_SOURCE
from dpsynth_assets.contract.problems import Problem, choose_from

FORMATS = {"parquet": (".parquet",), "jsonl": (".jsonl", ".ndjson"), "csv": (".csv",)}
_SERVER: Path = ("servers", 0)
_SPLIT = "split"  # on the Hub not a column but what files are called
_HOW = "Use `type: local` with path and format, or `type: custom` with `format: huggingface` and `dataset: owner/name`"


def source_of(draft: Draft) -> str | None:
    """The source as the contract writes it: a path, or `hub:owner/name`."""
    dataset = draft.text(*_SERVER, "dataset")
    if draft.get(*_SERVER, "type") == "custom" and dataset:
        return HUB + dataset
    return draft.text(*_SERVER, "path")


def source(draft: Draft) -> Iterator[Problem]:
    """The first server is a file of a known format or a data set on the Hub."""
    server = draft.get(*_SERVER)
    if not isinstance(server, dict):
        yield draft.problem(("servers",), "the contract does not say where its source is", _HOW)
        return
    kind, form = server.get("type"), server.get("format")
    if kind == "custom" and (form == "huggingface" or "dataset" in server):
        name = server.get("dataset")
        if not isinstance(name, str) or name.count("/") != 1:
            yield draft.problem((*_SERVER, "dataset"), "the Hub data set has no name", "Write `dataset: owner/name`")
    elif kind != "local":
        yield draft.problem((*_SERVER, "type"), f"sources of type `{kind}` are not read", _HOW)
    elif isinstance(path := server.get("path"), str):
        yield from _file(draft, (*_SERVER, "path"), path)
        if not isinstance(form, str):
            return  # the standard's schema says so
        if form not in FORMATS:
            yield draft.problem((*_SERVER, "format"), f"the format `{form}` is not read", choose_from(form, FORMATS))
        elif "." in posixpath.basename(path) and not path.lower().endswith(FORMATS[form]):
            yield draft.problem(
                (*_SERVER, "format"), f"the format is {form}, but the path is `{path}`", "Correct the one or the other"
            )


def _file(draft: Draft, path: Path, text: str) -> Iterator[Problem]:
    if any(character in text for character in "*?#"):
        yield draft.problem(
            path,
            f"`{text}` is more than a path",
            "Name one file or folder; rows are chosen with `where: {column: value}`",
        )


def copies(draft: Draft) -> Iterator[Problem]:
    """Copies of the source are files of a known format, at places that a reviewer can tell."""
    for index, text in enumerate(draft.parts.source_copies):
        place = draft.term("source_copies", index)
        if text.startswith(HUB):
            if text.count("/") != 1 or "*" in text:
                yield draft.problem(place, f"`{text}` names no Hub data set", "Write `hub:owner/name`")
        elif "**" in text or set(text) & set("?#[]"):
            yield draft.problem(
                place,
                f"`{text}` is more than names and `*`",
                "A `*` stands for the rest of one file's or folder's name",
            )
        elif _is_any(text):
            yield draft.problem(
                place,
                f"`{text}` may be any file: whoever can write there would choose what is read",
                "Name the file, or begin its name: `letters*.parquet`",
            )


def _is_any(pattern: str) -> bool:
    """Whether nothing is said of the file's name but how it ends."""
    return posixpath.basename(_plain(pattern)).startswith("*")


def filters(draft: Draft) -> Iterator[Problem]:
    """Row filters are about columns that exist, and splits on the Hub go by their names."""
    yield from _splits(draft)
    split = draft.parts.test_split
    for path, where in (
        (draft.term("source_where"), draft.parts.source_where),
        (draft.term("test_split", "where"), split.where if split else {}),
    ):
        for column in where:
            if draft.columns and column not in draft.columns:
                yield draft.problem(
                    (*path, column), f"the table has no column `{column}`", choose_from(column, draft.columns)
                )


def _splits(draft: Draft) -> Iterator[Problem]:
    own, split = source_of(draft), draft.parts.test_split
    given = [
        (draft.term("source_where"), place, draft.parts.source_where) for place in (own, *draft.parts.source_copies)
    ]
    declared: list[tuple[Path, PublicRows | PublicTestSplit]] = [
        (draft.term(term, "mix", "where"), rows) for term, rows in _mixes(draft)
    ]
    if split is not None:
        declared.append((draft.term("test_split", "where"), split))
    given += [(path, own if rows.path == SAME_AS_SOURCE else rows.path, rows.where) for path, rows in declared]
    for path, place, where in given:
        if place is None or not place.startswith(HUB) or _SPLIT not in where:
            continue
        name = str(where[_SPLIT])
        if not re.fullmatch(r"\w[\w.-]*", name):
            yield draft.problem((*path, _SPLIT), f"`{name}` names no split", "Write its whole name, such as `train`")


def test_split(draft: Draft) -> Iterator[Problem]:
    """The test split cannot hold a row of the source: another place, or filters that exclude each other."""
    split, place = draft.parts.test_split, source_of(draft)
    if split is None:
        return
    if split.path != SAME_AS_SOURCE and not split.path.startswith(HUB):
        yield from _file(draft, draft.term("test_split", "path"), split.path)
    if place is None:
        return
    same = split.path == SAME_AS_SOURCE or any(
        _overlap(draft, split.path, each) for each in (place, *draft.parts.source_copies)
    )
    if same and not _exclude(draft.parts.source_where, split.where):
        yield draft.problem(
            draft.term("test_split", "path"),
            "the public test split is the sensitive source itself: evaluating on it would be an unmetered output",
            "Name another file, or choose different rows of one column with `source_where` and `test_split.where`",
        )


def mix(draft: Draft) -> Iterator[Problem]:
    """Public rows to train on lie elsewhere than the source and the test split."""
    for term, rows in _mixes(draft):
        yield from _elsewhere(draft, draft.term(term, "mix", "path"), rows)


def _mixes(draft: Draft) -> Iterator[tuple[str, PublicRows]]:
    for term, asking in (("classifier", draft.parts.classifier), ("safety_classifier", draft.parts.safety_classifier)):
        if asking is not None and asking.mix is not None:
            yield term, asking.mix


def _elsewhere(draft: Draft, place: Path, rows: PublicRows) -> Iterator[Problem]:
    if not rows.path.startswith(HUB):
        yield from _file(draft, place, rows.path)
    split, source_place = draft.parts.test_split, source_of(draft)
    tested = source_place if split is not None and split.path == SAME_AS_SOURCE else split.path if split else None
    own = source_place if rows.path == SAME_AS_SOURCE else rows.path
    secret = "the sensitive source: nothing would charge for reading it"
    for other, where, said in (
        *((each, draft.parts.source_where, secret) for each in (source_place, *draft.parts.source_copies)),
        (tested, split.where if split else {}, "the test split, which must not be trained on"),
    ):
        if own and other and _overlap(draft, own, other) and not _exclude(where, rows.where):
            yield draft.problem(place, f"these public rows are {said}", "Name another file")


def _exclude(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    """Whether no record can meet both filters, of whatever types their columns are declared."""
    return any(column in other and not _may_be_equal(other[column], value) for column, value in one.items())


def _may_be_equal(one: object, other: object) -> bool:
    """Whether some declared type reads both as one value: 7 and "07" as numbers, true, "True" and 1 as truth values."""
    plain = (str(value).strip().lower() for value in (one, other))
    words = [{"true": "1", "false": "0"}.get(word, word) for word in plain]
    if words[0] == words[1]:
        return True
    try:
        return Decimal(words[0]) == Decimal(words[1])
    except InvalidOperation:
        return False


def _overlap(draft: Draft, one: str, other: str) -> bool:
    """The same place, however it is spelled, or a file in a folder that is read as a whole. The other may be a
    pattern."""
    if HUB in (one[: len(HUB)], other[: len(HUB)]):
        return one.lower() == other.lower()
    named = any(_within(a, b) for a in _spellings(draft, one) for b in _spellings(draft, other))
    return named or not _files(draft, one).isdisjoint(_files(draft, other))


def _within(one: str, pattern: str) -> bool:
    """Part by part, as far as both go."""
    parts = zip(one.split("/"), pattern.split("/"), strict=False)
    return all(part == wanted or fnmatchcase(part, wanted) for part, wanted in parts)


def _spellings(draft: Draft, place: str) -> set[str]:
    """A place as an absolute path, and as the one that its links lead to."""
    path = _absolute(draft, place)
    return {path, os.path.realpath(path)}


def _files(draft: Draft, place: str) -> set[tuple[int, int]]:
    """What is there now, and in a folder its Parquet files, by numbers that a file has whatever it is called."""
    path = _absolute(draft, place)
    numbers = set()
    for pattern in (glob.escape(path), path):
        for found in (*glob.iglob(pattern), *glob.iglob(f"{pattern}/*.parquet")):  # noqa: PTH207 (absolute)
            with suppress(OSError):
                known = pathlib.Path(found).stat()
                numbers.add((known.st_dev, known.st_ino))
    return numbers


def _absolute(draft: Draft, place: str) -> str:
    path = os.path.expanduser(place.replace("\\", "/"))  # noqa: PTH111 (which fails where there is no such user)
    return os.path.normpath(draft.folder.resolve() / path)


def _plain(path: str) -> str:
    return path if path.startswith(HUB) else posixpath.normpath(path.replace("\\", "/"))
