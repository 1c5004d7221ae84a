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

from dpsynth_assets.contract.addresses import (
    HUB,
    POSTGRESQL,
    as_it_is_now,
    has_loose_variable,
    has_secret,
    is_address,
    is_endpoint,
    is_plain_address,
    split_endpoint,
    without_secret,
)
from dpsynth_assets.contract.classifiers import PublicRows, PublicTestSplit
from dpsynth_assets.contract.document import Path
from dpsynth_assets.contract.draft import Draft
from dpsynth_assets.contract.model import SAME_AS_SOURCE
from dpsynth_assets.contract.problems import Problem, choose_from
from dpsynth_assets.contract.source_terms import encoding_called

_LINES = {"csv": (".csv", ".tsv", ".txt"), "jsonl": (".jsonl", ".ndjson")}
_PACKED = {name: (*suffixes, *(f"{suffix}.gz" for suffix in suffixes)) for name, suffixes in _LINES.items()}
_FILES = {"parquet": (".parquet",), **_PACKED, "json": _PACKED["jsonl"]}  # the standard's word; one object a line
FORMATS = {
    **_FILES,
    "xlsx": (".xlsx", ".xlsm"),
    "duckdb": (".duckdb", ".ddb", ".db"),
    "sqlite": (".sqlite", ".sqlite3", ".db"),
}
_SERVER: Path = ("servers", 0)
_SPLIT = "split"  # on the Hub not a column but what files are called
_HOW = (
    "Use `type: local` with path and format, `duckdb`, `postgresql`, `s3`, or `type: custom` with "
    "`format: huggingface` and `dataset: owner/name`; of another system export a table as Parquet"
)
_CREDENTIALS = "Take them out: whoever reads the source has them in the environment, and a contract is read by many"


def source_of(draft: Draft) -> str | None:
    """The source as the contract writes it: a path, or an address."""

    def said(key: str) -> str | None:
        return draft.text(*_SERVER, key)

    kind = draft.get(*_SERVER, "type")
    if kind == "custom" and (dataset := said("dataset")):
        return HUB + dataset
    if kind == "duckdb":
        return said("database")
    if kind == "s3" and (location := said("location")):
        endpoint = said("endpointUrl")
        return f"{location}?endpoint={endpoint}" if endpoint else location
    if kind in _POSTGRESQL and (database := said("database")):
        return f"{POSTGRESQL}{said('host')}:{draft.get(*_SERVER, 'port')}/{database}"
    return said("path")


_POSTGRESQL = ("postgresql", "postgres")
_KEYS = {"duckdb": ("database",), "s3": ("location", "endpointUrl")}  # where a server's place stands
_KEYS |= dict.fromkeys(_POSTGRESQL, ("host", "database"))


def source(draft: Draft) -> Iterator[Problem]:
    """The first server is a file of a known format, a database, or a data set on the Hub."""
    server = draft.get(*_SERVER)
    if not isinstance(server, dict):
        yield draft.problem(("servers",), "the contract does not say where its source is", _HOW)
        return
    kind, form = server.get("type"), server.get("format")
    problems = [
        problem
        for key in _KEYS.get(str(kind), ("path",))
        if isinstance(text := server.get(key), str)
        for problem in _written(draft, (*_SERVER, key), text)
    ]
    if problems:
        yield from problems
    elif kind == "custom" and (form == "huggingface" or "dataset" in server):
        name = server.get("dataset")
        if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
            yield draft.problem((*_SERVER, "dataset"), "the Hub data set has no name", "Write `dataset: owner/name`")
    elif kind == "local" and isinstance(path := server.get("path"), str):
        yield from _of_format(draft, "path", path, form, FORMATS)
    elif kind == "s3" and isinstance(location := server.get("location"), str):
        if not re.fullmatch(r"s3://[^/*]+/.+", location):
            remedy = "Write `s3://bucket/name.parquet`; a `*` stands for the rest of a name, not of the bucket's"
            yield draft.problem((*_SERVER, "location"), f"`{location}` names nothing in a bucket", remedy)
        else:
            yield from _of_format(draft, "location", location, form, _FILES | {"xlsx": FORMATS["xlsx"]})
    elif kind == "duckdb" and isinstance(database := server.get("database"), str):
        yield from _of_format(draft, "database", database, "duckdb", FORMATS)
    elif kind in _POSTGRESQL:
        for key in ("host", "database"):
            if isinstance(text := server.get(key), str) and set(text) & set("/:* "):
                remedy = "Write the name alone; port and schema have keys of their own"
                yield draft.problem((*_SERVER, key), f"`{text}` is no name of a {key}", remedy)
        if not re.fullmatch(r"\d+|\$\{\w+\}", str(server.get("port", ""))):
            yield draft.problem((*_SERVER, "port"), "the port is no number", "Write it alone, such as `port: 5432`")
    elif kind not in ("local", "s3", "duckdb"):
        yield draft.problem((*_SERVER, "type"), f"sources of type `{kind}` are not read", _HOW)
    yield from _encoding(draft)


def _of_format(
    draft: Draft, key: str, path: str, form: object, known: Mapping[str, tuple[str, ...]]
) -> Iterator[Problem]:
    """The place ends as its format's do, or is a folder."""
    if not isinstance(form, str):
        return  # the standard's schema says so, where it must be said
    place = (*_SERVER, "format") if draft.get(*_SERVER, "format") else (*_SERVER, key)
    several = "*" in path
    if form not in known:
        yield draft.problem(place, f"the format `{form}` is not read", choose_from(form, known))
    elif (several or "." in posixpath.basename(path)) and not path.lower().endswith(known[form]):
        what = f"the format is {form}, but the {key} is `{path}`"
        yield draft.problem(place, what, f"Correct the one or the other: {form} ends with {known[form][0]}")


def _encoding(draft: Draft) -> Iterator[Problem]:
    """What the standard's own key says of the encoding is what is read."""
    said = draft.get(*_SERVER, "encoding")
    if not isinstance(said, str):
        return
    read = draft.parts.csv.encoding if draft.parts.csv is not None else "utf-8"
    if encoding_called(said) != encoding_called(read):
        what = f"the server says {said}, and CSV files are read as {read}"
        yield draft.problem(
            (*_SERVER, "encoding"), what, "Write `csv: {encoding: ...}` into the privacy terms to agree"
        )


def _written(draft: Draft, path: Path, text: str, *, several: bool = True) -> Iterator[Problem]:
    """A place is a name or a pattern of names that a reviewer can tell, without a secret in it."""
    shown = without_secret(text)
    if has_secret(text) or (path[-1] in ("host", "database") and "@" in text):
        yield draft.problem(path, "the place holds a name or a password", _CREDENTIALS)
    elif has_loose_variable(text):
        yield draft.problem(
            path, f"`{shown}` has a `$` that names no variable", "Write `${NAME}`, of letters and digits"
        )
    elif path[-1] == "endpointUrl":
        if not is_endpoint(text):
            yield draft.problem(
                path, f"`{shown}` is no server's address", "Write `https://host` or `https://host:port`"
            )
    elif not several and any(character in text for character in "*?#"):
        yield draft.problem(
            path,
            f"`{shown}` is more than a path",
            "Name one file or folder; rows are chosen with `where: {column: value}`",
        )
    elif (
        "**" in text
        or set(text) & set("?#")
        or (is_address(text) and ("{" in text.replace("${", "") or not is_plain_address(text)))
    ):
        yield draft.problem(
            path, f"`{shown}` is more than names and `*`", "A `*` stands for the rest of one file's or folder's name"
        )


def copies(draft: Draft) -> Iterator[Problem]:
    """Copies of the source are files of a known format, at places that a reviewer can tell."""
    for index, text in enumerate(draft.parts.source_copies):
        place = draft.term("source_copies", index)
        if has_secret(text) or has_loose_variable(text):
            yield from _written(draft, place, text)
        elif text.startswith(HUB):
            if text.count("/") != 1 or "*" in text:
                yield draft.problem(place, f"`{text}` names no Hub data set", "Write `hub:owner/name`")
        elif "**" in text or set(split_endpoint(text)[0]) & set("?#[]") or not _tellable(text):
            yield draft.problem(
                place,
                f"`{without_secret(text)}` is more than names and `*`",
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
    return posixpath.basename(_plain(split_endpoint(pattern)[0])).startswith("*")


def _tellable(text: str) -> bool:
    return not is_address(text) or is_plain_address(text)


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
        yield from _written(draft, draft.term("test_split", "path"), split.path, several=False)
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
        yield from _written(draft, place, rows.path, several=False)
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
    if is_address(as_it_is_now(one)) or is_address(as_it_is_now(other)):
        return _within(_key(one), _key(other))
    named = any(_within(a, b) for a in _spellings(draft, one) for b in _spellings(draft, other))
    return named or not _files(draft, one).isdisjoint(_files(draft, other))


def _key(place: str) -> str:
    """An address without the server's, in one spelling: two servers may be one."""
    return split_endpoint(as_it_is_now(place))[0].lower()


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
    text = as_it_is_now(place).replace("\\", "/")
    path = os.path.expanduser(text)  # noqa: PTH111 (which fails where there is no such user)
    return os.path.normpath(draft.folder.resolve() / path)


def _plain(path: str) -> str:
    return path if is_address(path) else posixpath.normpath(path.replace("\\", "/"))
