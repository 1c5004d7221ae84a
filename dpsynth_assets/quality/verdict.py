"""The verdict on a synthetic corpus: which rules held, in numbers.

A verdict travels into metadata, logs, cards and the warehouse, so it must never carry a row's text, nor an exception's
message, which may quote one. Its types refuse anything but finite numbers as an observation. It names the corpus and
the contract by digest: the publisher refuses rows or rules other than those it was reached on.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dpsynth_assets.atomic import replacing

FORMAT = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")


class QualityError(ValueError):
    """A quality rule or a stored verdict that cannot be used; the message names it and says what to do."""


@dataclass(frozen=True)
class RuleResult:
    """How one rule fared. `observed` holds finite numbers only.

    A rule that could not be evaluated (`raised`), say because its column is missing, counts as failed.
    """

    name: str
    expectation: str
    blocking: bool
    passed: bool
    observed: Mapping[str, float]
    description: str
    raised: bool = False

    def __post_init__(self) -> None:
        for key, value in self.observed.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise QualityError(f"rule {self.name!r}: observation {key!r} is not a finite number")
        if self.raised and self.passed:
            raise QualityError(f"rule {self.name!r} could not be evaluated, so it cannot have passed")


@dataclass(frozen=True)
class Verdict:
    """All rules' results on one corpus under one contract. It passes when every blocking rule held."""

    passed: bool
    results: tuple[RuleResult, ...]
    corpus_digest: str
    contract_digest: str
    rows: int
    format: int = field(default=FORMAT, kw_only=True)

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise QualityError(f"verdict format {self.format!r} is unknown here; this version reads {FORMAT}")
        for name in ("corpus_digest", "contract_digest"):
            if not _SHA256.fullmatch(getattr(self, name)):
                raise QualityError(f"a verdict's {name} must be the 64 hex digits of a SHA-256")
        if not self.results:
            raise QualityError("a verdict without rules says nothing; evaluate the corpus first")
        names = [result.name for result in self.results]
        if len(set(names)) != len(names):
            raise QualityError("a verdict holds each rule once; two results share a name")
        if self.passed != (not self.failures):
            raise QualityError("the verdict contradicts its results: it passes exactly when every blocking rule held")

    @property
    def failures(self) -> tuple[RuleResult, ...]:
        """The blocking rules that did not hold: what stops publication."""
        return tuple(r for r in self.results if r.blocking and not r.passed)

    @property
    def warnings(self) -> tuple[RuleResult, ...]:
        """The rules that did not hold but only warn."""
        return tuple(r for r in self.results if not r.blocking and not r.passed)

    def summary(self) -> str:
        """One line for people, e.g. `passed: 11 of 12 rules held on 2,000 rows; warnings: text_length`."""
        held = sum(result.passed for result in self.results)
        line = (
            f"{'passed' if self.passed else 'failed'}: {held} of {len(self.results)} rules held on {self.rows:,} rows"
        )
        if self.failures:
            line += "; blocking: " + ", ".join(r.name for r in self.failures)
        if self.warnings:
            line += "; warnings: " + ", ".join(r.name for r in self.warnings)
        return line

    def to_json(self) -> dict[str, Any]:
        """Plain data, in a stable order of keys."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Verdict:
        """The verdict back from plain data; refuses unknown or missing keys and contradictions."""
        try:
            results = tuple(RuleResult(**result) for result in data["results"])
            return cls(**{**data, "results": results})
        except (KeyError, TypeError, AttributeError):
            raise QualityError("this is not a stored verdict: a key is missing, unknown or of another type") from None

    def save(self, path: Path) -> None:
        """Write it as JSON, whole or not at all."""
        with replacing(path) as file:
            file.write((json.dumps(self.to_json(), indent=2) + "\n").encode())

    @classmethod
    def load(cls, path: Path) -> Verdict:
        """Read it back; a missing, cut or edited file is refused by name."""
        try:
            return cls.from_json(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise QualityError(f"no verdict at {path}; run the quality checks on the corpus first") from None
        except json.JSONDecodeError as error:
            raise QualityError(f"{path} is not JSON (line {error.lineno}); run the quality checks again") from None
        except QualityError as error:
            raise QualityError(f"{path}: {error}") from None
