"""What released counts say of the source: nothing to learn from, and labels that nobody has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dpsynth_assets.privacy.histogram import label_plan
from dpsynth_assets.releases.label_histogram import LABEL_HISTOGRAM
from dpsynth_assets.synthesis.label_histogram import NoRowsError, of_nobody, require_rows


def sized(contract, public_count, **label):
    """The small contract about so many units, at the noise of scale 4 that it has."""
    terms = contract.privacy
    labels = (terms.labels[0].model_copy(update=label),)
    unit = terms.unit.model_copy(update={"public_count": public_count})
    return replace(contract, privacy=terms.model_copy(update={"unit": unit, "labels": labels}))


def released(contract, **having):
    """Noisy counts where so many records have each label."""
    records = [(label,) for label, count in having.items() for _ in range(count)]
    return label_plan(contract, LABEL_HISTOGRAM, 1.0).release(records, [str(number) for number in range(len(records))])


@pytest.mark.parametrize("records", [0, 1])
def test_a_source_of_next_to_nobody_is_stopped_whatever_the_noise_says(contract, records):
    many = sized(contract, 5000)
    for _ in range(200):
        with pytest.raises(NoRowsError, match=r"capitals.*source_where.*small/source again"):
            require_rows(many, released(many, card=records), 1.0)


def test_half_of_what_is_promised_passes_whatever_the_noise_says(contract):
    for public_count in (40, 200, 500, 5000):  # of few units, noise is more than what half of them have
        some = sized(contract, public_count)
        for _ in range(100):
            require_rows(some, released(some, card=public_count // 2), 1.0)


def test_of_few_units_with_much_noise_nothing_can_be_told_and_nothing_is_stopped(contract):
    require_rows(sized(contract, 40), {("card",): 0, ("loan",): 0}, 1.0)


def test_a_quick_pass_is_held_against_its_share_of_the_units(contract):
    counts = {("card",): 600, ("loan",): 100}
    require_rows(sized(contract, 50_000), counts, 0.02)
    with pytest.raises(NoRowsError, match="promises 50000 customers"):
        require_rows(sized(contract, 50_000), counts, 1.0)


def test_a_label_that_nobody_has_is_named_and_one_of_a_few_hundred_is_not(contract):
    three = sized(contract, 5000, values=("card", "loan", "Fraud"))
    plan = label_plan(three, LABEL_HISTOGRAM, 1.0)
    counts = {("card",): 4000, ("loan",): 300, ("Fraud",): 11}  # the scale is 4: eleven are noise
    warning = of_nobody(three, plan, counts)
    assert warning is not None
    assert "topic: Fraud, as far" in warning
    assert of_nobody(three, plan, counts | {("Fraud",): 300}) is None
