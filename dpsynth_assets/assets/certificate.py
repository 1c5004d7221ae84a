"""What a card says, as plain data: page, README and JSON are all written from it.

Everything in it is synthetic, public, a release, or a fact of ledger and contract. A release's mechanism is read from
its charge; what a charge does not say (the clip, say) is the contract's plan, and stands there only where that plan is
the one that was charged.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dpsynth_assets.assets.classifier import trained_on
from dpsynth_assets.assets.contamination import contamination_sentence
from dpsynth_assets.assets.figures import guarantee as over_time
from dpsynth_assets.assets.privacy_audit import audit_sentence
from dpsynth_assets.audit.result import AuditResult
from dpsynth_assets.contract import Contract
from dpsynth_assets.language.contamination.facts import Facts
from dpsynth_assets.markdown import plain
from dpsynth_assets.publish.release import NO_GUARANTEE, READ_NOTHING
from dpsynth_assets.publish.sql import plain as as_typed
from dpsynth_assets.publish.sql import schema_of
from dpsynth_assets.quality.rules import columns_of
from dpsynth_assets.quality.verdict import Verdict
from dpsynth_assets.releases.registry import planned
from dpsynth_assets.releases.release import Plan
from dpsynth_assets.variants import name_of
from ledger import Charge, Ledger, Seal
from ledger.accounting import epsilon
from ledger.rounded import up
from ledger.seals import fingerprint
from resources.artifact_store import Artifact

FORMAT = 1
SAMPLES = 8
_CHARACTERS = 400  # of a text that is shown


@dataclass(frozen=True)
class Certified:
    """The artifacts that a card is about. `evaluation` is None where no classifier of this table was tested."""

    synthetic: Artifact
    corpus: Artifact
    verdict: Verdict
    written_by: Artifact
    table: Seal
    evaluation: list[dict[str, Any]] | None


def certificate(contract: Contract, of: Certified, size: float, book: Ledger) -> dict[str, Any]:
    """The card of a published table. `size` is the share of the units that its releases saw."""
    from dpsynth_assets.synthesis.corpus import few_of_each, rows_of

    terms, about = contract.privacy, of.synthetic.receipt["about"]
    audit = AuditResult.of(of.written_by.folder)
    described = {column.name: column.description for column in contract.columns}
    values = {label.column: list(label.values) for label in terms.labels}
    [(file, sha256)] = of.table.files.items()
    return {
        "format": FORMAT,
        "title": contract.title,
        "description": dict(contract.intent),
        "owners": list(contract.owners),
        "table": {
            "name": as_typed(schema_of(contract.id), contract.table),
            "rows": about["rows"],
            "release": of.corpus.id,
            "created": str(of.corpus.receipt["created"]),
            "file": file,
            "sha256": sha256,
            "text": terms.text.column,
            "columns": [
                {
                    "name": name,
                    "description": f"{described.get(name, '')} (synthetic)".strip(),
                    "values": values.get(name),
                }
                for name in columns_of(contract)
            ],
            "fewer_rows_than_wanted": of.corpus.receipt["about"].get("complaint"),
        },
        "contract": {
            "id": contract.declared.id,
            "variant": name_of(contract) if contract.base else None,
            "version": contract.version,
            "sha256": contract.digest,
        },
        "guarantee": _guarantee(contract, of.synthetic.seal),
        "releases": [_release(contract, charge, size) for charge in of.synthetic.charges],
        "approvals": approvals(contract, book),
        "base_model": {
            "name": terms.base_model.name,
            "endpoint": terms.base_model.endpoint,
            "has_read": plain(contamination_sentence(contract, Facts.of(of.written_by.folder))),
        },
        "audit": None if audit is None else {"found": audit_sentence(audit), **asdict(audit)},
        "quality": {"summary": of.verdict.summary(), "results": [asdict(result) for result in of.verdict.results]},
        "usefulness": _usefulness(contract, of.evaluation),
        "not_measured": None if of.evaluation else _why_not_measured(contract),
        "samples": [
            {name: _short(value) for name, value in row.items()}
            for row in few_of_each(rows_of(of.corpus.folder), _first_label(contract), SAMPLES).to_dict("records")
        ],
        "ledger": {"id": of.synthetic.seal.ledger, "key_fingerprint": fingerprint(book.public_key)},
    }


def approvals(contract: Contract, book: Ledger) -> list[dict[str, Any]]:
    """Who asked for the population's budget and the contract's terms as they stand, and who agreed. A name without a
    key is what somebody typed."""
    declared = contract.declared
    entries = {entry.seq: entry for entry in book.entries()}
    found: dict[str, dict[str, Any]] = {}
    for asked in book.proposals():
        change, effect = asked.change, entries.get(asked.effect or 0)
        about = _WHAT.get(change["kind"])
        ours = change.get("contract", declared.id) == declared.id
        if effect is None or about is None or not ours or change["population"] != declared.privacy.population:
            continue
        found[about] = {
            "what": about.format(**change),
            "asked_by": asked.actor,
            "asked_by_key": asked.signed,
            "approved_by": effect.owner,
            "approved_by_key": effect.payload.get("signature") is not None,
            "approved": effect.time,
            "ledger_entry": effect.seq,
        }
    return list(found.values())


_WHAT = {
    "add_population": "a budget of epsilon {epsilon:g} at delta {delta:g} for population {population}",
    "raise_cap": "the budget of population {population} raised to epsilon {epsilon:g}",
    "set_terms": "the privacy terms of contract {contract}",
}


def _guarantee(contract: Contract, seal: Seal) -> dict[str, Any]:
    """What the release promises, by its seal, and what follows for whatever is made of it."""
    terms, sealed = contract.privacy, seal.guarantee
    said: dict[str, Any] = {
        "epsilon": sealed.epsilon if sealed else None,
        "delta": sealed.delta if sealed else None,
        "population": terms.population,
        "unit": terms.unit.name,
        "max_records": terms.unit.max_records,
        "neighbouring_relation": terms.unit.neighbouring_relation,
    }
    if sealed is None:
        return said | {
            "in_words": f"This release has {NO_GUARANTEE}. It was charged to no budget.",
            "over_time": None,
            "what_follows": "Whatever is computed from this table and everything trained on it has none either.",
        }
    if sealed.of_nothing_read:
        return said | {
            "in_words": f"{READ_NOTHING[0].upper()}{READ_NOTHING[1:]}. Nothing was learned of any {terms.unit.name} of "
            f"population {terms.population}: the base model was asked for these texts by their labels, as it comes. "
            "What a release of this contract is worth is the difference to this one.",
            "over_time": None,
            "what_follows": "Whatever is computed from this table alone and everything trained on it has the same "
            "guarantee.",
        }
    return said | {
        "in_words": f"This release alone: ({up(sealed.epsilon)}, {sealed.delta:g})-differential privacy, adding or "
        f"removing one {terms.unit.name}.",
        "over_time": f"{over_time(contract)}.",
        "what_follows": "Whatever is computed from this table and everything trained on it has the same guarantee at "
        "no further cost.",
    }


def _release(contract: Contract, charge: Charge, size: float) -> dict[str, Any]:
    """One charge: by which mechanism, with which numbers, what it costs alone, and where the ledger has it."""
    kind = charge.release.rpartition("/")[2]
    release = next((each for each in planned(contract) if each.name == kind), None)
    plan = release.plan(contract, size) if release is not None else None
    charged = plan is not None and charge.plan_digest in (plan.digest(), *plan.former_digests())
    event = charge.event.to_json()
    return {
        "release": charge.release,
        "what": release.describe(contract) if release is not None and charged else kind.replace("_", " "),
        "mechanism": event["event"],
        "in_words": charge.event.describe(),
        "epsilon": epsilon(charge.event, contract.privacy.budget.delta),
        "numbers": _numbers(event) | (_numbers(_mechanism(plan)) if plan is not None and charged else {}),
        "event": event,
        "plan_sha256": charge.plan_digest,
        "ledger_entry": charge.seq,
        "ledger_hash": charge.hash,
    }


def _mechanism(plan: Plan) -> Mapping[str, Any]:
    """The part of a plan that says how sums are sampled, clipped and made noisy; empty where it is no DP-SGD."""
    stated = plan.describe().get("mechanism")
    return stated if isinstance(stated, Mapping) else {}


def _numbers(stated: Mapping[str, Any]) -> dict[str, Any]:
    """The plain values of an event or a mechanism, by names that people read."""
    return {
        _NAMES.get(name, name.replace("_", " ")): value
        for name, value in stated.items()
        if name not in ("event", "version") and isinstance(value, int | float | str)
    }


_NAMES = {"strategy": "clipping", "noise_bands": "steps that noise is correlated over"}


def _usefulness(contract: Contract, results: list[dict[str, Any]] | None) -> dict[str, Any] | None:
    terms = contract.privacy
    if results is None or terms.classifier is None or terms.test_split is None:
        return None
    shown = ("accuracy", "accuracy_low", "accuracy_high", "seeds", "seeds_low", "seeds_high", "macro_f1")
    return {
        "target": terms.classifier.target,
        "test_records": results[0]["n"],
        "declared_public_by": terms.test_split.declared_public_by,
        "majority_baseline": results[0]["majority_baseline"],
        "trained_on": plain(trained_on(terms.classifier)),
        "classifiers": [
            {name: result[name] for name in ("classifier", "trained_on", *shown, "calibration_error")}
            for result in results
        ],
    }


def _why_not_measured(contract: Contract) -> str:
    terms = contract.privacy
    if terms.classifier is None:
        return "the table has no labels, so no classifier is trained on it."
    if terms.test_split is None:
        return (
            "the contract names no public test split on which classifiers of this table could be evaluated. Whoever "
            "uses one should try it on texts of their own first."
        )
    return "no classifier of this table was tested on public records."


def _first_label(contract: Contract) -> str | None:
    """The label by which a sample is varied."""
    return next((label.column for label in contract.privacy.labels), None)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _CHARACTERS else text[: _CHARACTERS - 1] + "…"
