"""What `dpsynth new` asks, each question with its reason, and how an answer is read.

Knows the columns' names and types, and nothing of the rows: labels' values are told, never looked up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from dpsynth_assets.cli.console import BadInput
from dpsynth_assets.cli.questions import Question, answer, somebody_answers
from dpsynth_assets.contract.budget import Budget
from dpsynth_assets.contract.drafting import unit_of, usual_delta
from dpsynth_assets.contract.people import FORM, is_person
from dpsynth_assets.contract.problems import choose_from, listing
from dpsynth_assets.contract.source_terms import RECORD, LabelColumn
from dpsynth_assets.term import TermsError
from resources.stated_columns import Stated

_TEXTS = ("text", "body", "message", "content", "comment", "review", "description")  # what texts are usually called
_NONE = "none"
T = TypeVar("T")


@dataclass(frozen=True)
class Asked:
    """The questions, as far as they depend on the contract's id, the columns and the populations that are known."""

    id: str
    columns: Stated
    populations: Sequence[str]

    def at_first(self) -> list[Question[Any]]:
        """Those that nobody's silence answers."""
        unit = "unit"
        every: list[Question[Any]] = [self.text(), self.unit(""), self.public_count(unit), self.population(unit)]
        every += [self.epsilon(unit), self.owner(), self.approver("")]
        return [each for each in every if each.default is None]

    def text(self) -> Question[str]:
        texts = [name for name, kind in self.columns.items() if kind == "string"]
        if not texts:
            raise BadInput("the source states no column of text: a text column is needed")
        usual = [name for name in texts if name.lower() in _TEXTS] if len(texts) > 1 else texts
        return Question(
            "text",
            "Which column holds the text?",
            f"Synthetic texts are written from it. Columns of text: {listing(texts)}.",
            lambda typed: _one_of(typed, texts),
            default=usual[0] if len(usual) == 1 else None,
        )

    def unit(self, text: str) -> Question[str | None]:
        able = [name for name, kind in self.columns.items() if kind in ("string", "integer") and name != text]
        return Question(
            "unit",
            f"Which column tells who wrote a text? `{RECORD}` if there is none.",
            f"All that one of them wrote is hidden together. With `{RECORD}` each text is hidden by itself, and "
            f"whoever wrote several is not. Columns: {listing(able) or 'none'}.",
            lambda typed: None if typed == RECORD else _one_of(typed, [*able, RECORD]),
        )

    def unit_name(self, column: str) -> Question[str]:
        return Question(
            "unit-name",
            f"What is one called whom `{column}` tells apart?",
            "Every statement of the guarantee names it, such as customer.",
            _identifier,
            default=unit_of(column),
        )

    def max_records(self, unit: str) -> Question[int]:
        return Question(
            "max-records",
            f"How many texts of one {unit} are used at most?",
            "Others are left out. Fewer make the counts less noisy; the guarantee is the same.",
            lambda typed: _whole(typed, 1, 10_000),
            default="3",
        )

    def public_count(self, unit: str) -> Question[int]:
        return Question(
            "public-count",
            f"About how many {unit}s are there?",
            "A round number that you know without looking: counted in the source it would say something of the people "
            "in it. A wrong one costs quality, never privacy.",
            lambda typed: _whole(typed.replace(",", "").replace("_", ""), 2, 10**10),
        )

    def population(self, unit: str) -> Question[str]:
        known = f" Those of other contracts here: {listing(self.populations)}." if self.populations else ""
        return Question(
            "population",
            "Whose budget is it? Name the people, or things, that the texts come from.",
            f"All that is ever released about the same people draws on one budget: give them one name only.{known}",
            _identifier,
            proposal=f"{self.id.replace('_', '-')}-{'people' if unit == RECORD else f'{unit}s'}"[:63],
        )

    def epsilon(self, unit: str) -> Question[float]:
        return Question(
            "epsilon",
            "How much may ever be learned about each of them, as ε?",
            f"At 1 nobody learns much about a {unit}; at 8 a bound that mostly keeps a model from learning texts by "
            "heart. It is for all releases together, and two people sign for it.",
            lambda typed: _held(lambda: Budget(epsilon=_number(typed), delta=1e-6)).epsilon,
        )

    def delta(self, count: int, epsilon: float) -> Question[float]:
        def read(typed: str) -> float:
            delta = _held(lambda: Budget(epsilon=epsilon, delta=_number(typed))).delta
            if delta * count >= 1:
                raise ValueError(f"it must be below 1 / {count}; {usual_delta(count):g} is usual")
            return delta

        return Question("delta", "With which chance may that bound fail?", "Far below one in their number.", read)

    def owner(self) -> Question[str]:
        return Question(
            "owner", "Who owns the data, and asks for releases?", f"{FORM}. It stands in the ledger.", _person
        )

    def approver(self, owner: str) -> Question[str]:
        def read(typed: str) -> str:
            if _person(typed).lower() == owner.lower():
                raise ValueError("nobody agrees to what they asked for themselves: name somebody else")
            return typed

        return Question(
            "approver", "Who reviews and agrees?", "Somebody else than the owner: it takes two people.", read
        )

    def purpose(self) -> Question[str]:
        return Question(
            "purpose",
            "What are the data for? A sentence, or nothing.",
            "Two people sign for it, and another purpose takes their signatures again.",
            lambda typed: " ".join(typed.split()),
            default="",
        )


def labels_told(given: Sequence[str] | None, columns: Mapping[str, str]) -> tuple[LabelColumn, ...]:
    """The labels of `--label`, or as they are told at the terminal; none where nobody says any."""
    able = {name: kind for name, kind in columns.items() if kind in ("string", "integer")}
    if given is not None:
        found = []
        for each in given:
            name, separated, values = each.partition("=")
            try:
                if not separated:
                    raise ValueError("write COLUMN=VALUE,VALUE")
                found.append(_label(_one_of(name.strip(), list(able)), able[name.strip()], values))
            except ValueError as error:
                raise BadInput(f"--label {each}: {error}") from None
        return tuple(found)
    told: list[LabelColumn] = []
    while somebody_answers() and (left := [name for name in able if name not in {each.column for each in told}]):
        name = answer(
            Question(
                "label",
                f"Which {'other ' if told else ''}column is a label, to be kept beside each text? `{_NONE}` if none.",
                "Synthetic texts are asked for by label, and a classifier learns them. A column with few values, such "
                f"as a topic. Columns: {listing(left)}.",
                lambda typed, left=left: _NONE if typed == _NONE else _one_of(typed, [*left, _NONE]),  # type: ignore[misc]
                default=_NONE,
            ),
            None,
        )
        if name == _NONE:
            break
        numbers = able[name] == "integer"
        form = "as NUMBER=WORD, since the column holds numbers, " if numbers else ""
        told.append(
            answer(
                Question(
                    "label",
                    f"Which values may `{name}` have? All of them, {form}divided by commas.",
                    "They are never read from the rows: which of them occur is a fact about people. A row with another "
                    "value is left out.",
                    lambda typed, name=name: _label(name, able[name], typed),  # type: ignore[misc]
                ),
                None,
            )
        )
    return tuple(told)


def _label(column: str, kind: str, typed: str) -> LabelColumn:
    entries = [each.strip() for each in typed.split(",") if each.strip()]
    if len(entries) < 2:
        raise ValueError("write two values or more, divided by commas")
    if kind != "integer":
        return _held(lambda: LabelColumn(column=column, values=tuple(entries)))
    pairs = [each.partition("=")[::2] for each in entries]
    codes = tuple(_whole(number.strip(), -(2**63), 2**63 - 1) for number, _ in pairs)
    values = tuple(word.strip() or number.strip() for number, word in pairs)
    return _held(lambda: LabelColumn(column=column, values=values, codes=codes))


def _one_of(typed: str, known: Sequence[str]) -> str:
    if typed not in known:
        raise ValueError(f"there is no such column to choose. {choose_from(typed, known)}")
    return typed


def _whole(typed: str, least: int, most: int) -> int:
    if not re.fullmatch(r"-?\d{1,20}", typed) or not least <= int(typed) <= most:
        raise ValueError(f"write a whole number from {least:,} to {most:,}")
    return int(typed)


def _number(typed: str) -> float:
    wrong = ValueError("write a number above 0, such as 8 or 0.00001")
    try:
        number = float(typed)
    except ValueError:
        raise wrong from None
    if not 0 < number < float("inf"):
        raise wrong
    return number


def _identifier(typed: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", typed):
        raise ValueError("use small letters, digits, - and _, a letter first")
    return typed


def _person(typed: str) -> str:
    if not is_person(typed):
        raise ValueError(f"{FORM[:1].lower()}{FORM[1:]}")
    return typed


def _held(make: Callable[[], T]) -> T:
    """What `make` makes, or a ValueError that says what of it does not hold."""
    try:
        return make()
    except ValidationError as error:
        [first, *_] = error.errors(include_url=False)
        fault = first.get("ctx", {}).get("error")
        raise ValueError(str(fault) if isinstance(fault, TermsError) else str(first["msg"])) from None
