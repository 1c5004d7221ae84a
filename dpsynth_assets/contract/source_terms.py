"""Whom the terms protect and what is read: the privacy unit, the blocks, the text and its labels."""

from __future__ import annotations

import codecs
import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from dpsynth_assets.contract.problems import choose_from
from dpsynth_assets.term import Fraction, Identifier, Name, Terms, TermsError

RECORD = "record"  # what a unit is called that no column tells apart


class PrivacyUnit(Terms):
    """Whom the guarantee protects: everything one unit contributed is hidden together.

    `column` names the attribute that identifies the unit; without it each record is a unit of its own, and is called
    `record`: a certificate about customers over records would promise what nothing keeps.
    `public_count` is a round, public estimate of how many units there are. A wrong one costs utility, never privacy:
    it sets the sampling rate, and the sampling rate is what is accounted.
    """

    name: Annotated[Identifier, Field(description="what one unit is called, such as customer")]
    column: Annotated[Name | None, Field(description="the column that tells units apart")] = None
    max_records: Annotated[int, Field(ge=1, le=10_000, description="at most so many records of one unit are used")] = 1
    public_count: Annotated[int, Field(ge=2, le=10**10, description="a round, public estimate of the number of units")]
    neighbouring_relation: Annotated[
        Literal["add_or_remove_one_unit"], Field(description="which two data sets must be indistinguishable")
    ]

    @model_validator(mode="after")
    def _record_units_are_single(self) -> PrivacyUnit:
        if self.column is None and self.max_records != 1:
            raise TermsError(
                f"without a unit column each record is one unit, so max_records must be 1, not {self.max_records}",
                "Name the unit's column, or remove max_records",
                "max_records",
            )
        return self

    @model_validator(mode="after")
    def _called_what_it_is(self) -> PrivacyUnit:
        if (self.column is None) != (self.name == RECORD):
            what = f"the unit is called `{self.name}`, and "
            what += "no column tells one from another: each record is protected by itself"
            if self.column is not None:
                what = f"the unit is called `{RECORD}`, and the column `{self.column}` tells units apart"
            raise TermsError(
                what,
                f"Name the unit's `column`, or write `name: {RECORD}` where each record is a unit of its own",
                "name",
            )
        return self


CHARACTERS_A_TOKEN = 64  # far more than tokens have: what is beyond them would hardly be seen anyway


class TextColumn(Terms):
    """The sensitive text, cut to `max_tokens` tokens of the base model before anything is computed from it."""

    column: Annotated[Name, Field(description="the column that holds the text")]
    max_tokens: Annotated[int, Field(ge=4, le=4096, description="texts are cut to so many tokens")]

    @property
    def max_characters(self) -> int:
        """What a release sees of a text before it is made into tokens: no text decides how much memory it takes."""
        return self.max_tokens * CHARACTERS_A_TOKEN


class LabelColumn(Terms):
    """A column to condition on, with its closed, public set of values in a fixed order.

    Where the source stores something else, `codes` gives the stored number of each entry of `values` and `spellings`
    the stored text: 0..3 and World, Sports, Business, Sci/Tech for the two forms AG News comes in.
    """

    column: Annotated[Name, Field(description="the column that holds the label")]
    values: Annotated[
        tuple[str, ...], Field(min_length=2, strict=False, description="all labels there are, in a fixed order")
    ]
    codes: Annotated[
        tuple[int, ...] | None, Field(strict=False, description="the stored number of each of the values")
    ] = None
    spellings: Annotated[
        tuple[str, ...] | None, Field(strict=False, description="the stored text of each of the values")
    ] = None

    @property
    def decoding(self) -> dict[str | int, str]:
        """From what the source may store to the plain value. A record with anything else has no label."""
        stored: dict[str | int, str] = {}
        for alternative in (self.codes, self.spellings, self.values):  # the plain values have the last word
            stored.update(zip(alternative or (), self.values, strict=False))
        return stored

    @model_validator(mode="after")
    def _closed_and_distinct(self) -> LabelColumn:
        for value in self.values:
            if not value.strip() or value != value.strip() or len(value) > 64 or set(value) & set(",:\n\t"):
                raise TermsError(
                    f"the label value {value!r} cannot be written into a condition",
                    "Use 1 to 64 characters, no comma or colon; what the source stores goes under `spellings`",
                    "values",
                )
        if len(set(self.values)) != len(self.values):
            raise TermsError("the label values are not distinct", "Keep each value once", "values")
        for name, stored in (("codes", self.codes), ("spellings", self.spellings)):
            if stored is None:
                continue
            if len(stored) != len(self.values):
                raise TermsError(
                    f"{len(stored)} {name} for {len(self.values)} values", f"Give {name} in the order of `values`", name
                )
            if len(set(stored)) != len(stored):
                raise TermsError(f"the {name} are not distinct", "Two labels cannot be stored alike", name)
        for spelling, value in zip(self.spellings or (), self.values, strict=False):
            if spelling in self.values and spelling != value:
                raise TermsError(
                    f"{spelling!r} is both a value and the spelling of another value",
                    "Choose plain values that no other label is stored as",
                    "spellings",
                )
        return self


# Of the rest of Python's, some lose what follows a broken byte: one person's text would change how another's is read.
ENCODINGS = (
    *("utf-8", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "iso-8859-15", "cp1252", "cp1250", "cp1251", "cp1253"),
    *("cp1254", "cp1257", "iso-8859-2", "koi8-r", "mac-roman", "cp437", "cp850", "shift_jis", "euc_jp", "gb18030"),
    *("big5", "euc_kr"),
)
_BY_CODEC = {codecs.lookup(name).name: name for name in ENCODINGS}


class CsvFiles(Terms):
    """How CSV files are written; what is not said is as in files that say nothing."""

    delimiter: Annotated[str | None, Field(description="the character between the cells of a line")] = None
    encoding: Annotated[str, Field(description="how characters are stored")] = ENCODINGS[0]

    @model_validator(mode="after")
    def _one_character(self) -> CsvFiles:
        mark = self.delimiter
        if mark is not None and (len(mark) != 1 or mark.isalnum() or mark in '"\r\n'):
            raise TermsError(
                f"{mark!r} cannot divide cells",
                'Write one character, such as ";", "|", or "\\t" for a tab',
                "delimiter",
            )
        return self

    @model_validator(mode="after")
    def _known(self) -> CsvFiles:
        if self.codec is None:
            raise TermsError(
                f"the encoding {self.encoding!r} is not read", choose_from(self.encoding, ENCODINGS), "encoding"
            )
        return self

    @property
    def codec(self) -> str | None:
        """The encoding by the one name that it has here, whichever of its names is written."""
        return encoding_called(self.encoding)


def encoding_called(name: str) -> str | None:
    """An encoding that is read, by any of its names; None for any other."""
    try:
        return _BY_CODEC.get(codecs.lookup(name).name)
    except (LookupError, ValueError):
        return None


class PersonalData(Terms):
    """How many synthetic texts may look as if they held personal data: a rule of the platform that always applies.

    A generator invents look-alikes, so the limits are not zero. Lower ones need nobody; higher ones are weaker terms,
    which two people sign, and the card names them.
    """

    account_numbers: Annotated[
        Fraction, Field(description="at most this share of the texts may look as if it held a card number or an IBAN")
    ] = 0.005
    addresses: Annotated[
        Fraction,
        Field(description="a larger share that looks as if it held e-mail addresses or phone numbers is warned of"),
    ] = 0.02


class Blocks(Terms):
    """The population divided, each part with the whole budget: new people bring new budget, for themselves only.

    A unit lies in exactly one block for good: the one that it first appears in. Its records that say another are left
    out. `values` are the blocks that this contract's source holds, named in advance.
    """

    column: Annotated[Name, Field(description="the column that says in which block a record is")]
    values: Annotated[
        tuple[str, ...], Field(min_length=1, strict=False, description="the blocks that the source holds")
    ]

    @model_validator(mode="after")
    def _names(self) -> Blocks:
        for value in self.values:
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", value) or value == "everything":
                raise TermsError(
                    f"{value!r} cannot name a block",
                    "Use 1 to 63 letters, digits, dots, dashes and underscores, and not `everything`",
                    "values",
                )
        if len(set(self.values)) != len(self.values):
            raise TermsError("the blocks are not distinct", "Keep each once", "values")
        return self
