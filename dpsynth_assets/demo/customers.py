"""The fictional customers: who they are, and how they write.

Every detail is invented. Card numbers fail the Luhn check, phone numbers lie in 555-0100 to 555-0199 (reserved for
fiction), e-mail addresses are at example.com and example.org. They are planted so that a leak would be visible.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from typing import Literal

from dpsynth_assets.demo.phrases.everyday import SLOTS
from dpsynth_assets.demo.phrases.people import AREA_CODES, FIRST_NAMES, LAST_NAMES, TREES, WAYS

Register = Literal["plain", "terse", "chatty", "formal", "hasty", "clumsy"]

REGISTERS: dict[Register, float] = {
    "plain": 0.34,
    "terse": 0.14,
    "chatty": 0.18,
    "formal": 0.14,
    "hasty": 0.12,  # lower case, little punctuation
    "clumsy": 0.08,  # typing errors
}

Detail = Literal["name", "email", "phone", "card", "account", "address"]


@dataclass(frozen=True)
class Customer:
    """One privacy unit of the demo."""

    customer_id: str
    first: str
    last: str
    email: str
    phone: str
    card: str
    account: str
    address: str
    register: Register

    @property
    def name(self) -> str:
        return f"{self.first} {self.last}"

    @property
    def details(self) -> dict[Detail, str]:
        """What identifies this customer, as it would be written in a message."""
        return {
            "name": self.name,
            "email": self.email,
            "phone": self.phone,
            "card": self.card,
            "account": self.account,
            "address": self.address,
        }

    @property
    def slots(self) -> dict[str, str]:
        """Values for the slots of the phrase material that belong to this person alone."""
        own: dict[str, str] = {"first": self.first, "card4": self.card[-4:]}
        own.update((kind, detail) for kind, detail in self.details.items())
        return own


def make_customers(count: int, seed: int) -> list[Customer]:
    """`count` different people; the same seed gives the same people in the same order, whatever the count."""
    rng = random.Random(f"{seed}/customers")
    names = list(itertools.product(FIRST_NAMES, LAST_NAMES))
    phones = [f"({area}) 555-01{line:02d}" for area in AREA_CODES for line in range(100)]
    if count > len(phones):
        raise ValueError(f"{count} customers asked, but the demo has only {len(phones)} fictional phone numbers")
    rng.shuffle(names)
    rng.shuffle(phones)
    accounts: set[str] = set()
    customers = []
    for number, ((first, last), phone) in enumerate(zip(names[:count], phones, strict=False), start=1):
        account = _account(rng)
        while account in accounts:
            account = _account(rng)
        accounts.add(account)
        customers.append(
            Customer(
                customer_id=f"C{number:05d}",
                first=first,
                last=last,
                email=_email(first, last, rng),
                phone=phone,
                card=_card_that_fails_luhn(rng),
                account=account,
                address=_address(rng),
                register=rng.choices(tuple(REGISTERS), tuple(REGISTERS.values()))[0],
            )
        )
    return customers


def luhn_valid(digits: str) -> bool:
    """Whether a number passes the check that every real card number passes."""
    total = 0
    for place, digit in enumerate(reversed(digits.replace(" ", ""))):
        doubled = int(digit) * (1 + place % 2)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def _card_that_fails_luhn(rng: random.Random) -> str:
    while True:
        digits = str(rng.randrange(4 * 10**15, 6 * 10**15))
        card = " ".join(digits[start : start + 4] for start in range(0, 16, 4))
        if not luhn_valid(card):
            return card


def _account(rng: random.Random) -> str:
    return str(rng.randrange(10_000_000, 100_000_000))


def _email(first: str, last: str, rng: random.Random) -> str:
    mailbox = rng.choice((f"{first}.{last}", f"{first[0]}{last}", f"{first}_{last}", f"{last}.{first}"))
    return f"{mailbox}{rng.randrange(10, 100)}@example.{rng.choice(('com', 'org'))}".lower()


def _address(rng: random.Random) -> str:
    return f"{rng.randrange(2, 980)} {rng.choice(TREES)} {rng.choice(WAYS)}, {rng.choice(SLOTS['town'])}"
