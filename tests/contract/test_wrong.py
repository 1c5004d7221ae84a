"""Wrong contracts and what is said of them: above each faulty line, marked `#!`, stand the problems that it has.

`python tests/contract/test_wrong.py` writes the marks anew; read the difference before you commit it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from dpsynth_assets.contract import ContractError, lint_contract, load_contract

WRONG = sorted((Path(__file__).parent / "wrong").glob("*.odcs.yaml"))
MARK = "#! "


def annotated(path: Path) -> str:
    """The file's text with the marks as they should be."""
    said: dict[int, list[str]] = {}
    for problem in lint_contract(path):
        said.setdefault(problem.line, []).append(str(problem).removeprefix(f"line {problem.line}: "))
    lines = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.startswith(MARK):
            lines += [MARK + words for words in said.get(number, ())]
            lines.append(line)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.name.removesuffix(".odcs.yaml"))
def test_each_faulty_line_has_its_problems_and_no_other_line_has_any(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == annotated(path)


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.name.removesuffix(".odcs.yaml"))
def test_loading_raises_all_errors_at_once_and_passes_warnings_on(path: Path) -> None:
    problems = lint_contract(path)
    assert problems == sorted(problems)  # by line
    errors = tuple(problem for problem in problems if problem.severity == "error")
    if errors:
        with pytest.raises(ContractError) as raised:
            load_contract(path)
        assert raised.value.problems == errors
        assert all(str(problem) in str(raised.value) for problem in errors)
    else:
        assert load_contract(path).warnings == tuple(problems) != ()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "the file is empty"),
        (b"# a remark\n", "the file is empty"),
        (b"name: caf\xe9\n", "the file is not UTF-8 text"),
        (b"id: " + b"x" * 1_000_001, "longer than 1,000,000 characters"),
        (b"id: \x00", "not readable: unacceptable character #x0000: special characters are not allowed."),
        (b"a: 1\n---\nb: 2\n", "not readable: expected a single document in the stream but found another document"),
        (None, "the file cannot be read (No such file or directory)"),
    ],
)
def test_a_file_that_is_no_contract_is_one_problem(tmp_path: Path, content: bytes | None, what: str) -> None:
    path = tmp_path / "c.odcs.yaml"
    if content is not None:
        path.write_bytes(content)
    assert [problem.what.rstrip(".") for problem in lint_contract(path)] == [what.rstrip(".")]
    with pytest.raises(ContractError, match="1 problem"):
        load_contract(path)


def test_a_contract_without_anything_hears_all_that_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "c.odcs.yaml"
    path.write_text("apiVersion: v3.2.0\n")
    said = {problem.where for problem in lint_contract(path)}
    assert {"contract", "schema", "servers", "team", "roles", "slaProperties"} <= said


def write_marks() -> None:
    for path in WRONG:
        while (text := annotated(path)) != path.read_text(encoding="utf-8"):
            path.write_text(text, encoding="utf-8")  # the marks move the lines that some problems name


if __name__ == "__main__":
    write_marks()
