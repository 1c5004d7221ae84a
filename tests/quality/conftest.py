"""A small contract and corpus for the quality room."""

from types import SimpleNamespace

import pandas as pd
import pytest

from dpsynth_assets.contract.source_terms import PersonalData

TOPICS = ("card", "loan", "app")


@pytest.fixture
def contract():
    """Make a contract with the given rules; only what the room reads of it."""

    def make(*rules):
        text = SimpleNamespace(column="message")
        labels = (
            SimpleNamespace(column="topic", values=TOPICS),
            SimpleNamespace(column="safety", values=("safe", "unsafe")),
        )
        privacy = SimpleNamespace(text=text, labels=labels, personal_data=PersonalData())
        return SimpleNamespace(id="inbox", digest="c" * 64, privacy=privacy, quality=rules)

    return make


@pytest.fixture
def corpus():
    """200 distinct rows that meet every platform rule."""
    return pd.DataFrame(
        {
            "message": [f"please look into request {i} of mine" for i in range(200)],
            "topic": [TOPICS[i % 3] for i in range(200)],
            "safety": ["safe" if i % 4 else "unsafe" for i in range(200)],
        }
    )
