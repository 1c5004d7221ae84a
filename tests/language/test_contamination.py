"""Shared runs are found, wherever they stand; other texts are not; the file is the same every time or refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpsynth_assets.language.base_model import EMBEDDED_FOLDER
from dpsynth_assets.language.contamination.fingerprints import Fingerprinter, Shape, words
from dpsynth_assets.language.contamination.index import FALSE_POSITIVES, CorpusIndex, CorpusIndexError
from dpsynth_assets.language.contamination.overlap import measure, overlapping

SHARED = Path(__file__).parents[3] / "shared" / "data"
SHAPE = Shape(n=4, window=5)


def text_of(prefix: str, length: int, seed: int = 0) -> list[str]:
    """Words that no text of another prefix has."""
    return [f"{prefix}{number}" for number in np.random.default_rng(seed).integers(0, 1_000, length)]


# --- fingerprints ---


@settings(max_examples=200)
@given(
    n=st.integers(1, 6),
    window=st.integers(1, 7),
    before=st.tuples(st.integers(0, 30), st.integers(0, 30)),
    after=st.tuples(st.integers(0, 30), st.integers(0, 30)),
    more=st.integers(0, 20),
    seed=st.integers(0, 1_000),
)
def test_every_shared_run_of_n_plus_window_less_1_words_is_found(n, window, before, after, more, seed) -> None:
    shape = Shape(n, window)
    run = text_of("run", shape.found_for_certain + more, seed)
    corpus = [*text_of("a", before[0]), *run, *text_of("b", after[0])]
    record = [*text_of("c", before[1]), *run, *text_of("d", after[1])]
    index = CorpusIndex.of([" ".join(corpus), "something else"], "test", shape)
    assert overlapping([" ".join(record)], index).tolist() == [True]


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(st.lists(st.sampled_from("uvwxyz"), max_size=20).map(" ".join), max_size=8))
def test_fingerprints_of_a_batch_are_those_of_each_text_by_definition(texts) -> None:
    fingerprinter = Fingerprinter(SHAPE)
    values, owners = fingerprinter(texts)
    assert (np.diff(owners) >= 0).all()
    for number, text in enumerate(texts):
        found = text.split()
        grams = [" ".join(found[i : i + SHAPE.n]) for i in range(max(1, len(found) - SHAPE.n + 1))]
        hashes = [int(fingerprinter([gram])[0][0]) for gram in grams if gram]
        windows = [hashes[i : i + SHAPE.window] for i in range(max(1, len(hashes) - SHAPE.window + 1))]
        assert set(values[owners == number].tolist()) == {min(window) for window in windows if window}


def test_runs_do_not_cross_from_one_text_into_the_next() -> None:
    words_ = text_of("x", 40)
    index = CorpusIndex.of([" ".join(words_[:20]), " ".join(words_[20:])], "test", SHAPE)
    across = " ".join(words_[20 - SHAPE.n + 1 : 20 + SHAPE.n - 1])  # no 4-gram of it lies within one text
    assert not overlapping([across], index).any()


def test_about_two_in_window_plus_one_are_kept() -> None:
    values, _ = Fingerprinter(Shape())([" ".join(text_of("x", 20_000))])
    assert len(values) / 20_000 == pytest.approx(2 / (Shape.window + 1), rel=0.05)


def test_layout_punctuation_and_case_do_not_count() -> None:
    assert words("The  “Quick”,\nbrown-fox_ JUMPS!") == ["the", "quick", "brown", "fox", "jumps"]
    assert words("Straße ﬁne") == words("STRASSE fine")
    assert words("?!  \n") == words("") == []


def test_short_texts_are_found_as_a_whole() -> None:
    index = CorpusIndex.of(["Thank you!", "where is my card", "one two three four five six"], "test", Shape())
    asked = ["thank you", "Where is my card?", "thank", "you thank", "is my card", "", "one two three four five six"]
    assert overlapping(asked, index).tolist() == [True, True, False, False, False, False, True]


def test_texts_that_no_encoding_takes_are_texts_all_the_same() -> None:
    odd = " ".join([*text_of("x", 10), "\ud800half", *text_of("y", 10)])
    assert overlapping([odd, "\ud800"], CorpusIndex.of([odd], "test", SHAPE)).tolist() == [True, False]


# --- the index ---


def test_what_is_not_there_is_found_at_the_stated_rate_at_most() -> None:
    index = CorpusIndex.of([" ".join(text_of("x", 2_000, seed)) for seed in range(50)], "test")
    rng = np.random.default_rng(1)
    asked = rng.integers(0, 2**63, 1_000_000, dtype=np.uint64)
    expected = FALSE_POSITIVES * len(asked)  # 15
    assert expected / 2 < index.holds(asked).sum() < expected + 6 * expected**0.5
    fingerprints = Fingerprinter(index.shape)([" ".join(text_of("x", 2_000, 7))])[0]
    assert index.holds(fingerprints).all()


def test_other_text_overlaps_no_more_than_by_chance() -> None:
    index = CorpusIndex.of([" ".join(text_of("x", 5_000, seed)) for seed in range(20)], "test")
    texts = [" ".join(text_of("y", 200, seed)) for seed in range(3_000)]
    overlap = measure(texts, index)
    assert overlap.records == 3_000
    assert 0.5 < overlap.by_chance < 3
    assert overlap.overlapping <= 8
    assert overlap.share == overlap.overlapping / 3_000


@settings(max_examples=50, deadline=None)
@given(texts=st.lists(st.text(alphabet="abc def", min_size=1), min_size=1), seed=st.randoms())
def test_the_file_depends_on_the_texts_alone_and_comes_back(texts, seed, tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("index")
    texts = [*texts, "a word at least"]
    CorpusIndex.of(texts, "test", SHAPE).save(folder / "one.idx")
    seed.shuffle(texts)
    CorpusIndex.of(texts, "test", SHAPE).save(folder / "two.idx")
    assert (folder / "one.idx").read_bytes() == (folder / "two.idx").read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == ["one.idx", "two.idx"]
    found = CorpusIndex.load(folder / "one.idx")
    assert overlapping(texts, found).tolist() == [bool(words(text)) for text in texts]
    assert found.about == CorpusIndex.of(texts, "test", SHAPE).about


@pytest.mark.parametrize("stride", [1, 1_999])
def test_a_corpus_of_several_batches_is_the_same_as_its_parts(stride) -> None:
    texts = [" ".join(text_of(f"t{number}x", 6)) for number in range(5_000)]
    index = CorpusIndex.of(iter(texts), "test", SHAPE)
    assert index.about.documents == 5_000
    assert overlapping(texts[::stride], index).all()


def test_a_corpus_without_a_word_is_refused() -> None:
    with pytest.raises(ValueError, match="no word"):
        CorpusIndex.of(["...", ""], "test")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.idx"
    CorpusIndex.of([" ".join(text_of("x", 500))], "test").save(path)
    return path


def flipped(data: bytes) -> bytes:
    return data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: b"", "not a corpus index"),
        (lambda data: b"PK\x03\x04" + data, "not a corpus index"),
        (lambda data: b"[1, 2]\n" + data, "not a corpus index"),
        (lambda data: data.replace(b"index 1", b"index 2"), "not a corpus index"),
        (lambda data: data.replace(b'"n": 8', b'"n": 0'), "not a corpus index"),
        (lambda data: data.replace(b'"n": 8', b'"m": 8'), "not a corpus index"),
        (lambda data: data[:-1], "damaged or cut short"),
        (lambda data: data + b"\0", "damaged or cut short"),
        (flipped, "damaged or cut short"),
    ],
)
def test_a_damaged_or_foreign_file_is_refused_by_name(file: Path, damage, said) -> None:
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(CorpusIndexError, match=said) as caught:
        CorpusIndex.load(file)
    assert str(file) in str(caught.value)
    assert "python -m dpsynth_assets.language.contamination" in str(caught.value)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CorpusIndexError, match=r"none\.idx: no corpus index"):
        CorpusIndex.load(tmp_path / "none.idx")


def test_the_command_indexes_whole_documents_and_what_users_say(tmp_path: Path) -> None:
    dialogue = "User: I need a flight. Assistant: Where to? User: To Rome, please, tomorrow."
    lines = [{"source": "letters", "text": " ".join(text_of("x", 900))}, {"source": "sgd_dialogues", "text": dialogue}]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = [sys.executable, "-m", "dpsynth_assets.language.contamination", "--data", str(tmp_path / "*.jsonl")]
    command += ["--out", str(tmp_path / "made.idx"), "--corpus", "test", "--window", "6"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "every shared run of 13 words" in done.stderr
    index = CorpusIndex.load(tmp_path / "made.idx")
    cut = " ".join(text_of("x", 900)[440:453])  # wherever the recipe would cut, the run is there
    assert overlapping([dialogue, "To Rome, please, tomorrow!", cut], index).all()


# --- the embedded model's ---


@pytest.fixture(scope="module")
def embedded() -> CorpusIndex:
    return CorpusIndex.load(EMBEDDED_FOLDER / "corpus.idx")


def test_the_embedded_index_is_small() -> None:
    assert (EMBEDDED_FOLDER / "corpus.idx").stat().st_size < 12e6


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data is not here")
def test_documents_of_the_mix_overlap_and_ag_news_hardly_does(embedded: CorpusIndex) -> None:
    import itertools

    import pandas as pd

    from dpsynth_assets.language.documents import read_documents

    documents = itertools.islice(read_documents(str(SHARED / "public_mix-1.jsonl.xz")), 0, 6_000, 6)
    texts = [text for _, text in documents if words(text)]
    assert measure(texts, embedded).share == 1
    news = measure(pd.read_parquet(SHARED / "ag_news.parquet")["text"].tolist()[:2_000], embedded)
    assert news.share - news.by_chance / news.records < 0.002
