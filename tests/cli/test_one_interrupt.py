"""Ctrl-C between Dagster's own handlers: never lost, and never raised a second time."""

from __future__ import annotations

import os
import signal
import time

import pytest
from dagster._utils.interrupts import capture_interrupts, raise_interrupts_as

from dpsynth_assets.cli.interrupts import one_interrupt


class Ended(BaseException):
    """What a step is interrupted with."""


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.05)


def test_the_second_one_does_not_cut_off_what_the_first_began():
    done = []

    def step():
        with raise_interrupts_as(Ended):
            try:
                ctrl_c()
            finally:
                ctrl_c()
                done.append("put away")

    with one_interrupt():
        with pytest.raises(Ended):
            step()
        ctrl_c()
        done.append("said")
    ctrl_c()  # while the process ends
    assert done == ["put away", "said"]


def test_one_that_was_noted_between_two_steps_is_not_forgotten():
    def next_step():
        with raise_interrupts_as(Ended):
            time.sleep(5)

    with one_interrupt():
        with capture_interrupts():
            ctrl_c()
        with pytest.raises(Ended):
            next_step()


def test_one_that_came_too_late_to_end_anything_changes_nothing():
    before = signal.getsignal(signal.SIGINT)
    with one_interrupt(), capture_interrupts():
        ctrl_c()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_process_that_does_not_end_can_still_be_terminated():
    def step():
        with raise_interrupts_as(Ended):
            ctrl_c()

    with pytest.raises(Ended), one_interrupt():
        step()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_where_nobody_interrupts_all_is_as_before():
    before = signal.getsignal(signal.SIGINT)
    with one_interrupt(), raise_interrupts_as(Ended):
        pass
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt):
        ctrl_c()
