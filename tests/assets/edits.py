"""The small contract with other terms, and who signs for it."""

from __future__ import annotations

from dataclasses import replace

OWNER, REVIEWER = "owner@example.org", "privacy@example.org"


def changed(contract, **terms):
    return replace(contract, privacy=contract.privacy.model_copy(update=terms))


def with_budget(contract, **budget):
    return changed(contract, budget=contract.privacy.budget.model_copy(update=budget))


def with_unit(contract, **unit):
    return changed(contract, unit=contract.privacy.unit.model_copy(update=unit))


def typed(contract, **types):
    columns = (replace(c, logical_type=types.get(c.name, c.logical_type)) for c in contract.columns)
    return replace(contract, columns=tuple(columns))
