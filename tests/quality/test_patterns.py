"""The look-alike detectors: what they must see, and everyday text they must leave alone."""

import pytest

from dpsynth_assets.quality.patterns import DETECTORS, contains_any, has_card_number, has_email, has_iban, has_phone


@pytest.mark.parametrize(
    "text",
    [
        "my card 4111 1111 1111 1111 was declined",
        "4111-1111-1111-1111",
        "pay with 4111111111111111.",
        "amex 3782 822463 10005",
        "ref 1234 4111 1111 1111 1111",  # digits before it do not hide it
        "mastercard 2-series 2223003122003222",
    ],
)
def test_card_numbers_are_seen(text):
    assert has_card_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "my card 4111 1111 1111 1112 was declined",  # fails the Luhn check
        "order 0000 0000 0000 0000",
        "tracking 41111111111111111111111111",  # too long to be a card
        "I paid 1200 on 2024-03-05 and 1300 on 2024-04-05",
        "",
    ],
)
def test_other_digits_are_no_card_numbers(text):
    assert not has_card_number(text)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("send it to DE89 3704 0044 0532 0130 00 please", True),
        ("send it to DE89 3704 0044 0532 0130 00 NOW", True),
        ("GB82WEST12345698765432", True),
        ("GB82WEST12345698765433", False),
        ("AB12 is my booking code", False),
    ],
)
def test_ibans_need_their_checksum(text, seen):
    assert has_iban(text) is seen


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("write to jo.doe+bank@mail.example.org.", True),
        ("meet me @ the bank", False),
        ("user@localhost", False),
    ],
)
def test_emails(text, seen):
    assert has_email(text) is seen


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("call +49 30 1234 5678 today", True),
        ("call (555) 123-4567", True),
        ("call 555-123-4567", True),
        ("call 020 7946 0958", True),
        ("transfer of 12,500.00 on 2024-03-05", False),
        ("ticket 2024-000123", False),
        ("it took 3 to 5 days", False),
    ],
)
def test_phone_numbers(text, seen):
    assert has_phone(text) is seen


def test_contains_any_asks_only_the_named_detectors():
    assert contains_any("a@b.example", ["email"])
    assert not contains_any("a@b.example", ["card_number", "iban", "phone"])


def test_a_long_run_of_digits_and_capitals_is_scanned_quickly():
    """Generated text can be degenerate; no detector may backtrack over it for long."""
    for filler in ("1", "A1", "A1 ", "1 ", "a.", "a@", "+1"):
        contains_any(filler * 5_000, DETECTORS)
