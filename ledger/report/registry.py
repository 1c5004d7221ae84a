"""The report as an entry for a public registry of deployments of differential privacy, in JSON.

The fields are those that such registries and NIST SP 800-226 ask for: whom it protects, which notion with which
parameters, in which model of trust, by which mechanisms, how composed, and what else one has to know [Dwork, Kohli and
Mulligan 2019; Nanayakkara, Ghazi and Vadhan 2025, arXiv 2509.13509]. No registry prescribes a file format yet, so this
one has a name and a version of its own. An infinite or unknown figure is null: JSON has no infinity.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from ledger.report.facts import Budget, Facts, Reported

FORMAT = "dp-deployment-entry/1"
MAX_RELEASES = 200  # the newest; of a ledger with very many the snapshot has all


def entry_of(facts: Facts, *, title: str, problems: Sequence[str]) -> dict[str, Any]:
    head = facts.head
    return {
        "format": FORMAT,
        "title": title,
        "model": "central",
        "trust": "a curator holds the rows; the platform's administrators are trusted not to bypass it",
        "populations": [_population(budget) for budget in facts.budgets],
        "contracts": [
            {
                "contract": row["contract"],
                "terms_digest": row["digest"],
                "approved_by": row["approved_by"],
                "approved_by_key": row["approved_by_key"],
            }
            for row in facts["contract_terms"]
            if row["current"]
        ],
        "evidence": {
            "ledger": head["id"],
            "entries": head["entries"],
            "head": {"seq": head["head_seq"], "hash": head["head_hash"], "time": head["head_time"]},
            "checkpoint": dict(facts.checkpoint) if facts.checkpoint else None,
            "public_key": head["public_key"],
            "problems": list(problems),
            "must_be_empty": {row["view"]: row["found"] for row in facts["health"]},
        },
        "restorations": len(facts["restorations"]),
        "incidents": [
            {
                "release": row["release"],
                "population": row["population"],
                "time": row["time"],
                "reason": row["reason"],
                **{name: _number(row[name]) for name in ("claimed_epsilon", "lower_bound", "confidence", "delta")},
            }
            for row in facts["incidents"][-MAX_RELEASES:]
        ],
    }


def _population(budget: Budget) -> dict[str, Any]:
    row, facts = budget.row, budget.facts
    charges = [charge for charge in facts["charges"] if charge["population"] == budget.name]
    finished = [charge for charge in charges if charge["state"] == "committed"]
    states = [charge["state"] for charge in charges]
    return {
        "population": budget.name,
        "privacy_unit": row["unit"],
        "records_per_unit": 1 if budget.unit_is_record else budget.unit_terms.get("max_records"),
        "neighbouring_relation": row["neighbouring_relation"],
        "notion": "approximate differential privacy",
        "epsilon": _number(budget.promise[0]),
        "delta": _number(budget.promise[1]),
        "holds_for": "everything ever released about the population, together",
        "adaptive": not budget.closed,
        "admission": "closed plan by privacy loss distributions" if budget.closed else "weighted-order Rényi filter",
        "cap": _number(row["cap"]),
        "spent": _number(row["spent"]),
        "reserved": _number(row["reserved"]),
        "remaining": _number(row["remaining"]),
        "places_left": row["places_left"],
        "frozen": row["frozen"],
        "blocks": row["blocks"],
        "blocks_by": row["blocks_by"],
        "reported_not_enforced": {
            "pld_epsilon": _reported(budget.pld),
            "basic_sum": {"epsilon": _number(budget.basic_sum[0]), "delta": _number(budget.basic_sum[1])},
            "epsilon_for_records": (
                {str(records): _reported(figure) for records, figure in budget.faced} if budget.unit_is_record else None
            ),
        },
        "mechanisms": dict(sorted(budget.mechanisms.items())),
        "releases": [
            {
                "release": charge["release"],
                "mechanism": json.loads(charge["event"]),
                "epsilon_alone": _number(charge["epsilon_alone"]),
                "artifact_digest": charge["artifact_digest"],
                "committed": charge["changed"],
                "refuted_by_audit": bool(charge["incidents"]),
            }
            for charge in finished[-MAX_RELEASES:]
        ],
        "charges_by_state": {state: states.count(state) for state in sorted(set(states))},
        "refusals": sum(refusal["population"] == budget.name for refusal in facts["refusals"]),
        "external_charges": sum(charge["population"] == budget.name for charge in facts["external_charges"]),
    }


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _reported(figure: Reported) -> float | None:
    return _number(figure.value)
