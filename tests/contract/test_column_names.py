"""What is a column's name, and what looks like a value that stands where one belongs."""

from __future__ import annotations

import datetime

import pytest

from dpsynth_assets.contract.column_names import value_like

NAMES = [
    *(
        "What happened?",
        "Ticket Text",
        "Name des Haustiers",
        "Q1 2024 revenue (EUR)",
        "Umsatz 2023/2024",
        "text",
        "2024",
    ),
    *(
        "Straße, Hausnummer, PLZ, Ort, Land, Region",
        "Kd. Nr. / Kunden Nr.",
        "address_line_1",
        "ICD10 code",
        "17",
        "18-24",
    ),
    *("Datum der letzten Änd.", "Ticket\nText", "Anrede, Titel, Vorname und Nachname", "E-Mail", "Kunden@Firma", ""),
    "How satisfied were you, on a scale from 1 to 10, with our service, our prices, and the people who served you?",
    "Please describe in your own words what happened, including when and where you noticed the problem",
    *(2024, 3, 2019.0),
]
VALUES = {
    "Frau Krause 0, Tel 0171 998870, HIV positiv": "many digits",
    "Frau Krause, Tel unbekannt, HIV positiv": "a sentence",
    "Ich habe meine Karte verloren.": "a sentence",
    "Guten Morgen. Die App stürzt seit gestern ab": "a sentence",
    "Where is my card? I ordered it last week.": "a sentence",
    "Please help me now!": "a sentence",
    "krause@example.org": "an address",
    "2024-01-15": "a number or a date",
    "4711": "a number or a date",
    "12.5": "a number or a date",
    "0171 998870": "many digits",
    "so it goes on and on " * 8: "a long text",
    4711: "a number or a date",
    True: "a number or a date",
    datetime.datetime(2024, 1, 15): "a number or a date",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_no_doubt(name) -> None:
    assert value_like(name) is None


@pytest.mark.parametrize("value", VALUES)
def test_a_value_is_told_and_not_quoted(value) -> None:
    assert value_like(value) == VALUES[value]
