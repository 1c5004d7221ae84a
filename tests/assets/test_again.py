"""Runs that are launched in place of failed ones, and runs of the terminal after one that was stopped: both go on with
what was paid for."""

from __future__ import annotations

import dagster as dg
import pytest

from dpsynth_assets.language import finetuning


def spent(book) -> float:
    return book.balance("small-bank", with_pld=False).epsilon_spent


def charges(book) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in book.reservations():
        found.setdefault(each.release.partition("/")[2], []).append(each.state)
    return found


@pytest.fixture
def launched_again(run):
    """Launches a run as Dagster's daemon does in place of a failed one: with its strategy `ALL_STEPS`."""

    def launch(first: dg.ExecuteInProcessResult, number: int, *names: str) -> dg.ExecuteInProcessResult:
        tags = {
            "dagster/root_run_id": first.run_id,
            "dagster/parent_run_id": first.run_id,
            "dagster/retry_number": str(number),
        }
        return run(*names, tags=tags)

    return launch


RELEASES = ("source", "label_histogram", "adapter")


def test_a_retry_uses_what_its_launch_has_paid_for(run, launched_again, rooms, book, store):
    first = run(*RELEASES)
    assert first.success
    before, made = spent(book), store.latest("small", "adapter").id
    for number in (1, 2):
        assert launched_again(first, number, *RELEASES).success
    assert (spent(book), store.latest("small", "adapter").id) == (before, made)
    assert charges(book) == {"label_histogram": ["committed"], "adapter": ["committed"]}


def test_a_retry_of_a_release_that_failed_is_refused(run, launched_again, rooms, book, failure_of, refusal_of):
    def fail(frame):
        raise RuntimeError

    rooms.train = fail
    first = run(*RELEASES)
    rooms.train = lambda frame: None
    before = spent(book)
    for number in (1, 2, 3):
        again = launched_again(first, number, *RELEASES)
        assert "a retry is not charged again" in str(failure_of(again, "adapter"))
    assert spent(book) == before
    assert charges(book) == {"label_histogram": ["committed"], "adapter": ["forfeited"]}
    assert "refused small/adapter" in refusal_of(run("adapter"), "adapter").description, (
        "a run of its own is asked anew"
    )


def test_a_retry_takes_over_what_was_cut_off(run, launched_again, rooms, book):
    def stop(frame):
        raise KeyboardInterrupt

    rooms.train = stop
    first = run(*RELEASES)
    rooms.train = lambda frame: None
    assert launched_again(first, 1, *RELEASES).success
    assert charges(book) == {"label_histogram": ["committed"], "adapter": ["committed"]}


def test_a_retry_of_a_run_that_lives_is_refused(run, launched_again, rooms, book, failure_of, monkeypatch):
    """Dagster took it for dead: its adapter is reserved, and is going to be charged."""
    retries: list[dg.ExecuteInProcessResult] = []

    class First:
        @property
        def run_id(self) -> str:
            return book.reservations()[-1].owner

    def meanwhile(contract, plan):
        if not retries:
            retries.append(launched_again(First(), 1, "adapter"))

    monkeypatch.setattr(finetuning, "prepare", meanwhile)
    assert run(*RELEASES).success
    assert "a retry is not charged again" in str(failure_of(retries[0], "adapter"))
    assert charges(book) == {"label_histogram": ["committed"], "adapter": ["committed"]}
