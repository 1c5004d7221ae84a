"""What each method can hear: votes and words take as many people however many there are, adapters do not."""

from __future__ import annotations

from benchmarks.reach import declared, figures, large
from dpsynth_assets.releases.adapter import ADAPTER
from dpsynth_assets.releases.evolution import EVOLUTION
from dpsynth_assets.releases.key_phrases import KEY_PHRASES


def test_the_noise_of_votes_and_of_words_knows_no_number_of_units():
    for name, method, release, figure in (
        ("ag_news_evolution", "private_evolution-3", EVOLUTION, "noise_deviation"),
        ("ag_news_phrases", "key_phrases-3", KEY_PHRASES, "least_count_of_eight_letters"),
    ):
        few, many = (figures(declared(name, units), method, release)[figure] for units in (1_000, 100_000))
        assert few == many


def test_an_adapter_of_one_batch_size_needs_more_units_of_more_and_large_batches_fewer():
    few, many = (declared("ag_news_smollm2", units) for units in (5_000, 100_000))
    heard = [figures(each, "lora-3", ADAPTER)["fewest_units_that_are_heard"] for each in (few, many, large(many))]
    assert heard[0] < heard[1]
    assert heard[2] < heard[1]
