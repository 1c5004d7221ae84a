"""The replay: intact journals pass, each tampering under a valid chain is found where it is, and costs are right."""

from __future__ import annotations

import ast
import copy
import hashlib
import importlib.util
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import mpmath
import pytest

from ledger import BudgetRefused, Gaussian, Grant, Ledger, PoissonSampledGaussian, Reservation, SetTerms, replay
from ledger.accounting import renyi_vector
from ledger.events import from_json
from ledger.replay import Replay, cost, event_of


def _journals() -> ModuleType:
    spec = importlib.util.spec_from_file_location("journals", Path(__file__).with_name("journals.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


journals = _journals()
GAUSSIAN, TRAINING, SOURCE = journals.GAUSSIAN, journals.TRAINING, journals.SOURCE
LAPLACE = {"event": "discrete_laplace", "version": 1, "scale": 40.0, "sensitivity": 3}
SHORTER = {**TRAINING, "steps": 100}
BIG = {**GAUSSIAN, "noise_multiplier": 0.3}


def replayed(lines: list[bytes]) -> Replay:
    found = Replay()
    for line in lines:
        found.read(line)
    return found


def problems(entries: list[dict[str, Any]]) -> list[str]:
    return replayed(journals.seal(entries)).problems


def everything() -> Any:
    """One journal with every kind of entry. The numbers in the tests below are its entries'."""
    journal = journals.Journal()  # 1
    journal.register()  # 2, 3
    journal.bind()  # 4
    journal.release(GAUSSIAN)  # 5 to 8
    journal.release(TRAINING, SHORTER)  # 9 to 12
    journal.void(journal.reserve(LAPLACE))  # 13, 14
    journal.register("parts", blocks_by="year")  # 15, 16
    journal.bind("parts", "parts-source", ["2024", "2025"], ["inbox/everything"])  # 17
    failed = journal.reserve(GAUSSIAN, "parts-source")  # 18
    journal.activate(failed)  # 19
    journal.step("forfeited", failed, reason="out of memory")  # 20
    resumed = journal.reserve(TRAINING)  # 21
    journal.activate(resumed)  # 22
    journal.redeem(resumed)  # 23
    journal.resume(resumed, SHORTER)  # 24
    journal.resume(resumed)  # 25
    journal.redeem(resumed)  # 26
    journal.commit(resumed)  # 27
    journal.external()  # 28
    journal.refuse(BIG)  # 29
    journal.add(
        "cap_changed",
        population="inbox",
        owner="o",
        proposal=None,
        reason="r",
        epsilon=2.0,
        caps=journals.caps(2.0, 1e-6),
    )  # 30
    journal.refuse(GAUSSIAN)  # 31
    raised = journal.propose(kind="raise_cap", population="inbox", epsilon=9.0)  # 32
    new = {"epsilon": 9.0, "caps": journals.caps(9.0, 1e-6)}
    journal.add("cap_changed", population="inbox", owner="p", proposal=raised, reason="r", **new)  # 33
    terms = {"test split": "public", "records": 3}
    asked = journal.propose(kind="set_terms", contract="c", terms=terms)  # 34
    digest = hashlib.sha256(b'{"records":3,"test split":"public"}').hexdigest()
    journal.add("terms_set", owner="p", proposal=asked, reason="r", contract="c", terms=terms, digest=digest)  # 35
    journal.register("plan", plan=[["a", TRAINING], ["b", GAUSSIAN], ["b", GAUSSIAN]])  # 36, 37
    journal.bind("plan", "plan-source")  # 38
    block = "plan/everything"
    first = journal.reserve(GAUSSIAN, "plan-source", "b", {block: 1})  # 39
    journal.reserve(GAUSSIAN, "plan-source", "b", {block: 2})  # 40
    journal.void(first, {block: 1})  # 41
    journal.reserve(GAUSSIAN, "plan-source", "b", {block: 1})  # 42
    journal.refuse(GAUSSIAN, block, "plan-source", release="b")  # 43
    journal.external(GAUSSIAN, block)  # 44
    journal.refuse(TRAINING, block, "plan-source", release="a")  # 45
    journal.reserve(GAUSSIAN)  # 46
    return journal


@pytest.fixture
def journal() -> Any:
    return copy.deepcopy(JOURNAL)


JOURNAL = everything()


def test_an_intact_journal_passes() -> None:
    found = replayed(journals.seal(JOURNAL.entries))
    assert found.problems == []
    assert found.notes == {}
    block = found.report()["populations"]["inbox"]["blocks"]["inbox/everything"]
    assert block["charges"] == 6
    assert block["states"] == {"committed": 3, "voided": 1, "forfeited": 1, "reserved": 1}
    spent = min(
        float(total) + 9.0 - cap
        for total, cap in zip(JOURNAL.sums["inbox/everything"], journals.caps(9.0, 1e-6), strict=True)
    )
    assert block["charged"] == pytest.approx(spent)


def at(number: int, *path: str | int, to: Any) -> Callable[[list[dict[str, Any]]], None]:
    """Tampering with one place of one entry; a function as `to` changes what stands there."""

    def spoil(entries: list[dict[str, Any]]) -> None:
        place: Any = entries[number - 1]
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to(place[path[-1]]) if callable(to) else to

    return spoil


def without(number: int) -> Callable[[list[dict[str, Any]]], None]:
    """An entry vanishes; the later ones are numbered anew, and what refers to them as well."""

    def spoil(entries: list[dict[str, Any]]) -> None:
        del entries[number - 1]
        for entry in entries:
            for place, key in ((entry, "reservation"), (entry["payload"], "proposal")):
                if place.get(key) is not None:
                    place[key] -= place[key] > number

    return spoil


INBOX, SUMS = "inbox/everything", ("payload", "standing", "inbox/everything", "sums")
SPOILED: dict[str, tuple[Any, str]] = {
    "a cost is lowered": (at(5, "payload", "cost", "inbox", 2, to=0.1), "5 (reserved): it is charged 0.1 at order 5.6"),
    "a cost is lowered a little": (
        at(5, "payload", "cost", "inbox", 2, to=lambda x: x * (1 - 1e-7)),
        "5 (reserved): it is charged",
    ),
    "fewer steps cost too little": (at(12, "payload", "cost", "inbox", 1, to=1e-4), "12 (committed): it is charged"),
    "replayed steps cost too little": (at(24, "payload", "cost", "inbox", 1, to=1e-4), "24 (resumed): it is charged"),
    "spending elsewhere costs too little": (
        at(28, "payload", "cost", "inbox", 0, to=0.0),
        "28 (external_charge): it is charged",
    ),
    "committing costs more": (
        at(8, "payload", "cost", "inbox", 2, to=0.2),
        "8 (committed): it is charged more than was reserved",
    ),
    "a cost is NaN": (at(5, "payload", "cost", "inbox", 0, to=math.nan), "5 (unreadable): NaN is no number"),
    "a cost is an infinite float": (
        at(5, "payload", "cost", "inbox", 0, to=math.inf),
        "5 (unreadable): Infinity is no number",
    ),
    "a cost is true": (at(5, "payload", "cost", "inbox", 0, to=True), "5 (reserved): True is no number"),
    "a cost is negative": (at(5, "payload", "cost", "inbox", 0, to=-0.5), "5 (reserved): -0.5 is no number"),
    "a cost is text": (at(5, "payload", "cost", "inbox", 0, to="0.5"), "5 (reserved): '0.5' is no number"),
    "a cost is huge": (at(5, "payload", "cost", "inbox", 0, to=10**400), "5 (reserved): it is not as the format says"),
    "a cost is missing": (
        at(5, "payload", "cost", "inbox", to=lambda cost: cost[1:]),
        "5 (reserved): [",
    ),
    "sums are lowered": (at(9, *SUMS, 2, to=lambda x: x * (1 - 1e-12)), "9 (reserved): a sum of inbox/everything is"),
    "sums are raised": (at(9, *SUMS, 2, to=lambda x: x + 1.0), "9 (reserved): a sum of inbox/everything is"),
    "the count is lowered": (
        at(9, "payload", "standing", INBOX, "charges", to=1),
        "9 (reserved): 2 charges to inbox/everything stand",
    ),
    "the count is true": (at(5, "payload", "standing", INBOX, "charges", to=True), "5 (reserved): True is no whole"),
    "a block is left out": (
        at(18, "payload", "standing", to=lambda s: {k: v for k, v in s.items() if k != INBOX}),
        "18 (reserved): its standing is not of exactly the blocks it touches",
    ),
    "a population is left out": (
        at(18, "payload", "cost", to=lambda s: {"parts": s["parts"]}),
        "18 (reserved): its cost is not one for each population",
    ),
    "a cap is raised": (at(3, "payload", "caps", 2, to=lambda x: x + 1e-6), "3 (registered): its cap at order 5.6"),
    "a changed cap is raised": (at(33, "payload", "caps", 0, to=lambda x: x + 1e-6), "33 (cap_changed): its cap at"),
    "weights sum to more": (at(3, "payload", "weights", 0, to=0.06), "3 (registered): its weights sum to more than 1"),
    "an order is lower": (at(3, "payload", "orders", 1, to=2.9), "3 (registered): its cap at order 2.9"),
    "orders are disordered": (at(3, "payload", "orders", 1, to=1.5), "3 (registered): its orders are not ascending"),
    "delta is raised after approval": (
        at(3, "payload", "delta", to=1e-5),
        "3 (registered): it is not what was proposed",
    ),
    "the relation is another": (
        at(3, "payload", "neighbouring_relation", to="replace_one_unit"),
        "3 (registered): it is not what was proposed",
    ),
    "epsilon is raised after approval": (at(33, "payload", "epsilon", to=9.5), "33 (cap_changed): it is not what was"),
    "terms change after approval": (at(35, "payload", "terms", "records", to=2), "35 (terms_set): it is not what was"),
    "the digest is of other terms": (at(35, "payload", "digest", to="0" * 64), "35 (terms_set): its digest is not"),
    "somebody approves an own proposal": (
        at(33, "owner", to=" Owner@example.org"),
        "33 (cap_changed):  Owner@example.org approved an own proposal",
    ),
    "an effect without proposal": (at(33, "payload", "proposal", to=None), "33 (cap_changed): only a lower epsilon"),
    "a proposal has two effects": (at(33, "payload", "proposal", to=2), "33 (cap_changed): it names no open proposal"),
    "a population begins unasked": (
        at(16, "payload", "proposal", to=None),
        "16 (registered): it names no open proposal",
    ),
    "terms come unasked": (at(35, "payload", "proposal", to=None), "35 (terms_set): it names no open proposal"),
    "a population begins twice": (
        lambda entries: entries.insert(3, copy.deepcopy(entries[2])),
        "4 (registered): its population was registered before",
    ),
    "a block begins twice": (
        at(17, "payload", "standing", to=lambda s: {**s, INBOX: s["parts/2024"]}),
        "17 (bound): it begins a block that is not its own",
    ),
    "a whole population is parted": (
        at(4, "payload", to=lambda p: {**p, "blocks": ["inbox/x"], "standing": {"inbox/x": ZERO}}),
        "4 (bound): inbox is not parted into blocks",
    ),
    "a new block is not empty": (
        at(17, "payload", "standing", "parts/2024", "charges", to=1),
        "17 (bound): 0 charges to parts/2024 stand",
    ),
    "a source has two populations": (
        at(17, "payload", "key", to=SOURCE),
        "17 (bound): this data set is bound to inbox",
    ),
    "a source loses a block": (
        lambda entries: entries.append(
            {**entries[16], "payload": {**entries[16]["payload"], "overlaps": [], "standing": {}}}
        ),
        "47 (bound): this data set was bound to more blocks",
    ),
    "a source gains a block after it was charged": (
        lambda entries: entries.insert(
            22,
            {
                **entries[3],
                "payload": {"key": SOURCE, "blocks": [INBOX], "overlaps": ["parts/2024"], "standing": {}},
            },
        ),
        "24 (redeemed): its data set was bound to more blocks since",
    ),
    "a charge to an unbound source": (at(5, "payload", "source", to="other"), "5 (reserved): its source is not bound"),
    "another data set is read": (at(7, "payload", "source", to="parts-source"), "7 (redeemed): it was redeemed for"),
    "another event was committed": (
        at(8, "payload", "event", "noise_multiplier", to=4.5),
        "8 (committed): what ran is neither",
    ),
    "more steps were committed": (at(12, "payload", "event", "steps", to=401), "12 (committed): what ran is neither"),
    "other steps were replayed": (
        at(24, "payload", "event", "noise_multiplier", to=1.1),
        "24 (resumed): what it repeats is none",
    ),
    "a void gives back more": (at(14, *SUMS, 0, to=0.0), "14 (voided): a sum of inbox/everything is 0.0"),
    "an activated charge is voided": (
        lambda entries: entries.insert(6, {**entries[5], "kind": "voided", "payload": {"reason": "r", "standing": {}}}),
        "7 (voided): it cannot follow on a charge that is activated",
    ),
    "it is committed without having been redeemed": (
        without(7),
        "7 (committed): it cannot follow on a charge that is activated",
    ),
    "it is redeemed twice": (
        lambda entries: entries.insert(7, entries[6]),
        "8 (redeemed): it cannot follow on a charge that is redeemed",
    ),
    "it is committed twice": (
        lambda entries: entries.insert(8, entries[7]),
        "9 (committed): reservation 5 is not open",
    ),
    "a token is handed out twice": (
        at(10, "payload", "token_sha256", to=lambda _: JOURNAL.of(6)["payload"]["token_sha256"]),
        "10 (activated): its token was handed out before",
    ),
    "the owner changes": (at(7, "owner", to="another run"), "7 (redeemed): its owner is not that of its reservation"),
    "the same run resumes": (
        at(25, "owner", to=lambda _: JOURNAL.of(24)["owner"]),
        "26 (redeemed): its owner is not that of its reservation",
    ),
    "a resumption's owner is forgotten": (at(26, "owner", to="run-20"), "26 (redeemed): its owner is not that"),
    "the release changes": (at(8, "release", to="other"), "8 (committed): its population or release is not"),
    "a charge vanishes": (without(5), "5 (activated): reservation"),
    "a voided charge's reservation vanishes": (without(13), "13 (voided): reservation"),
    "spending elsewhere vanishes": (without(28), "45 (reserved): a sum of inbox/everything is"),
    "a refusal that fitted": (at(29, "payload", "event", to=GAUSSIAN), "29 (refused): it was refused, but inbox/every"),
    "a refusal of another block": (
        at(29, "payload", "block", to="parts/2024"),
        "29 (refused): it names a block that it does not touch",
    ),
    "a plan's place is used twice": (
        at(40, "payload", "standing", "plan/everything", "used", to=[1]),
        "40 (reserved): it takes no free place of its own",
    ),
    "a charge is not in the plan": (at(40, "release", to="c"), "40 (reserved): it takes no free place of its own"),
    "a refusal that was in the plan": (
        lambda entries: entries[42].update(release="a", payload={**entries[42]["payload"], "event": TRAINING}),
        "43 (refused): it was refused, but has a place in the plan",
    ),
    "a plan stays closed after spending elsewhere": (
        at(44, "payload", "standing", "plan/everything", "closed", to=True),
        "44 (external_charge): its used places in the plan of plan/everything",
    ),
    "a plan costs more than its epsilon": (
        at(37, "payload", "plan_epsilon", to=8.5),
        "37 (registered): its plan costs more than its epsilon",
    ),
    "a number is skipped": (at(9, "seq", to=10), "10 (reserved): it does not follow on entry 8"),
    "two entries are swapped": (
        lambda entries: entries.insert(6, {**entries.pop(7), "seq": 8}) or entries[7].update(seq=7),
        "8 (committed): it does not follow on entry 6",
    ),
    "the chain is cut": (at(9, "previous", to="0" * 64), "9 (reserved): it does not follow on entry 8"),
    "the beginning is missing": (lambda entries: entries.pop(0), "1 (proposed): `created` is the first entry"),
    "an unknown kind": (at(9, "kind", to="gift"), "9 (unreadable): its kind 'gift' is unknown"),
    "a method's name as kind": (at(9, "kind", to="settle"), "9 (unreadable): its kind 'settle' is unknown"),
    "an unknown event": (at(5, "payload", "event", "event", to="magic"), "5 (reserved): event 'magic' 1 is unknown"),
    "an event of another version": (at(5, "payload", "event", "version", to=2), "5 (reserved): event 'gaussian' 2 is"),
    "an event's NaN": (at(5, "payload", "event", "noise_multiplier", to="nan"), "5 (reserved): 'nan' is no number"),
    "an event's true": (at(9, "payload", "event", "steps", to=True), "9 (reserved): True is no whole number"),
    "an event's huge number": (at(9, "payload", "event", "steps", to=10**30), "9 (reserved): 1000"),
    "a field too many": (at(5, "note", to="x"), "5 (unreadable): its body"),
    "a field too few": (lambda entries: entries[4]["payload"].pop("source"), "5 (reserved): its payload has not"),
    "a payload is a list": (at(5, "payload", to=[]), "5 (reserved): its payload has not"),
    "a name with an escape sequence": (at(5, "release", to="\x1b[2J"), "5 (reserved): '\\x1b[2J' is no name"),
}
ZERO = {"sums": [0.0] * 5, "charges": 0}


@pytest.mark.parametrize("case", SPOILED)
def test_tampering_is_found_at_its_entry(case: str, journal: Any) -> None:
    spoil, sentence = SPOILED[case]
    spoil(journal.entries)
    found = problems(journal.entries)
    assert found
    assert found[0].startswith(f"entry {sentence}")


def test_an_admission_over_the_cap_is_found_though_all_its_numbers_are_right() -> None:
    journal = journals.Journal()
    journal.register(epsilon=2.0)
    journal.bind()
    journal.reserve()
    number = journal.reserve(BIG)
    assert problems(journal.entries) == [
        f"entry {number} (reserved): it was admitted, but no order of inbox/everything is within its cap"
    ]


def test_replayed_steps_over_the_cap_are_found() -> None:
    journal = journals.Journal()
    journal.register()
    journal.bind()
    half = {**GAUSSIAN, "noise_multiplier": 1.0}
    journal.activate(number := journal.reserve(half))
    journal.resume(number, half)
    assert problems(journal.entries) == [
        "entry 7 (resumed): it was admitted, but no order of inbox/everything is within its cap"
    ]


def test_an_infinite_cost_is_taken_back_exactly_and_may_leave_infinity_behind() -> None:
    journal = journals.Journal()
    journal.register()
    journal.bind()
    journal.reserve()
    number = journal.reserve()
    journal.of(number)["payload"]["cost"]["inbox"][4] = "inf"
    journal.of(number)["payload"]["standing"]["inbox/everything"]["sums"][4] = "inf"
    journal.void(number)
    found = replayed(journals.seal(journal.entries))
    assert found.problems == []
    assert len(found.notes) == 1
    journal.of(number)["payload"]["standing"]["inbox/everything"]["sums"][4] = 1e300
    assert problems(journal.entries)[0].startswith("entry 6 (reserved): a sum of inbox/everything is 1e+300")
    journal.of(number)["payload"]["standing"]["inbox/everything"]["sums"][4] = "inf"
    journal.of(7)["payload"]["standing"]["inbox/everything"]["sums"][4] = "inf"
    assert problems(journal.entries) == []


def test_an_edited_body_and_an_edited_hash_are_found() -> None:
    lines = journals.seal(JOURNAL.entries)
    lines[8] = lines[8].replace(b"run-8", b"run-9")
    assert replayed(lines).problems[0] == "entry 9 (reserved): its body is not the one that was hashed"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"\xff\xfe\n",
        b"null\n",
        b'{"body": 1, "hash": "x"}\n',
        b'{"body": "{}", "hash": "x"}\n',
        b'{"body": "\\ud800", "hash": "x"}\n',
        b"[" * 100_000 + b"\n",
        b'{"body": "' + b"[" * 100_000 + b'", "hash": "x"}\n',
        b"9" * 10_000 + b"\n",
        b'{"body": "{\\"seq\\": 1, \\"seq\\": 1}", "hash": "x"}\n',
    ],
    ids=range(11),
)
def test_garbage_is_a_problem_and_never_ends_the_replay(line: bytes) -> None:
    lines = journals.seal(JOURNAL.entries)
    found = replayed([*lines[:4], line, *lines[4:]]).problems
    assert found[0].startswith("entry 5 (")
    assert replayed([line]).problems


def mutants(value: Any) -> Any:
    """Every way to put something else in one place."""
    if isinstance(value, dict):
        for key in value:
            yield {other: value[other] for other in value if other != key}
            yield from ({**value, key: mutant} for mutant in mutants(value[key]))
    elif isinstance(value, list) and value:
        yield from ([mutant, *value[1:]] for mutant in mutants(value[0]))
    yield from (None, [], {}, "x", True, -1, 1e308, 10**400, [[[]]], {"x": {}})


@pytest.mark.parametrize("number", [2, 3, 5, 12, 17, 24, 28, 29, 35, 39])
def test_whatever_stands_in_an_entry_the_replay_goes_on(number: int) -> None:
    lines = journals.seal(JOURNAL.entries)
    found = replayed(lines[: number - 1])
    for mutant in mutants({"seq": number, "previous": found.head, **JOURNAL.of(number)}):
        trial = copy.deepcopy(found)
        body = json.dumps(mutant)
        line = json.dumps({"body": body, "hash": hashlib.sha256(body.encode()).hexdigest()})
        trial.read(line.encode())
        assert json.dumps(trial.report())


def test_a_journal_of_the_ledger_itself_passes(ledger: Ledger, granted: Callable[..., Grant]) -> None:
    training = PoissonSampledGaussian(0.01, 2.0, 100)
    ledger.commit(redeemed(ledger, granted(ledger)), artifact_digest="b" * 64, event=Gaussian(4.0))
    ledger.void(reserved(ledger).id, reason="never started")
    grant = granted(ledger, training, owner="run-2")
    grant = ledger.resume(grant.reservation_id, owner="run-3", replayed=PoissonSampledGaussian(0.01, 2.0, 10))
    grant = redeemed(ledger, ledger.resume(grant.reservation_id, owner="run-4", replayed=None))
    ledger.commit(grant, artifact_digest="b" * 64, event=PoissonSampledGaussian(0.01, 2.0, 50))
    ledger.external_charge("inbox", Gaussian(9.0), actor="alice@example.org", reason="a paper")
    with pytest.raises(BudgetRefused):
        granted(ledger, Gaussian(0.2))
    grant = granted(ledger, owner="run-5")
    ledger.lower_cap("inbox", 0.5, actor="alice@example.org", reason="frozen")
    with pytest.raises(BudgetRefused):
        ledger.resume(grant.reservation_id, owner="run-6", replayed=Gaussian(4.0))
    asked = ledger.propose(SetTerms("adapter", {"max_records": 3}, "inbox"), actor="alice@example.org", reason="first")
    ledger.approve(asked, actor="bob@example.org", reason="agreed")
    found = replayed([line.encode() for line in ledger.export()])
    assert found.problems == []
    charged = found.report()["populations"]["inbox"]["blocks"]["inbox/everything"]["charged"]
    assert charged == pytest.approx(ledger.balance("inbox", with_pld=False).epsilon_spent, rel=1e-9)


def reserved(ledger: Ledger) -> Reservation:
    return ledger.reserve(
        "inbox", Gaussian(4.0), source=SOURCE, release="r", key="void", owner="run", plan_digest="a" * 64
    )


def redeemed(ledger: Ledger, grant: Grant) -> Grant:
    ledger.redeem(grant, population="inbox", fingerprint=SOURCE)
    return grant


# Costs


def event(name: str, **fields: Any) -> dict[str, Any]:
    return {"event": name, "version": 1, **fields}


def exact_mixture(rate: float, records: int, sigma: float, order: float) -> mpmath.mpf:
    """Both directions by adaptive quadrature at 20 digits; the larger."""
    with mpmath.workdps(20):
        q, s, a = mpmath.mpf(rate), mpmath.mpf(sigma), mpmath.mpf(order)
        shares = [mpmath.binomial(records, i) * q**i * (1 - q) ** (records - i) for i in range(records + 1)]

        def ratio(x: mpmath.mpf) -> mpmath.mpf:
            return mpmath.fsum(b * mpmath.exp((2 * i * x - i * i) / (2 * s**2)) for i, b in enumerate(shares))

        def moment(power: mpmath.mpf) -> mpmath.mpf:
            ends = sorted((mpmath.mpf(0), power * records))
            points = [ends[0] - 14 * s, *mpmath.linspace(ends[0], ends[1], 8), ends[1] + 14 * s]
            return mpmath.quad(lambda x: mpmath.npdf(x, 0, s) * ratio(x) ** power, points)

        return mpmath.log(max(moment(a), moment(1 - a))) / (a - 1)


@pytest.mark.slow
@pytest.mark.parametrize("order", [1.5, 2.0, 5.6, 16.0])
@pytest.mark.parametrize(
    ("rate", "records", "sigma"),
    [(0.01, 1, 1.0), (0.2, 1, 2.0), (1e-4, 1, 0.7), (0.5, 1, 10.0), (1.0, 1, 3.0), (0.01, 4, 2.0), (0.3, 3, 1.5)],
)
def test_mixtures_are_those_of_quadrature_at_twenty_digits(
    rate: float, records: int, sigma: float, order: float
) -> None:
    ours = cost(("mixture_of_gaussians", rate, records, sigma, 1), order)
    exact = exact_mixture(rate, records, sigma, order)
    assert exact * (1 - 1e-9) - 1e-13 / (order - 1) <= ours <= exact * (1 + 1e-12)


@pytest.mark.parametrize(("sigma", "records", "order"), [(0.05, 1, 8.0), (0.5, 8, 8.0), (0.1, 3, 5.6)])
def test_where_there_is_hardly_any_noise_the_largest_term_is_nearly_all(
    sigma: float, records: int, order: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    integrated = replay.mixture.__wrapped__(0.01, records, sigma, order)
    monkeypatch.setattr(replay, "MOST_TERMS", 0)
    monkeypatch.setattr(replay, "log_sum", None)  # nothing is integrated
    bound = replay.mixture.__wrapped__(0.01, records, sigma, order)
    assert integrated * (1 - 1e-9) <= bound <= integrated * (1 + 1e-12)


@pytest.mark.parametrize("order", [2, 3, 8, 64])
@pytest.mark.parametrize(("rate", "sigma"), [(0.01, 1.0), (1e-3, 0.5), (0.9, 4.0)])
def test_sampled_gaussian_is_the_binomial_sum_at_whole_orders(rate: float, sigma: float, order: int) -> None:
    with mpmath.workdps(40):
        q, s = mpmath.mpf(rate), mpmath.mpf(sigma)
        terms = (
            mpmath.binomial(order, i) * (1 - q) ** (order - i) * q**i * mpmath.exp((i * i - i) / (2 * s**2))
            for i in range(order + 1)
        )
        exact = 1000 * mpmath.log(mpmath.fsum(terms)) / (order - 1)
    ours = cost(("poisson_sampled_gaussian", rate, sigma, 1000), float(order))
    assert exact * (1 - 1e-9) - 1e-10 <= ours <= exact * (1 + 1e-12)


@pytest.mark.parametrize("order", [1.5, 2.0, 5.6, 64.0])
@pytest.mark.parametrize(("scale", "sensitivity"), [(1.0, 1), (2.5, 3), (40.0, 7), (0.2, 2), (60.0, 1)])
def test_laplace_and_discrete_laplace(scale: float, sensitivity: int, order: float) -> None:
    with mpmath.workdps(40):
        a, b = mpmath.mpf(order), mpmath.mpf(scale)

        def moment(k: int) -> mpmath.mpf:
            return mpmath.exp(-(a * abs(k) + (1 - a) * abs(k - sensitivity)) / b)

        share = (1 - mpmath.exp(-1 / b)) / (1 + mpmath.exp(-1 / b))
        reach = int(60 * scale) + 10
        total = share * mpmath.fsum(map(moment, range(-reach, reach + sensitivity)))
        discrete = mpmath.log(total) / (a - 1)
        e = sensitivity / b
        plain = mpmath.log(a / (2 * a - 1) * mpmath.exp((a - 1) * e) + (a - 1) / (2 * a - 1) * mpmath.exp(-a * e))
        plain /= a - 1
    assert cost(("discrete_laplace", scale, sensitivity), order) == pytest.approx(float(discrete), rel=1e-10, abs=1e-14)
    assert cost(("laplace", scale, float(sensitivity)), order) == pytest.approx(float(plain), rel=1e-10, abs=1e-14)


def test_gaussian_and_compositions() -> None:
    gaussian = ("gaussian", 2.0)
    assert cost(gaussian, 8.0) == 1.0
    assert cost(("composed", (gaussian, ("laplace", 1.0, 1.0), gaussian)), 8.0) == pytest.approx(
        2.0 + cost(("laplace", 1.0, 1.0), 8.0)
    )
    assert cost(("self_composed", gaussian, 5), 8.0) == 5.0


@pytest.mark.parametrize("order", [1.5, 4.0, 20.0])
@pytest.mark.parametrize(("gamma", "shape"), [(0.1, 1.0), (0.005, 0.0), (0.05, 0.5), (0.2, 3.0)])
@pytest.mark.parametrize("trial", [("gaussian", 5.0), ("laplace", 10.0, 1.0)], ids=str)
def test_repeat_and_select_is_the_theorem_at_its_best_orders(
    trial: Any, gamma: float, shape: float, order: float
) -> None:
    """Against the theorem on a fine grid of both of its orders: never above, and below by the grid's width only."""
    g = -math.log(gamma)
    mean = shape * (1 - gamma) / (gamma * (1 - gamma**shape)) if shape else (1 / gamma - 1) / g
    grid = [1 + 10 ** (i / 200) for i in range(-600, 1600)]
    hidden = min((1 - 1 / b) * cost(trial, b) + g / b for b in grid)
    rest = min(cost(trial, a) + math.log(mean) / (a - 1) for a in [order, *grid] if a >= order)
    theirs = rest + (1 + shape) * hidden
    ours = cost(("repeat_and_select", trial, mean, shape), order)
    assert theirs * (1 - 1e-4) <= ours <= theirs * (1 + 1e-9)


LEDGERS = [
    GAUSSIAN,
    TRAINING,
    LAPLACE,
    event("laplace", scale=3.0, sensitivity=1.5),
    event("mixture_of_gaussians", sampling_rate=0.01, records=4, noise_multiplier=2.0, steps=100),
    event("repeat_and_select", trial=TRAINING, mean=10.0, shape=1.0),
    event("self_composed", part=LAPLACE, times=3),
    event("composed", events=[GAUSSIAN, LAPLACE, GAUSSIAN]),
]


@pytest.mark.parametrize("said", LEDGERS, ids=lambda said: str(said["event"]))
def test_what_the_ledger_charges_is_neither_below_nor_absurdly_above(said: dict[str, Any]) -> None:
    orders = (1.5, 2.0, 5.6, 8.0, 32.0, 64.0)
    assert replay.price(event_of(said), orders, renyi_vector(from_json(said), orders)) == ("", "")
    doubled = tuple(4 * value for value in renyi_vector(from_json(said), orders))
    wrong, odd = replay.price(event_of(said), orders, doubled)
    assert not wrong
    assert odd


# The program


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, replay.__file__, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_program_says_intact_or_names_the_first_bad_entry(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"".join(journals.seal(JOURNAL.entries)))
    good = run(path)
    assert (good.returncode, good.stderr) == (0, "")
    assert "INTACT" in good.stdout.splitlines()[-1]
    path.write_bytes(path.read_bytes().replace(b"run-8", b"run-9"))
    bad = run(path, "--json")
    assert (bad.returncode, bad.stderr) == (1, "")
    assert json.loads(bad.stdout)["problems"][0].startswith("entry 9 (reserved): ")


def test_a_file_that_cannot_be_read_is_an_error_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for path in (tmp_path / "missing", tmp_path, tmp_path / "empty"):
        found = run(path)
        assert found.returncode == 2
        assert "cannot be read" in found.stderr
        assert "Traceback" not in found.stderr


def test_it_imports_nothing_but_the_standard_library_and_its_folder_shadows_none_of_it() -> None:
    tree = ast.parse(Path(replay.__file__).read_text())
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(str(node.module).split(".")[0])
        elif isinstance(node, ast.Name):
            assert node.id not in ("__import__", "exec", "eval", "compile")
    assert imported <= sys.stdlib_module_names
    neighbours = {path.stem for path in Path(replay.__file__).parent.iterdir()}
    assert not neighbours & sys.stdlib_module_names
