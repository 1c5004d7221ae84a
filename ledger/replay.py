"""Replays an exported journal and recomputes everything it claims, sharing no code with the ledger that wrote it.

    python ledger/replay.py journal.jsonl [--json]

The standard library is all it needs; `docs/journal.md` is the format. It exits with 0 if the journal is intact, 1 with
every problem as `entry N (kind): sentence`, 2 if the file cannot be read. It cannot know whether the whole journal was
written anew (compare its head with a checkpoint kept elsewhere), nor whether data is what its fingerprint says, and it
takes the `plan_epsilon` of a closed plan as stated. Names that have no key are what people said they are.

A stated cost may not lie below the true one by more than 1e-9 of it and 1e-12. It may be an upper bound: randomized
response for discrete Laplace is up to 1.35 times as high, interpolation between whole orders at most as high as the
cost at the next one. Above 1.5 times the cost at the next whole order there is a note: too high is safe.

Nothing in the journal is trusted: what is missing, no number, too large or too deep is a problem, and the replay goes
on. Memory holds blocks, sources, charges, seals, open proposals and the digest of every token.
"""

import argparse
import base64
import hashlib
import json
import math
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

BODY = {"seq", "time", "previous", "kind", "population", "release", "owner", "reservation", "payload"}
KINDS = {
    "created": "ledger public_key schema people",
    "proposed": "change reason signature after",
    "registered": "proposal reason signature after people unit unit_by neighbouring_relation epsilon delta blocks_by "
    "rule planned planned_order orders weights caps plan plan_epsilon standing",
    "cap_changed": "proposal reason signature after epsilon caps",
    "terms_set": "proposal reason signature after contract terms digest",
    "people_set": "proposal reason signature after people",
    "bound": "blocks overlaps standing",
    "reserved": "event plan_digest source epsilon_alone epsilon_spent epsilon_would_be cost standing",
    "refused": "event plan_digest source epsilon_alone epsilon_spent epsilon_would_be block why",
    "activated": "token_sha256",
    "redeemed": "source",
    "resumed": "event epsilon_alone token_sha256 cost standing",
    "committed": "event artifact_digest epsilon_alone cost standing",
    "forfeited": "reason",
    "voided": "reason standing",
    "external_charge": "event reason signature after blocks epsilon_alone cost standing",
    "restored": "reason head missing",
    "sealed": "id files made_from charges guarantee",
    "incident": "reason claimed_epsilon lower_bound confidence delta files artifact_digest",
}
CHANGES = {
    "add_population": "population people unit unit_by neighbouring_relation epsilon delta blocks_by planned plan",
    "raise_cap": "population epsilon",
    "set_terms": "contract population terms",
    "set_people": "population people",
}
LATER = {"people", "unit_by", "signature"}  # what entries lacked before people stood in the ledger
LATEST = {"after"}  # and then, before they stated what they follow on
AFTER = {  # the states of a charge after which each of its entries may come
    "activated": ("reserved",),
    "voided": ("reserved",),
    "redeemed": ("activated",),
    "resumed": ("activated", "redeemed"),
    "forfeited": ("activated", "redeemed"),
    "committed": ("redeemed",),
}
REFUTABLE = ("activated", "redeemed", "committed")  # the states of a charge in which an audit may refute it
LONGEST_LINE = 1 << 26
MOST_TERMS = 1_000_000  # of one integral: a second or two


class Bad(Exception):  # noqa: N818 - it speaks of the journal, not of this program
    """What is wrong with an entry, as a sentence."""


def demand(condition: object, sentence: str) -> None:
    if not condition:
        raise Bad(sentence)


# Reading: numbers, names and events as the format has them, and nothing else.


def short(value: Any) -> str:
    """For messages: in ASCII, because a terminal must not obey a journal, and not long."""
    shown = ascii(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."


def decode(text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        demand(len(found) == len(pairs), "a key stands twice in one object, so that readers would disagree")
        return found

    def refuse(constant: str) -> None:
        raise Bad(f"{constant} is no number")

    return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def real(value: Any, low: float = 0.0, high: float = sys.float_info.max) -> float:
    """A number in [low, high], "inf" only where `high` is infinite. No booleans, no NaN, no other texts, no 1e999."""
    number = float(value) if type(value) in (float, int) else math.inf if value == "inf" else math.nan
    if not low <= number <= high or (number == math.inf and value != "inf"):
        raise Bad(f"{short(value)} is no number in [{low:g}, {high:g}]")
    return number


def whole(value: Any, low: int = 1, high: int = 10**9) -> int:
    demand(type(value) is int and low <= value <= high, f"{short(value)} is no whole number in [{low}, {high}]")
    return int(value)


def name_of(value: Any) -> str:
    demand(type(value) is str and value and value.isprintable(), f"{short(value)} is no name")
    return str(value)


def listed(value: Any, length: int | None = None) -> list[Any]:
    demand(type(value) is list and length in (None, len(value)), f"{short(value)} is no list, or not of {length}")
    return list(value)


def files_of(said: Any) -> dict[str, str]:
    """Digests of files by their names."""
    demand(type(said) is dict and said, "it is about no file")
    for name, digest in said.items():
        inside = name_of(name) and not {"", ".", ".."}.intersection(name.split("/")) and "\\" not in name
        demand(inside, f"{short(name)} is not a file's name below its folder")
        right = len(name_of(digest)) == 64 and not digest.strip("0123456789abcdef")
        demand(right, f"{short(digest)} is no SHA-256")
    return dict(said)


def vector(values: Any, length: int) -> tuple[float, ...]:
    """One cost or sum for each order."""
    return tuple([real(value, 0.0, math.inf) for value in listed(values, length)])


EVENTS = {
    "gaussian": "noise_multiplier",
    "laplace": "scale sensitivity",
    "discrete_laplace": "scale sensitivity",
    "poisson_sampled_gaussian": "sampling_rate noise_multiplier steps",
    "mixture_of_gaussians": "sampling_rate records noise_multiplier steps",
    "repeat_and_select": "trial mean shape",
    "composed": "events",
    "self_composed": "part times",
}
RANGES = {"sampling_rate": (1e-9, 1.0), "mean": (1.0, 1e9), "shape": (0.0, 1e3)}  # of noise and sensitivity: below


Event = tuple[Any, ...]  # ("gaussian", sigma), ("composed", (event, ...)): the fields in the order of EVENTS
NOTHING: Event = ("composed", ())


def event_of(said: Any, level: int = 0) -> Event:
    demand(type(said) is dict and level <= 8, "an event is no object, or is nested more than 8 deep")
    kind, version = said.get("event"), said.get("version")
    demand(kind in EVENTS and type(version) is int and version == 1, f"event {short(kind)} {short(version)} is unknown")
    demand(said.keys() == {"event", "version", *EVENTS[kind].split()}, f"event {kind} has not exactly its fields")

    def field(key: str, value: Any) -> Any:
        if key in ("trial", "part"):
            return event_of(value, level + 1)
        if key == "events":
            return tuple(event_of(part, level + 1) for part in listed(value))
        if key == "records":
            return whole(value, 1, 64)
        if key in ("steps", "times") or (kind, key) == ("discrete_laplace", "sensitivity"):
            return whole(value)
        return real(value, *RANGES.get(key, (1e-3, 1e9)))

    return (kind, *(field(key, said[key]) for key in EVENTS[kind].split()))


def within(ran: Event, planned: Event) -> bool:
    """Whether `ran` is `planned`, or the same mechanism stopped after fewer steps or times."""
    if ran[0] == planned[0] == "composed":
        return len(ran[1]) == len(planned[1]) and all(within(*pair) for pair in zip(ran[1], planned[1], strict=True))
    if ran[0] in ("poisson_sampled_gaussian", "mixture_of_gaussians", "self_composed"):
        return ran[:-1] == planned[:-1] and bool(ran[-1] <= planned[-1])
    return ran == planned


# People: names as they are compared, and signatures by `ssh-keygen -Y sign` (OpenSSH's PROTOCOL.sshsig) with Ed25519
# keys (RFC 8032), verified with whole numbers alone.


def person(name: Any) -> str:
    return " ".join(unicodedata.normalize("NFKC", name_of(name)).casefold().split())


def people_of(said: Any) -> Any:
    """Who may ask, who may agree, and whose key is which."""
    demand(
        type(said) is dict and said.keys() == {"owners", "approvers", "keys"}, "its people are not as the format says"
    )
    owners, approvers = ([person(name) for name in listed(said[group])] for group in ("owners", "approvers"))
    keys = {person(name): key_of(key) for name, key in said["keys"].items()}
    demand(all(map(str.isascii, map(name_of, (*said["owners"], *said["approvers"])))), "a name is not ASCII")
    demand(len({*owners}) == len(owners) and len({*approvers}) == len(approvers), "it names somebody twice")
    demand(approvers and len({*owners, *approvers}) > 1, "it names no two people, one of them an approver")
    demand(keys.keys() <= {*owners, *approvers} and len(keys) == len(said["keys"]), "a key belongs to nobody listed")
    demand(len({*keys.values()}) == len(keys), "two people have one key")
    return SimpleNamespace(ask={*owners, *approvers}, agree={*approvers}, keys=keys)


def told_by(unit: Any) -> str | None:
    """By what a contract's terms tell units apart: a column, and its type where that is stated."""
    if type(unit) is not dict or not unit.get("column"):
        return None
    return f"column {unit['column']}" + (f" as {unit['logical_type']}" if unit.get("logical_type") else "")


def alike(one: Any, other: Any) -> bool:
    """Whether units are told apart alike: where one side was written before types were stated, the column decides."""
    if one == other or "unknown" in (one, other):
        return True
    return None not in (one, other) and (typed(one) == other or typed(other) == one)


def typed(unit_by: Any) -> Any:
    """The column alone, of a column and its type; None where no type is stated."""
    column, _, kind = unit_by.rpartition(" as ") if unit_by else ("", "", "")
    return column if kind in ("string", "integer") else None


def key_of(line: Any) -> bytes:
    """The 32 bytes of `ssh-ed25519 BASE64`."""
    kind, text = name_of(line).split(" ")
    parts = fields_of(base64.b64decode(text, validate=True), 2)
    demand(kind == "ssh-ed25519" and parts[0] == kind.encode() and len(parts[1]) == 32, "a key is no ssh-ed25519 key")
    y, prime = int.from_bytes(parts[1], "little") % (1 << 255), (1 << 255) - 19
    small = (0, 1, 2707385501144840649318225287225658788936804267575313519463743609750303021,
             55188659117513257062467267217118295137698188065244968500265048394206261417927, prime - 1)  # fmt: skip
    demand(y < prime and y not in small, "a key is of small order, so that anybody can sign by it, or not canonical")
    return parts[1]


def fields_of(data: bytes, count: int) -> list[bytes]:
    found = []
    for _ in range(count):
        length = int.from_bytes(data[:4], "big")
        demand(len(data) >= 4 + length, "a key or signature is cut off")
        found.append(data[4 : 4 + length])
        data = data[4 + length :]
    demand(not data, "a key or signature is too long")
    return found


def signed(key: bytes, statement: str, signature: Any) -> bool:
    """Whether the signature is by this key over this statement, for the purpose `dpsynth-approval`."""
    blob = base64.b64decode(signature, validate=True)
    demand(blob[:10] == b"SSHSIG\0\0\0\1", "its signature is not by `ssh-keygen -Y sign`")
    by, purpose, reserved, algorithm, made = fields_of(blob[10:], 5)
    kind, raw = fields_of(made, 2)
    if (fields_of(by, 2), kind, purpose) != ([b"ssh-ed25519", key], b"ssh-ed25519", b"dpsynth-approval"):
        return False
    demand(algorithm in (b"sha256", b"sha512"), "its signature has an unknown hash")
    digest = hashlib.new(algorithm.decode(), statement.encode()).digest()
    parts = (purpose, reserved, algorithm, digest)
    return ed25519(key, b"SSHSIG" + b"".join(len(part).to_bytes(4, "big") + part for part in parts), raw)


def signer_of(signature: Any) -> bytes | None:
    """The key by which a signature says that it is."""
    if signature is None:
        return None
    return fields_of(fields_of(base64.b64decode(signature, validate=True)[10:], 5)[0], 2)[1]


def key_then(population: Any, who: str, seq: int) -> bytes | None:
    """The key that stood for somebody at a population after an entry."""
    stood = [people for since, people in population.stood if since <= seq]
    return stood[-1].keys.get(who) if stood else None


P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int, int, int]  # x and y over z, and x y over z


def ed25519(key: bytes, message: bytes, signature: bytes) -> bool:
    """RFC 8032, 5.1.7: whether s B = R + h A."""
    a, r = point_of(key), point_of(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or len(signature) != 64 or s >= L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    base = point_of((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    assert base
    left, right = times(s, base), plus(r, times(h, a))
    return all((left[i] * right[2] - right[i] * left[2]) % P == 0 for i in (0, 1))


def point_of(encoded: bytes) -> Point | None:
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if len(encoded) != 32 or y >= P or (x * x - square) % P or (sign and not x):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


def plus(p: Point, q: Point) -> Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(number: int, point: Point) -> Point:
    total: Point = (0, 1, 1, 0)
    while number:
        total = plus(total, point) if number & 1 else total
        point, number = plus(point, point), number >> 1
    return total


# Costs: the Renyi divergence of order a > 1, the larger of those from adding and from removing one unit.


@lru_cache(maxsize=1 << 16)
def cost(event: Event, a: float) -> float:
    """Laplace: Mironov 2017 (arXiv 1702.07476), Prop. 6. Discrete Laplace, with r = e^(-1/scale) and x = r^(2a-1): the
    sum over k of P(k)^a Q(k)^(1-a) is three geometric series, left of both centres, right of them and between:
    e^((a-1) s/scale) (1 + x^s + (1 - r) x (1 - x^(s-1)) / (1 - x)) / (1 + r)."""
    match event:
        case ("gaussian", sigma):
            return float(a / (2 * sigma**2))
        case ("laplace", scale, sensitivity):
            loss = sensitivity / scale
            return float(loss + math.log1p((a - 1) / (2 * a - 1) * math.expm1((1 - 2 * a) * loss)) / (a - 1))
        case ("discrete_laplace", scale, s):
            r, log_x = math.exp(-1 / scale), (1 - 2 * a) / scale
            between = -math.expm1(-1 / scale) * math.exp(log_x) * math.expm1((s - 1) * log_x) / math.expm1(log_x)
            return float(s / scale + math.log((1 + math.exp(s * log_x) + between) / (1 + r)) / (a - 1))
        case ("poisson_sampled_gaussian", q, sigma, steps):
            return float(steps * mixture(q, 1, sigma, a))
        case ("mixture_of_gaussians", q, records, sigma, steps):
            return float(steps * mixture(q, records, sigma, a))
        case ("repeat_and_select", trial, mean, shape):
            hidden, best = repeated(trial, mean, shape)
            a = max(a, best)  # a divergence grows with its order, and the bound falls up to the best one
            return cost(trial, a) + math.log(mean) / (a - 1) + hidden
        case ("composed", parts):
            return math.fsum(cost(part, a) for part in parts)
        case ("self_composed", part, times):
            return float(times * cost(part, a))
    raise Bad(f"event {event[0]} has no cost")


@lru_cache(maxsize=1 << 16)
def mixture(q: float, records: int, sigma: float, a: float) -> float:
    """One step of P = sum of Binom(records, q)(i) N(i, sigma^2) against Q = N(0, sigma^2) and Q against P."""
    chances = [(0.0, records / sigma)]  # (logarithm of the probability, shift in units of sigma)
    if q < 1:
        heads, tails = math.log(q), math.log1p(-q)
        ways = [math.log(math.comb(records, i)) for i in range(records + 1)]
        chances = [(way + i * heads + (records - i) * tails, i / sigma) for i, way in enumerate(ways)]
    moment = max(log_moment(chances, 1 / sigma, power) for power in (a, 1 - a))
    return max(0.0, moment - 1e-14) / (a - 1)  # less what rounding may have added, times a billion steps


def log_moment(chances: list[tuple[float, float]], shift: float, power: float) -> float:
    """log E[(P/Q)^power] under Q, by the trapezoid rule. The logarithm of the integrand has its critical points between
    0 and power x the largest shift and falls like -y^2/2 outside; the zeros of P/Q lie pi / shift off the real line
    (those of a real-rooted polynomial in e^(shift y)): the error falls exponentially in pi / (shift x step). Where that
    takes too long, with hardly any noise, P's largest single term gives a lower bound, and nearly all there is."""
    ends = sorted((0.0, power * chances[-1][1]))
    step = 1 / max(4.0, 4 * shift, shift * math.sqrt(abs(power) * len(chances)))
    first, last = math.floor((ends[0] - 12) / step), math.ceil((ends[1] + 12) / step)
    if (last - first) * len(chances) > MOST_TERMS:
        return max([0.0, *(power * (c + (power - 1) * s * s / 2) for c, s in chances if power > 1)])
    density = math.log(step / math.sqrt(2 * math.pi))
    points = (index * step for index in range(first, last + 1))
    ratios = ((y, log_sum([chance + s * y - s * s / 2 for chance, s in chances])) for y in points)
    return log_sum([density - y * y / 2 + power * ratio for y, ratio in ratios])


def log_sum(exponents: list[float]) -> float:
    top = max(exponents)
    return top + math.log(math.fsum([math.exp(exponent - top) for exponent in exponents]))


@lru_cache(maxsize=1024)
def repeated(trial: Event, mean: float, shape: float) -> tuple[float, float]:
    """What selecting among a hidden number of trials adds at every order, and the order that bounds lower ones best.

    Papernot and Steinke 2022 (arXiv 2110.03620), Theorem 2: with K from the truncated negative binomial of shape n and
    g = log(1/gamma), the best of K trials costs, for every order b >= 1, at most
        cost(a) + log(E[K]) / (a - 1) + (1 + n) ((1 - 1/b) cost(b) + g / b),  E[K] = n (e^g - 1) / (1 - e^(-n g)).
    The last term is convex in 1/b (log-convexity of norms), the rest quasi-convex in a."""
    g, above = 0.0, 50.0
    for _ in range(100):
        middle = (g + above) / 2
        expected = math.expm1(middle) * (shape / -math.expm1(-shape * middle) if shape else 1 / middle)
        g, above = (middle, above) if expected < mean else (g, middle)
    b = least(lambda b: (1 - 1 / b) * cost(trial, b) + g / b)
    best = least(lambda a: cost(trial, a) + math.log(mean) / (a - 1))
    return (1 + shape) * min(g, (1 - 1 / b) * cost(trial, b) + g / b), best


def least(function: Callable[[float], float]) -> float:
    """The order at which a quasi-convex function is least, by Fibonacci search over log(order - 1) in [-23, 23]."""

    def order(place: int) -> float:
        return 1 + math.exp(46 * place / 102334155 - 23)

    start, near, far = 0, 39088169, 63245986  # neighbours in Fibonacci's sequence, whose next is 102334155
    while near:
        if function(order(start + near)) > function(order(start + far)):
            start += near
        near, far = far - near, near
    return order(start)


def least_epsilon(events: list[Event], delta: float) -> float:
    """The least epsilon to which Renyi costs convert at delta (see `Replay.cap`), over orders so close together that a
    ledger, which keeps a fifth of delta for other orders, cannot state less."""

    def at(order: float) -> float:
        total = math.fsum(cost(event, order) for event in events)
        return total + math.log1p(-1 / order) - (math.log(delta) + math.log(order)) / (order - 1)

    return max(0.0, min(at(1 + math.exp(place / 10)) for place in range(-20, 71)))


@lru_cache(maxsize=4096)
def price(event: Event, orders: tuple[float, ...], stated: tuple[float, ...]) -> tuple[str, str]:
    """What is wrong and what is odd about a stated cost, if anything."""
    wrong = odd = ""
    for order, value in zip(orders, stated, strict=True):
        true = cost(event, order)
        if not value >= true * (1 - 1e-9) - 1e-12:  # so that what is no number fails
            wrong = wrong or f"it is charged {value:.9g} at order {order:g}, but its event costs {true:.9g}"
        elif value > highest(event, order):
            odd = odd or f"it is charged {value:.4g} at order {order:g}, where its event costs {true:.4g}"
    return wrong, odd


def highest(event: Event, order: float) -> float:
    """What an honest ledger charges at most (see the top)."""
    return 1.5 * cost(event, float(math.ceil(order))) + 1e-6


# Sums: every float is a whole multiple of 2^-1074, so that whole numbers add up exactly. Infinity is one that no sum of
# finite costs reaches, and that can be taken away again.

UNIT = 1074
INFINITE = 1 << 4096


@lru_cache(maxsize=4096)
def exact(values: tuple[float, ...]) -> tuple[int, ...]:
    ratios = [value.as_integer_ratio() if value < math.inf else (INFINITE >> UNIT, 1) for value in values]
    return tuple([above << (UNIT + 1 - below.bit_length()) for above, below in ratios])


def rounded(total: int) -> float:
    return total / (1 << UNIT) if total < 1 << UNIT + 1023 else math.inf


def about(change: Any) -> tuple[str, str]:
    """What a change is about: a contract, a population or the ledger."""
    if change["kind"] == "set_terms":
        return "contract", name_of(change["contract"])
    return "population", change["population"] or ""


class Replay:
    """What stands after each entry, and what was wrong up to there. A method for each kind of entry."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.notes: dict[str, str] = {}  # sentence -> the first entry it is about
        self.seq, self.head, self.label, self.ledger = 0, "0" * 64, "", ""
        self.populations: dict[str, Any] = {}
        self.blocks: dict[str, Any] = {}
        self.sources: dict[str, tuple[str, list[str]]] = {}
        self.proposals: dict[int, Any] = {}  # open ones
        self.whole: Any = None  # who may register populations, where somebody was named for it
        self.current = False  # whether people stand in this journal; before, names were taken from contracts
        self.follows = False  # whether entries state what they follow on; before, a key was asked for where it stood
        self.contracts: dict[str, str] = {}  # to the population under which their terms were set
        self.last: dict[tuple[str, str], str] = {}  # the hash of the last entry about a population or contract
        self.decided: dict[tuple[str, str], int] = {}  # the last entry that decided about one
        self.acts: Counter[bool] = Counter()  # proposals and approvals, by whether they are signed
        self.charges: dict[int, Any] = {}  # open ones
        self.done: dict[int, Any] = {}  # committed ones, for the seals that rest on them
        self.refuted: dict[int, int] = {}  # charge -> the first entry that says that an audit refuted it
        self.made: dict[str, set[int]] = {}  # digest of files -> the charges that were committed with them
        self.seals: dict[int, tuple[set[int], Any]] = {}  # entry -> charges, and whom something is promised to
        self.least: dict[tuple[int, ...], float] = {}  # charges -> the least epsilon that they can come to
        self.tokens: set[str] = set()

    def expect(self, condition: object, sentence: str) -> None:
        """Like `demand`, for what does not keep the entry from being followed further."""
        if not condition:
            self.problems.append(f"{self.label}: {sentence}")

    def read(self, line: bytes) -> None:
        """One line. Whatever is wrong with it is a problem of this line, and the next is read all the same."""
        self.seq += 1
        self.label = f"entry {self.seq} (unreadable)"
        try:
            demand(len(line) <= LONGEST_LINE, "it is too long")
            outer = decode(line.decode())
            demand(type(outer) is dict and outer.keys() == {"body", "hash"}, "it is no object of body and hash")
            previous, self.head = self.head, outer["hash"]
            digest, said = hashlib.sha256(outer["body"].encode()).hexdigest(), decode(outer["body"])
            demand(type(said) is dict and said.keys() == BODY, "its body has not exactly the fields of an entry")
            entry = SimpleNamespace(**said)
            expected, self.seq = self.seq, whole(entry.seq, 1, sys.maxsize)
            demand(entry.kind in KINDS, f"its kind {short(entry.kind)} is unknown")
            self.label = f"entry {self.seq} ({entry.kind})"
            self.expect(digest == self.head, "its body is not the one that was hashed")
            follows = (self.seq, entry.previous) == (expected, previous)
            self.expect(follows, f"it does not follow on entry {expected - 1}: one is missing, moved or changed")
            self.expect((expected == 1) == (entry.kind == "created"), "`created` is the first entry, and no other")
            self.enter(entry, entry.payload)
        except Bad as bad:
            self.expect(False, str(bad))
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError) as error:
            self.expect(False, f"it is not as the format says ({type(error).__name__}: {short(str(error))})")

    def enter(self, entry: Any, said: Any) -> None:
        fields = set(KINDS[entry.kind].split())
        given = said.keys() - {"key"} if type(said) is dict else set()  # `key`: what the ledger finds it by
        before = fields - LATEST - ({"signature"} if entry.kind == "external_charge" else set())
        earlier = (not self.follows and given == before) or (not self.current and given == fields - LATEST - LATER)
        demand(given == fields or earlier, f"its payload has not exactly {', '.join(sorted(fields))}, or also a key")
        self.current, self.follows = self.current or bool(given & LATER), self.follows or "after" in given
        for value in (entry.population, entry.release, entry.owner):
            demand(value is None or name_of(value), "")
        for key in ("epsilon_alone", "epsilon_spent", "epsilon_would_be"):
            real(said.get(key, 0.0), 0.0, math.inf)
        demand(type(entry.time) is type(said.get("reason", "")) is str, "its time or reason is no text")
        if "token_sha256" in said:
            token = name_of(said["token_sha256"])
            demand(token not in self.tokens, "its token was handed out before: a grant is used once")
            self.tokens.add(token)
        if entry.kind in AFTER:
            return self.step(entry, said)
        own = {"reserved": entry.seq, **dict.fromkeys(("refused", "incident"), entry.reservation)}.get(entry.kind)
        demand(entry.reservation == own, "its `reservation` is not what its kind demands")
        getattr(self, entry.kind)(entry, said)

    def step(self, entry: Any, said: Any) -> None:
        charge = self.charges.get(entry.reservation)
        demand(charge, f"reservation {short(entry.reservation)} is not open: it was never made, or has ended")
        assert charge
        demand(charge.state in AFTER[entry.kind], f"it cannot follow on a charge that is {charge.state}")
        same = (entry.population, entry.release) == (charge.population, charge.release)
        self.expect(same, "its population or release is not that of its reservation")
        same = entry.owner == charge.owner or entry.kind == "resumed"  # a run may take over what is its own
        self.expect(same, "its owner is not that of its reservation")
        if entry.kind not in ("activated", "forfeited"):
            getattr(self, entry.kind)(entry, said, charge)
        state = "activated" if entry.kind == "resumed" else entry.kind
        for name in charge.blocks:
            self.blocks[name].states[charge.state] -= 1
            self.blocks[name].states[state] += 1
        charge.state = state
        if state not in ("activated", "redeemed"):
            del self.charges[entry.reservation]

    # What needs two people.

    def created(self, entry: Any, said: Any) -> None:
        self.ledger = name_of(said["ledger"])
        self.whole = people_of(said["people"]) if said.get("people") is not None else None

    def proposed(self, entry: Any, said: Any) -> None:
        change, earlier = said["change"], "signature" not in said
        fields = {"kind", *CHANGES[change["kind"]].split()} - (LATER if earlier else set())
        fields -= {"population"} if earlier and change["kind"] == "set_terms" else set()
        demand(change.keys() == fields, f"its change has not exactly {', '.join(sorted(fields))}")
        act = self.act("propose", entry, change, after=self.last.get(about(change)))
        self.last[about(change)] = self.head
        self.proposals[self.seq] = act
        if not earlier:
            filed = (entry.population, said.get("key")) == (change["population"], change.get("contract"))
            self.expect(filed, "it is filed under another population or contract than its change is about")
            self.allow(act)

    def approved(self, entry: Any, kind: str, contents: Any) -> None:
        """Whether the entry is what was proposed, and who asked and who agreed may; they stand in its `signers`."""
        number, entry.names = entry.payload["proposal"], (name_of(entry.owner),)
        asked = self.proposals.pop(number, None)
        entry.signers = {(person(entry.owner), True, signer_of(entry.payload.get("signature")), self.seq)}
        self.expect(asked, "it names no open proposal: there was none, or it had its effect before")
        if not asked:
            return
        act = self.act("approve", entry, asked.change, after=asked.head, proposal=number)
        other = person(asked.actor) != person(act.actor)
        self.expect(other, f"{act.actor} approved an own proposal: a second person must")
        here = {"kind": kind, **{key: contents[key] for key in asked.change if key != "kind"}}
        self.expect(canonical(here) == canonical(asked.change), "it is not what was proposed")
        entry.names = asked.actor, act.actor
        entry.signers.add((person(asked.actor), False, signer_of(asked.signature), self.seq))
        if act.follows:
            keys = signer_of(asked.signature), signer_of(act.signature)
            self.expect(None in keys or keys[0] != keys[1], "whoever asked for it and whoever agreed have one key")
            since = self.decided.get(about(asked.change), 0)
            self.expect(since < number, f"entry {since} decided about the same after it was asked for")
        if "signature" in entry.payload and other:
            self.allow(asked, act.follows)
            self.allow(act)
            self.acts.update((asked.signature is not None, act.signature is not None))

    def act(self, name: str, entry: Any, change: Any, **place: Any) -> Any:
        """What somebody does, and the statement that he or she signs for it."""
        said = {"act": name, "actor": name_of(entry.owner), "reason": entry.payload["reason"], "change": change}
        said = {"ledger": self.ledger, "after": None, "proposal": None, **said, **place}
        statement = json.dumps(said, sort_keys=True, indent=1) + "\n"
        signature, follows = entry.payload.get("signature"), "after" in entry.payload
        self.expect(not follows or entry.payload["after"] == said["after"], "it follows on another entry than it says")
        return SimpleNamespace(
            actor=entry.owner, change=change, agrees=name == "approve", head=self.head, statement=statement,
            signature=signature, follows=follows,
        )  # fmt: skip

    def allow(self, act: Any, follows: bool | None = None) -> None:
        """Whether this person stands wherever the change takes leave, and signed by the key that stands there, or else
        (where entries state what they follow on) by the one that stands for the name anywhere."""
        who, keys, change = person(act.actor), set(), act.change
        places = self.concerned(change, who)
        for place, people in places:
            stands = who in (people.agree if act.agrees else people.ask)
            self.expect(stands, f"{short(act.actor)} {'may not agree' if act.agrees else 'may not ask'} for {place}")
            keys.add(people.keys.get(who))
        if act.follows if follows is None else follows:
            if None in keys or not places:
                keys |= self.keys_of(who)
            self.consistent(change)
        keys.discard(None)
        self.expect(keys or act.signature is None, f"it is signed, and no key stands for {short(act.actor)}")
        self.expect(act.signature is not None or not keys, f"{short(act.actor)} has a key, and it is not signed")
        if act.signature is not None:
            right = all(signed(key, act.statement, act.signature) for key in keys)
            self.expect(right, f"its signature is not by the key of {short(act.actor)}, or not over this")

    def keys_of(self, who: str, but: Any = None) -> set[bytes]:
        """The keys that stand for somebody anywhere, except in one place."""
        everywhere = [self.whole, *(population.people for population in self.populations.values())]
        return {people.keys[who] for people in everywhere if people and people is not but and who in people.keys}

    def consistent(self, change: Any) -> None:
        """Terms are about the population that they are set for, and whoever has a key is listed with it; a key that
        stands at the very place may be changed."""
        name = change["population"]
        named = change["terms"].get("population", name) if change["kind"] == "set_terms" else name
        self.expect(named == name, f"its terms are about {short(named)}, and set for {short(name)}")
        if "people" not in change:
            return
        people, here = people_of(change["people"]), None
        if change["kind"] == "set_people":
            here = self.whole if name is None else self.populations[name].people
        for who in sorted(people.ask):
            known, listed_with = self.keys_of(who, here), {people.keys.get(who)}
            right = known in (set(), listed_with) or (here and who in here.keys)
            self.expect(right, f"{short(who)} has a key, and is listed without it or by another one")

    def concerned(self, change: Any, who: str) -> list[tuple[str, Any]]:
        kind, name = change["kind"], change.get("population")
        if kind == "set_people" and name is None:
            demand(self.whole, "nobody stands for the ledger as a whole")
            return [("the ledger", self.whole)]
        demand(name is not None, "its proposal is of before people stood in the ledger")
        if kind == "add_population":
            return [("the ledger", self.whole) if self.whole else (short(name), people_of(change["people"]))]
        if kind == "external_charge":
            stand = self.populations[name]
            return [(short(name), stand.people)] if stand.able else []
        demand(name in self.populations or kind == "set_terms", f"population {short(name)} does not exist")
        if name not in self.populations:
            asked = [act.change["people"] for act in self.proposals.values() if act.change.get("population") == name
                     and act.change["kind"] == "add_population" and "people" in act.change]  # fmt: skip
            named = [people for people in map(people_of, asked) if who in people.ask]
            demand(self.whole or named, f"population {short(name)} does not exist, and was not proposed")
            return [("the ledger", self.whole) if self.whole else (short(name), named[-1])]
        names = {name, *self.populations[name].shared}
        names |= {self.contracts.get(change["contract"], name)} if kind == "set_terms" else set()
        demand(all(self.populations[each].people for each in names), "nobody stands for a population of before")
        return [(short(each), self.populations[each].people) for each in sorted(names)]

    def registered(self, entry: Any, said: Any) -> None:
        name, orders = name_of(entry.population), [real(order, 1 + 1e-6, 1e6) for order in listed(said["orders"])]
        demand(name not in self.populations, "its population was registered before: terms never change")
        self.approved(entry, "add_population", {**said, "population": name})
        weights = [real(weight, 1e-300) for weight in listed(said["weights"], len(orders))]
        demand(orders and orders == sorted(set(orders)), "its orders are not ascending")
        self.expect(sum(map(Fraction, weights)) <= 1, "its weights sum to more than 1")
        self.expect(said["planned_order"] in (None, *orders), "its planned order is none of its orders")
        relation = said["neighbouring_relation"] == "add_or_remove_one_unit"
        self.expect(relation, "its neighbouring relation is not add_or_remove_one_unit, of which all costs speak")
        unit, parted = name_of(said["unit"]), said["blocks_by"] is not None and name_of(said["blocks_by"])
        by = said.get("unit_by")
        demand(by is None or name_of(by), "its unit_by is no text")
        for event in listed(said["planned"]):
            event_of(event)
        closed, given = said["rule"] == "closed_plan", {said["plan"] is not None, said["plan_epsilon"] is not None}
        demand(said["rule"] in ("closed_plan", "renyi_filter") and given == {closed}, "its rule and plan do not agree")
        plan = [(name_of(release), event_of(event)) for release, event in listed(said["plan"])] if closed else []
        plan_epsilon = real(said["plan_epsilon"]) if closed else None
        population = SimpleNamespace(
            rule=said["rule"], unit=unit, delta=real(said["delta"], 1e-300, 1.0), parted=parted
        )
        founders = {who for who, *_ in entry.signers}  # of a population of before: they stand for it
        population.__dict__.update(unit_by=by, shared=set(), founders=set(), signers=set(), stood=[], able=True)
        if "people" in said:
            self.stand(population, people_of(said["people"]))
            population.signers |= set() if self.whole else entry.signers
        else:
            agreed = {who for who, agreed, *_ in entry.signers if agreed}
            self.stand(population, SimpleNamespace(ask=founders, agree=agreed, keys={}))
            population.able = len(founders) > 1 and all(name.isascii() and name == name.strip() for name in entry.names)
            population.founders, population.signers, population.unit_by = founders, entry.signers, "unknown"
        self.decide("population", name)
        population.__dict__.update(orders=tuple(orders), weights=weights, plan=plan, plan_epsilon=plan_epsilon)
        self.cap(population, said)
        self.expect((plan_epsilon or 0.0) <= population.epsilon, "its plan costs more than its epsilon")
        self.populations[name] = population
        self.begin(name, said["standing"])

    def cap_changed(self, entry: Any, said: Any) -> None:
        population = self.populations[entry.population]
        if said["proposal"] is not None:
            self.approved(entry, "raise_cap", {**said, "population": entry.population})
        else:
            self.expect(real(said["epsilon"]) < population.epsilon, "only a lower epsilon needs no proposal")
            change = {"kind": "lower_cap", "population": entry.population, "epsilon": said["epsilon"]}
            act = self.act("lower the cap", entry, change, after=self.last.get(("population", entry.population)))
            entry.signers = {(person(entry.owner), False, signer_of(said.get("signature")), self.seq)}
            if "signature" in said:
                self.allow(act)
        population.signers |= entry.signers
        self.decide("population", entry.population)
        self.cap(population, said)

    def cap(self, population: Any, said: Any) -> None:
        """B(a) = epsilon - log(1 - 1/a) + log(w_a delta a) / (a - 1), by Canonne, Kamath and Steinke 2020 (arXiv
        2004.00010), Prop. 12: the Renyi cost from which (epsilon, w_a delta)-DP follows."""
        caps = [real(cap, -sys.float_info.max) for cap in listed(said["caps"], len(population.orders))]
        population.epsilon, population.caps = real(said["epsilon"]), exact(tuple(caps))
        for a, weight, stated in zip(population.orders, population.weights, caps, strict=True):
            logarithms = math.log(weight) + math.log(population.delta) + math.log(a)
            terms = (population.epsilon, -math.log1p(-1 / a), logarithms / (a - 1))
            highest = sum(terms) + 1e-12 * sum(map(abs, terms))
            self.expect(stated <= highest, f"its cap at order {a:g} is {stated:.9g}, it may be {sum(terms):.9g}")

    def terms_set(self, entry: Any, said: Any) -> None:
        terms, earlier = said["terms"], "signature" not in said
        name = str(terms.get("population") if earlier and type(terms) is dict else entry.population)
        self.approved(entry, "set_terms", {**said, "population": name})
        population = self.populations.get(name)
        if earlier and population and population.founders == {who for who, *_ in entry.signers}:
            self.found(population, terms)
        if agreed := "after" in said:
            demand(population, f"it is about population {short(name)}, which has no budget")
            self.agree(population, terms)
        contract, stand = name_of(said["contract"]), True
        self.decide("contract", contract)
        if population and earlier:
            stand = all(who in (population.people.agree if agreed else population.people.ask)
                        for who, agreed, *_ in entry.signers)  # fmt: skip
            if not stand:
                self.notes.setdefault("terms by people whom only a contract named; they stand no longer", self.label)
        if terms.get("population", name) != name:
            stand = False
            self.notes.setdefault(
                "terms about another population than they were set for; they do not stand", self.label
            )
        if stand:
            self.contracts[contract] = name
        if population and stand:
            told = told_by(terms.get("unit") if type(terms) is dict else None)
            if told:
                same = agreed or alike(told, population.unit_by)
                self.expect(same, f"it tells units apart by {short(told)}, its population does not")
                population.unit_by = told if typed(told) == population.unit_by else population.unit_by
            population.signers |= entry.signers
        digest = hashlib.sha256(canonical(said["terms"]).encode()).hexdigest()
        self.expect(digest == said["digest"], "its digest is not that of its terms")

    def agree(self, population: Any, terms: Any) -> None:
        """Whether terms say nothing else than was registered for good, as far as they speak of it."""
        unit, budget, blocks = (terms.get(part) or {} for part in ("unit", "budget", "blocks"))
        parted = blocks["column"] and f"column {blocks['column']}" if "column" in blocks else None
        told = told_by(unit) if "column" in unit else population.unit_by
        for field, stands, said in (
            ("unit", population.unit, unit.get("name", population.unit)),
            ("relation", "add_or_remove_one_unit", unit.get("neighbouring_relation", "add_or_remove_one_unit")),
            ("delta", population.delta, budget.get("delta", population.delta)),
            ("rule", population.rule, budget.get("rule", population.rule)),
            ("blocks_by", population.parted or None, parted),
            ("unit_by", population.unit_by, population.unit_by if alike(told, population.unit_by) else told),
        ):
            self.expect(stands == said, f"its terms have another {field} than their population, and it never changes")

    def found(self, population: Any, terms: Any) -> None:
        """A population of before: its people and unit are those of the first terms that its two founders signed."""
        groups = [{person(name) for name in terms.get(group, [])} for group in ("owners", "approvers")]
        if population.founders <= groups[0] | groups[1] and groups[1]:
            self.stand(population, SimpleNamespace(ask=groups[0] | groups[1], agree=groups[1], keys={}))
        unit, population.founders = terms.get("unit"), set()
        if type(unit) is dict and "column" in unit:
            population.unit_by = told_by(unit)
            population.unit = population.unit if unit["column"] else "record"

    def people_set(self, entry: Any, said: Any) -> None:
        name = entry.population
        self.approved(entry, "set_people", {**said, "population": name})
        self.decide("population", name or "")
        if name is None:
            self.whole = people_of(said["people"])
        else:
            self.stand(self.populations[name], people_of(said["people"]))
            self.populations[name].signers |= entry.signers

    def stand(self, population: Any, people: Any) -> None:
        """Who stands for a population from this entry on."""
        population.people, population.able = people, True
        population.stood.append((self.seq, people))

    def decide(self, *subject: str) -> None:
        self.last[subject[0], subject[1]], self.decided[subject[0], subject[1]] = self.head, self.seq

    def restored(self, entry: Any, said: Any) -> None:
        if self.follows:
            self.expect(not self.keys_of(person(entry.owner)), f"{short(entry.owner)} has a key, and it is not signed")
        ended = said["head"] == {"seq": self.seq - 1, "hash": entry.previous}
        self.expect(ended, "the journal that it was rebuilt from did not end at the entry before it")
        self.notes[f"rebuilt from a journal; later entries known to be lost: {short(said['missing'])}"] = self.label

    # Whose records, and what is charged to them.

    def begin(self, population: str, standing: Any) -> None:
        """New blocks, at zero."""
        zeros, parted = (0,) * len(self.populations[population].orders), self.populations[population].parted
        for name in standing:
            own = name_of(name).startswith(f"{population}/") and name not in self.blocks
            demand(own, f"{name} is no new block of {population}")
            self.expect(parted or name == f"{population}/everything", f"{population} is not parted into blocks")
            self.blocks[name] = SimpleNamespace(population=population, sums=zeros, stated=zeros, peak=zeros)
            self.blocks[name].__dict__.update(charges=0, used=set(), outside=False, states=Counter())
        self.settle(standing, standing, {population: zeros}, 0)

    def bound(self, entry: Any, said: Any) -> None:
        blocks, overlaps = listed(said["blocks"]), listed(said["overlaps"])
        demand(said["standing"].keys() <= set(blocks), "it begins a block that is not its own")
        self.begin(entry.population, said["standing"])
        own, others = ({self.blocks[name].population for name in part} for part in (blocks, overlaps))
        demand(own == {entry.population} and entry.population not in others, "its blocks or overlaps are of others")
        demand(len({*blocks, *overlaps}) == len(blocks + overlaps), "it names a block twice")
        here = self.populations[entry.population]
        for other in sorted(others - here.shared):
            there = self.populations[other]
            known = "unknown" not in (here.unit_by, there.unit_by)
            same = not known or (here.unit == there.unit and alike(here.unit_by, there.unit_by))
            self.expect(same, f"it overlaps with {other}, which protects another unit")
            theirs = all(
                who in (there.people.agree if agreed else there.people.ask) for who, agreed, *_ in here.signers
            )
            if self.follows:
                theirs = theirs and all(key_then(there, who, seq) in (None, key) for who, _, key, seq in here.signers)
            signed_for = theirs or not self.current
            self.expect(signed_for, f"it overlaps with {other}, whose people did not sign for {entry.population}")
        here.shared |= others
        population, before = self.sources.get(name_of(said["key"]), (entry.population, []))
        demand(population == entry.population, f"this data set is bound to {population}")
        demand({*before} <= {*blocks, *overlaps}, "this data set was bound to more blocks, and loses none")
        self.sources[said["key"]] = (entry.population, blocks + overlaps)

    def touched(self, entry: Any, source: Any) -> list[str]:
        population, blocks = self.sources.get(source, (None, []))
        demand(blocks and population == entry.population, "its source is not bound to its population")
        return blocks

    def reserved(self, entry: Any, said: Any) -> None:
        event, blocks, places = event_of(said["event"]), self.touched(entry, said["source"]), {}
        costs = self.costs(event, said["cost"], blocks)
        for name in blocks:
            if self.rule(name) == "closed_plan":
                taken = self.places(name, entry.release, event).intersection(said["standing"][name]["used"])
                self.expect(len(taken) == 1, f"it takes no free place of its own in the plan of {name}")
                self.blocks[name].used |= taken
                places[name] = taken
            self.blocks[name].states["reserved"] += 1
        name_of(said["key"])
        charge = SimpleNamespace(
            population=entry.population, release=name_of(entry.release), owner=name_of(entry.owner)
        )
        charge.__dict__.update(source=said["source"], event=event, blocks=blocks, costs=costs, places=places, again=[])
        charge.state, charge.digest, self.charges[self.seq] = "reserved", None, charge
        self.settle(said["standing"], blocks, costs, 1)
        self.admitted(blocks)

    def refused(self, entry: Any, said: Any) -> None:
        """One that names a block says that it had no room; there is nothing to recompute in one for another reason."""
        event, name = event_of(said["event"]), said["block"]
        demand(entry.reservation is None or entry.reservation in self.charges, "the charge to resume is not open")
        touched = name is None or name in self.touched(entry, said["source"])
        demand(touched and name_of(said["why"]), "it names a block that it does not touch")
        if name is not None and self.rule(name) == "closed_plan":
            free = entry.reservation is None and self.places(name, entry.release, event)
            self.expect(not free, f"it was refused, but has a place in the plan of {name}")
        elif name is not None:
            orders = self.populations[self.blocks[name].population].orders
            fitted = self.fits(name, exact(tuple(highest(event, order) for order in orders)))
            self.expect(not fitted, f"it was refused, but {name} had room for it")
            if not fitted and self.fits(name, exact(tuple(cost(event, order) for order in orders))):
                self.notes.setdefault(f"refused, although {name} had room for its exact cost", self.label)

    def redeemed(self, entry: Any, said: Any, charge: Any) -> None:
        self.expect(said["source"] == charge.source, "it was redeemed for another data set than was reserved")
        bound = {*self.sources[charge.source][1]} <= {*charge.blocks}
        self.expect(bound, "its data set was bound to more blocks since it was charged")

    def resumed(self, entry: Any, said: Any, charge: Any) -> None:
        event = NOTHING if said["event"] is None else event_of(said["event"])
        part = event == NOTHING or within(event, charge.event)
        self.expect(part, "what it repeats is none of what was reserved")
        nothing = {name: [0] * len(values) for name, values in charge.costs.items()}
        demand(event != NOTHING or said["cost"] == {}, "it repeats nothing, and that costs something")
        costs = nothing if event == NOTHING else self.costs(event, said["cost"], charge.blocks)
        self.settle(said["standing"], charge.blocks, costs, 0)
        charge.owner = name_of(entry.owner)
        if event != NOTHING:
            charge.again.append(event)
            self.expect(not charge.places, "what it repeats is in no closed plan")
            self.admitted(charge.blocks)

    def committed(self, entry: Any, said: Any, charge: Any) -> None:
        event = event_of(said["event"])
        self.expect(within(event, charge.event), "what ran is neither what was reserved, nor the same with fewer steps")
        costs = self.costs(event, said["cost"], charge.blocks)
        changes = {name: [a - b for a, b in zip(costs[name], charge.costs[name], strict=True)] for name in costs}
        self.expect(max(map(max, changes.values())) <= 0, "it is charged more than was reserved")
        self.settle(said["standing"], charge.blocks, changes, 0)
        ran = SimpleNamespace(population=entry.population, release=entry.release, events=[event, *charge.again])
        ran.state, ran.owner, ran.digest = "committed", charge.owner, name_of(said["artifact_digest"])
        self.done[entry.reservation] = ran
        self.made.setdefault(ran.digest, set()).add(entry.reservation)

    def sealed(self, entry: Any, said: Any) -> None:
        """What left: its charges are its own and those of all that it was made from, and its guarantee follows."""
        files, made_from, promised = files_of(said["files"]), said["made_from"], said["guarantee"]
        charges = [whole(seq, 1, self.seq - 1) for seq in listed(said["charges"])]
        demand(said["key"] == entry.release and name_of(said["id"]), "it names nothing")
        inherited, all_promised = set(), True
        for name, seq in made_from.items():
            demand(name_of(name) and seq in self.seals, f"it was made from entry {short(seq)}, which is no seal")
            inherited |= self.seals[seq][0]
            all_promised = all_promised and self.seals[seq][1] is not None
        self.seals[self.seq] = ({*charges} | inherited, (promised or {}).get("population"))
        self.expect(charges == sorted({*charges}), "its charges are not in their order, or one stands twice")
        self.expect(inherited <= {*charges}, "it leaves out a charge of what it was made from")
        refuted = sorted(self.refuted.keys() & {*charges})
        self.expect(not refuted, f"it carries charge {refuted and refuted[0]}, which an audit had refuted")
        own = {*charges} - inherited
        demand(all(seq in self.done for seq in charges), "it carries a charge that was not committed")
        named = sorted((name.split("/"), name) for name in files if name != "receipt.json")
        text = "".join([f"{name}\0{files[name]}\n" for _, name in named])
        digest = hashlib.sha256(text.encode()).hexdigest()
        right = len(own) <= 1 and all(
            (self.done[seq].digest, self.done[seq].release) == (digest, entry.release) for seq in own
        )
        self.expect(right, "it carries a charge that was not committed with its files")
        made = self.made.get(digest, set())
        if promised is None:  # equal files of another contract or variant may be chance, and promise nothing here
            contract = str(entry.release).partition("/")[0]
            made = {seq for seq in made if str(self.done[seq].release).partition("/")[0] == contract}
        self.expect(not made or made & {*charges}, "its files are those of a charge that it does not carry")
        self.expect(entry.population == (promised or {}).get("population"), "its population is not its guarantee's")
        if promised is not None:
            self.expect(all_promised, "something is promised of it, and nothing of what it was made from")
            fields = {"population", "unit", "neighbouring_relation", "epsilon", "delta"}
            demand(promised.keys() == fields, "its guarantee has not exactly its fields")
            if charges:
                self.promised(tuple(charges), promised)
            else:
                self.nothing_read({self.seals[seq][1] for seq in made_from.values()}, promised)

    def nothing_read(self, parents: set[Any], said: Any) -> None:
        """What rests on no charge promises 0, of the population that what it was made from is about."""
        demand((real(said["epsilon"]), real(said["delta"])) == (0, 0), "its guarantee is not 0, and rests on no charge")
        terms = (said["unit"], said["neighbouring_relation"])
        right = terms == (self.populations[said["population"]].unit, "add_or_remove_one_unit")
        right = right and parents <= {said["population"]}
        self.expect(right, "its guarantee is not one of its population, or of another than what it was made from")

    def promised(self, charges: tuple[int, ...], said: Any) -> None:
        population = self.populations[said["population"]]
        own = {self.done[seq].population for seq in charges} == {said["population"]}
        terms = (said["unit"], said["delta"], said["neighbouring_relation"])
        right = own and terms == (population.unit, population.delta, "add_or_remove_one_unit")
        self.expect(right, "its guarantee is not one of the population that its charges are of")
        if charges not in self.least:
            self.least[charges] = least_epsilon([e for seq in charges for e in self.done[seq].events], population.delta)
        stated, due = real(said["epsilon"]), self.least[charges]
        self.expect(stated >= due * (1 - 1e-9), f"its epsilon is {stated:.9g}, its charges cost at least {due:.9g}")

    def incident(self, entry: Any, said: Any) -> None:
        """An audit refuted what a charge claims. From here on nothing that carries it is sealed."""
        charge = self.charges.get(entry.reservation) or self.done.get(entry.reservation)
        demand(charge, f"reservation {short(entry.reservation)} was never made, or ended without a release")
        assert charge
        self.refuted.setdefault(entry.reservation, self.seq)
        demand(charge.state in REFUTABLE, f"it cannot follow on a charge that is {charge.state}")
        same = (entry.population, entry.release, entry.owner) == (charge.population, charge.release, charge.owner)
        self.expect(same, "its population, release or owner is not that of its reservation")
        self.expect(said["artifact_digest"] == charge.digest, "it is not about what its charge was committed with")
        demand("key" not in said and name_of(said["reason"]), "it has a key, by which nobody looks for it")
        files_of(said["files"])
        claimed, bound, confidence = (real(said[name]) for name in ("claimed_epsilon", "lower_bound", "confidence"))
        self.expect(claimed < bound, f"its lower bound {bound:.9g} does not refute the claimed {claimed:.9g}")
        self.expect(0 < confidence < 1, f"its confidence is {confidence:.9g}, which is not between 0 and 1")
        self.expect(real(said["delta"]) < 1, "its delta is not below 1")
        self.notes.setdefault(f"an audit refuted what is claimed of {short(entry.release)}", self.label)

    def voided(self, entry: Any, said: Any, charge: Any) -> None:
        for name, taken in charge.places.items():
            self.blocks[name].used -= taken
        changes = {name: [-value for value in values] for name, values in charge.costs.items()}
        self.settle(said["standing"], charge.blocks, changes, -1)

    def external_charge(self, entry: Any, said: Any) -> None:
        event, blocks = event_of(said["event"]), listed(said["blocks"])
        demand(name_of(entry.owner) and blocks and len(set(blocks)) == len(blocks), "it names no block, or one twice")
        demand(
            {self.blocks[name].population for name in blocks} == {entry.population}, "a block is of another population"
        )
        if "after" in said:
            change = {"kind": entry.kind, "population": entry.population, "event": said["event"], "blocks": blocks}
            last = ("population", entry.population)
            self.allow(self.act("write down what was spent elsewhere", entry, change, after=self.last.get(last)))
            self.last[last] = self.head
        for name in blocks:
            self.blocks[name].outside = True
        self.settle(said["standing"], blocks, self.costs(event, said["cost"], blocks), 1)

    def costs(self, event: Event, said: Any, blocks: list[str]) -> dict[str, tuple[int, ...]]:
        """The stated cost to each population, compared with the true one."""
        found, owners = {}, {self.blocks[name].population for name in blocks}
        demand(type(said) is dict and said.keys() == owners, "its cost is not one for each population it touches")
        for name, values in said.items():
            stated = vector(values, len(self.populations[name].orders))
            wrong, odd = price(event, self.populations[name].orders, stated)
            self.expect(not wrong, wrong)
            if odd:
                self.notes.setdefault(odd, self.label)
            found[name] = exact(stated)
        return found

    def settle(self, said: Any, blocks: Iterable[str], changes: dict[str, Any], charges: int) -> None:
        """Adds to the blocks and compares with what is stated: never below the exact sum, above it by rounding only.
        Rounding is measured by the largest sum there ever was: what is taken away leaves its rounding behind, and an
        infinite cost may leave infinity."""
        demand(
            type(said) is dict and said.keys() == set(blocks), "its standing is not of exactly the blocks it touches"
        )
        for name in blocks:
            block, standing = self.blocks[name], said[name]
            closed = self.rule(name) == "closed_plan"
            fields = {"sums", "charges", *(("used", "closed") if closed else ())}
            demand(standing.keys() == fields, f"its standing has not exactly {', '.join(sorted(fields))}")
            block.charges += charges
            block.sums = [a + b for a, b in zip(block.sums, changes[block.population], strict=True)]
            block.peak = list(map(max, block.peak, block.sums))
            block.stated = exact(vector(standing["sums"], len(block.sums)))
            for due, peak, stated in zip(block.sums, block.peak, block.stated, strict=True):
                if not min(due, INFINITE) <= stated <= due + (peak >> 30 if peak < INFINITE else peak):
                    self.expect(False, f"a sum of {name} is {rounded(stated)!r}, that of its charges {rounded(due)!r}")
                    break
            right = whole(standing["charges"], 0) == block.charges
            self.expect(right, f"{block.charges} charges to {name} stand, it says {standing['charges']}")
            if closed:
                used = sorted(whole(place, 0) for place in listed(standing["used"])) == sorted(block.used)
                right = used and standing["closed"] is not block.outside
                self.expect(right, f"its used places in the plan of {name}, or that it is closed, is not so")

    def rule(self, name: str) -> Any:
        return self.populations[self.blocks[name].population].rule

    def fits(self, name: str, more: Iterable[int]) -> bool:
        """`renyi_filter`: whether some order is within its cap, by the larger of exact and stated sums."""
        block = self.blocks[name]
        levels = map(max, block.sums, block.stated)
        caps = self.populations[block.population].caps
        return any(level + cost <= cap for level, cost, cap in zip(levels, more, caps, strict=True))

    def places(self, name: str, release: Any, event: Event) -> set[int]:
        """`closed_plan`: the places that a charge may take."""
        block, population = self.blocks[name], self.populations[self.blocks[name].population]
        if block.outside or population.plan_epsilon > population.epsilon:
            return set()
        return {i for i, item in enumerate(population.plan) if item == (release, event) and i not in block.used}

    def admitted(self, blocks: list[str]) -> None:
        for name in blocks:
            room = self.rule(name) == "closed_plan" or self.fits(name, [0] * len(self.blocks[name].sums))
            self.expect(room, f"it was admitted, but no order of {name} is within its cap")

    def report(self) -> dict[str, Any]:
        populations: dict[str, Any] = {}
        for name, population in self.populations.items():
            shown = {
                key: getattr(population, key) for key in ("unit", "unit_by", "epsilon", "delta", "rule", "plan_epsilon")
            }
            populations[name] = {**shown, "blocks": {}}
        for name, block in self.blocks.items():
            population = self.populations[block.population]
            over = min(rounded(level) - rounded(cap) for level, cap in zip(block.sums, population.caps, strict=True))
            spent = max(0.0, population.epsilon + over) if any(block.sums) else 0.0
            if population.rule == "closed_plan" and not block.outside:
                spent = population.plan_epsilon if block.charges else 0.0
            stands = {
                "charged": spent if spent < math.inf else "inf",
                "charges": block.charges,
                "states": dict(+block.states),
            }
            populations[block.population]["blocks"][name] = stands
        facts = {"intact": not self.problems, "ledger": self.ledger, "seq": self.seq, "head": self.head}
        facts |= {"acts_signed": self.acts[True], "acts_by_name_only": self.acts[False]}
        notes = [f"{label}: {sentence}" for sentence, label in self.notes.items()]
        return {**facts, "populations": populations, "problems": self.problems, "notes": notes}


def show(report: dict[str, Any]) -> None:
    print(f"ledger {report['ledger']}, head {report['seq']} {short(report['head'])}")
    for name, said in report["populations"].items():
        plan = "" if said["plan_epsilon"] is None else f", the plan {said['plan_epsilon']:.4g} as stated"
        print(
            f"\n{name}: epsilon {said['epsilon']:g} at delta {said['delta']:g} a {said['unit']}, {said['rule']}{plan}"
        )
        for block, stands in said["blocks"].items():
            states = ", ".join(f"{number} {state}" for state, number in stands["states"].items())
            print(f"  {block:40} {float(stands['charged']):8.4g} charged by {stands['charges']}: {states or 'nothing'}")
    unsigned = f"{report['acts_by_name_only']} by a name only, which nobody authenticated"
    print(f"\nwhat took two people: {report['acts_signed']} signed by a key, {unsigned}")
    print(*(f"note, {note}" for note in report["notes"]), *report["problems"], sep="\n")
    intact = "INTACT, if a checkpoint kept elsewhere names this head"
    print(intact if report["intact"] else f"NOT INTACT: {len(report['problems'])} problems")


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("journal", type=Path)
    parser.add_argument("--json", action="store_true", help="for programs")
    arguments, replay = parser.parse_args(), Replay()
    try:
        with arguments.journal.open("rb") as file:
            while line := file.readline(LONGEST_LINE + 1):
                replay.read(line)
        if not replay.seq:
            raise OSError("it is empty")
    except OSError as error:
        print(f"{arguments.journal} cannot be read: {error}", file=sys.stderr)
        return 2
    report = replay.report()
    if arguments.json:
        print(json.dumps(report))
    else:
        show(report)
    return 0 if report["intact"] else 1


if __name__ == "__main__":
    sys.exit(main())
