"""The audit accuses broken training and not right training, and every fault has an exact test that finds it."""

from types import SimpleNamespace

import pytest

from benchmarks import faults
from benchmarks.broken_mechanisms import audited, cells
from benchmarks.faults import FAULTS
from dpsynth_assets.privacy.noise import GaussianNoise

NAMED = {fault.name: fault for fault in FAULTS}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["no noise", "a tenth of the noise", "no clipping", "clipping after averaging"])
def test_a_fault_refutes_the_promise(name):
    with NAMED[name].put_in():
        assert audited().refuted


@pytest.mark.slow
def test_right_training_is_not_accused():
    # One run in twenty may be, and coins and noise have no seed: that three are is rarer than once in 8,000.
    assert any(not audited().refuted for _ in range(3))


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_exact_test_that_is_named_finds_the_fault(fault):
    assert fault.is_found()


def test_a_fault_is_in_within_its_context_alone_also_after_an_error():
    right = GaussianNoise.add_

    def fails():
        with NAMED["the same noise twice"].put_in():
            assert GaussianNoise.add_ is not right
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert GaussianNoise.add_ is right


@pytest.mark.slow
def test_a_test_that_cannot_be_run_finds_nothing(monkeypatch):
    with pytest.raises(RuntimeError, match="could not be run"):
        faults.passes("tests/no_such_test.py")
    monkeypatch.setattr(faults.sys, "executable", "/bin/false")  # exits as pytest does where tests fail
    with pytest.raises(RuntimeError, match="could not be run"):
        faults.passes("tests/privacy/test_noise.py")


@pytest.mark.slow
def test_what_is_tried_runs_where_nothing_is_imported_from_the_working_directory(monkeypatch, tmp_path):
    passing = tmp_path / "test_one.py"
    passing.write_text("def test_one():\n    import benchmarks.faults\n")
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    assert faults.passes(str(passing))


@pytest.mark.parametrize(("bounds", "said"), [((2.0, 3.0, 1.5), "yes, 3 of 3"), ((0.1, 2.0, 0.0), "at times, 1 of 3"),
                                              ((0.0, 1.0, 0.5), "no, 0 of 3")])  # fmt: skip
def test_the_table_says_what_was_measured(bounds, said, monkeypatch):
    left = [SimpleNamespace(lower_bound=bound, refuted=bound > 1.0) for bound in bounds]
    monkeypatch.setattr("benchmarks.broken_mechanisms.audited", left.pop)
    monkeypatch.setattr(faults, "passes", lambda *tests, fault: True)  # with the fault in: it is not found
    name, found, measured, caught = cells(NAMED["no noise"], 3)
    low, middle, high = sorted(bounds)
    assert (name, measured, caught) == ("no noise", f"{middle:.2f} ({low:.2f} to {high:.2f})", said)
    assert found.startswith("not by")
