"""What all terms of a contract are made of: strict immutable mappings, and errors that say what to do.

Everything in the terms is a *public constant*. Nothing may be measured on the source: a bound, a size or a label set
that was read off the data would itself be an unmetered release. Each field says in one sentence what it means: the
sentences appear in the errors of a contract that lacks the field and in docs/contracts.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator

Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
AssetName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Name = Annotated[str, Field(min_length=1)]
# Far beyond what anybody means, and what single precision still computes: 1e-300 would be no noise, 1e300 no number.
Positive = Annotated[float, Field(ge=1e-9, le=1e6, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Probability = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]


class TermsError(ValueError):
    """Terms that do not hold together: what is wrong, what to do about it, and the field to point at."""

    def __init__(self, what: str, remedy: str, field: str | None = None) -> None:
        self.what, self.remedy, self.field = what, remedy, field
        super().__init__(f"{what}. {remedy}")


@dataclass(frozen=True)
class Fault:
    """What does not hold between terms: where (a path below the privacy terms), what, and what to do about it. A
    warning is shown and stops nothing."""

    path: tuple[str | int, ...]
    what: str
    remedy: str
    severity: Literal["error", "warning"] = "error"


def _equalities(value: Any) -> dict[str, str | int | bool]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise TermsError("a row filter is a mapping from column to value", "Write for example {split: test}")
    for column, wanted in value.items():
        if not isinstance(wanted, str | int | bool):
            raise TermsError(f"the filter on `{column}` wants {wanted!r}", "Write one text or whole number", column)
    return dict(value)


Equalities = Annotated[dict[str, str | int | bool], PlainValidator(_equalities)]


class Terms(BaseModel):
    """Base of all terms: immutable, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
