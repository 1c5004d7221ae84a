"""Export and screening: the folder, its parity with torch, and a loader that needs neither torch nor this platform."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dpsynth_assets.classify.encoder import MiniLM
from dpsynth_assets.classify.errors import ClassifierError
from dpsynth_assets.classify.head import train_head
from dpsynth_assets.classify.neural import Neural
from dpsynth_assets.classify.recipes import Frozen
from dpsynth_assets.classify.tuned import TunedMiniLM
from dpsynth_assets.classify.word_cnn import CnnShape, WordCnn
from dpsynth_assets.safety import export
from dpsynth_assets.safety.calibration import Platt
from dpsynth_assets.safety.rows import CLASSES
from dpsynth_assets.safety.screening import Screener, ScreeningError, outcome
from dpsynth_assets.safety.threshold import Bound, Targets, Thresholds
from ledger import Ledger
from resources.seals import digests_in

pytestmark = pytest.mark.slow

NOUNS = ("card", "loan", "app", "transfer", "branch", "fee", "manager", "password")
SAFE = [f"please help me with my {a} and the {b}, thank you" for a in NOUNS for b in NOUNS]
UNSAFE = [f"you {a} idiots, I will burn your {b} down" for a in NOUNS for b in NOUNS]
ODD = ["", "a", "!!!", "naïve café ☕", "word " * 400, "ends in half a pair \ud83d"]
THRESHOLDS = Thresholds(Targets(), 0.7, 0.3, Bound(1, 1, 0.5), Bound(1, 1, 0.5), 1, 1, 0.5)


@pytest.fixture(scope="module")
def encoder():
    return MiniLM()


@pytest.fixture(scope="module")
def head(encoder):
    texts = SAFE[::4] + UNSAFE[::4]
    labels = [CLASSES[0]] * 16 + [CLASSES[1]] * 16
    return Frozen(train_head(encoder.encode(texts), labels, CLASSES, seed=0), encoder)


@pytest.fixture(scope="module")
def cnn():
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = WordCnn(CnnShape(), 2, dropout=0.5).eval()
        with torch.no_grad():
            network.output.weight.mul_(4)
    return Neural("word_cnn", CLASSES, network, temperature=1.7)


@pytest.fixture(scope="module")
def exported(cnn, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    export.write(export.small("word_cnn", cnn), Platt(1.5, -0.25), THRESHOLDS, {"labels": {"unsafe": "rude"}}, folder)
    return folder


def test_the_students_fit_their_budgets(head, cnn):
    assert export.small("minilm", head).bytes < 25_000_000
    assert export.small("word_cnn", cnn).bytes < 5_000_000


@pytest.mark.parametrize("student", ["minilm", "word_cnn", "minilm_tuned"])
def test_the_graph_without_rounding_is_the_network(student, head, cnn):
    classifier = {"minilm": head, "word_cnn": cnn}.get(student)
    if classifier is None:
        classifier = Neural(student, CLASSES, TunedMiniLM(MiniLM(max_tokens=128), 2, head.head).eval(), 0.8)
    texts = [*SAFE[:3], *UNSAFE[:3], *ODD]
    np.testing.assert_allclose(
        export.small(student, classifier, int8=False).log_odds(texts), export.log_odds(classifier, texts), atol=2e-4
    )


def test_int8_says_nearly_the_same(head, cnn):
    texts = [*SAFE, *UNSAFE]
    for student, classifier in (("minilm", head), ("word_cnn", cnn)):
        exact, small = export.log_odds(classifier, texts), export.small(student, classifier).log_odds(texts)
        assert (np.abs(exact - small) > 0).any(), "something was rounded"
        assert np.std(exact - small) < 0.02 * np.std(exact), student


def test_a_head_trained_on_the_device_s_encoder_is_exported_as_it_was_trained(head):
    rounded = Frozen(head.head, export.device_encoder())
    texts = [*SAFE, *UNSAFE, *ODD]
    kept, exported = export.log_odds(rounded, texts), export.small("minilm", rounded).log_odds(texts)
    np.testing.assert_allclose(exported, kept, atol=1e-4)
    assert np.abs(export.log_odds(head, texts) - exported).max() > 1e-3, "the weights were rounded"


def test_a_folder_says_what_is_in_it(exported):
    manifest = json.loads((exported / "manifest.json").read_text())
    assert manifest["input"]["name"] == "tokens"
    assert manifest["output"]["name"] == "probability"
    assert manifest["labels"] == {"unsafe": "rude"}
    assert manifest["bytes"] == sum((exported / name).stat().st_size for name in manifest["files"])
    assert manifest["thresholds"]["block"] == 0.7
    from dpsynth_assets.safety.threshold import thresholds_from

    assert thresholds_from(manifest["thresholds"]) == THRESHOLDS


def test_probabilities_are_calibrated_and_do_not_depend_on_neighbours(exported, cnn):
    screener = Screener(exported)
    texts = [*SAFE[:4], *ODD, *UNSAFE[:4]]
    together = screener.probabilities(texts)
    np.testing.assert_allclose(together, Platt(1.5, -0.25)(export.log_odds(cnn, texts)), atol=0.01)
    np.testing.assert_array_equal(together[::-1], screener.probabilities(texts[::-1]))
    found = screener.screen(SAFE[0])
    assert found.outcome == outcome(found.probability, 0.7, 0.3)


def test_three_ways():
    assert [outcome(p, 0.7, 0.3) for p in (0.0, 0.29, 0.3, 0.69, 0.7, 1.0)] == [
        "allow", "allow", "review", "review", "block", "block",
    ]  # fmt: skip
    assert outcome(1.0, None, 0.3) == "review", "without a threshold nothing is blocked"


def test_an_export_that_decides_otherwise_is_refused(exported):
    screener = Screener(exported)
    texts = [*SAFE, *UNSAFE]
    same = screener.probabilities(texts)
    assert export.parity(same, screener, texts) == {"texts": 128, "agreement": 1.0, "max_difference": 0.0}
    shifted = np.where(np.arange(128) < 2, 1 - same, same)
    shifted[:2] = np.where(same[:2] < 0.7, 0.99, 0.01)
    with pytest.raises(ClassifierError, match="was not exported"):
        export.parity(shifted, screener, texts)


def test_a_folder_that_was_changed_is_refused(exported, tmp_path):
    import shutil

    def copy() -> Path:
        shutil.rmtree(tmp_path / "c", ignore_errors=True)
        return Path(shutil.copytree(exported, tmp_path / "c"))

    with pytest.raises(ScreeningError, match=r"manifest\.json is missing"):
        Screener(tmp_path)
    folder = copy()
    data = bytearray((folder / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "model.onnx").write_bytes(data)
    with pytest.raises(ScreeningError, match="not the file that was exported"):
        Screener(folder)
    folder = copy()
    (folder / "model.onnx").unlink()
    with pytest.raises(ScreeningError, match=r"model\.onnx is missing"):
        Screener(folder)
    for text in ("{", "[]", "{}", '{"format": 1, "files": {}}'):
        (folder / "manifest.json").write_text(text)
        with pytest.raises(ScreeningError):
            Screener(folder)


def test_other_classifiers_are_refused(cnn):
    with pytest.raises(ClassifierError, match="two classes"):
        export.small("word_cnn", Neural("word_cnn", ("a", "b", "c"), cnn.network))


LOADER = """
import sys
from pathlib import Path
from dpsynth_assets.safety.screening import Screener
found = Screener(Path(sys.argv[1])).screen("some text")
assert found.outcome in ("allow", "review", "block")
heavy = ("torch", "transformers", "dagster", "sklearn", "scipy", "pandas", "duckdb", "onnx", "dp_accounting")
print([name for name in heavy if name in sys.modules])
"""


def test_a_device_needs_no_torch(exported, head, tmp_path):
    export.write(export.small("minilm", head), Platt(1.0, 0.0), THRESHOLDS, {}, tmp_path)
    for folder in (exported, tmp_path):
        done = subprocess.run([sys.executable, "-c", LOADER, str(folder)], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


def test_the_command_screens_a_stream(exported, tmp_path):
    """In a fresh process, as `printf ... | dpsynth screen -`."""
    code = "from dpsynth_assets.cli import main; main(); "
    environment = {**os.environ, "DPSYNTH_HOME": str(tmp_path / "home")}
    made = tmp_path / "home" / "artifacts" / "small" / "safety_classifier"
    shutil.copytree(exported, made / "one" / "word_cnn")
    receipt = {"created": "2026-01-01T00:00:00+00:00", "id": "one", "about": {"student": "word_cnn"}}
    (made / "one" / "receipt.json").write_text(json.dumps(receipt))
    book = Ledger.create(tmp_path / "home" / "ledger" / "ledger.duckdb")
    book.seal("small/safety_classifier", "one", digests_in(made / "one"), protected=False)
    done = subprocess.run(
        [sys.executable, "-c", code, "screen", "-"],
        input=f"{SAFE[0]}\n\n{UNSAFE[0]}\nna\xefve".encode("latin-1"),
        capture_output=True,
        env=environment,
        check=True,
    )
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["line"] for each in said] == [1, 3, 4]
    screener = Screener(exported)
    for each, text in zip(said, (SAFE[0], UNSAFE[0], "na\ufffdve"), strict=True):
        found = screener.screen(text)
        assert each == {"line": each["line"], "outcome": found.outcome, "probability": round(found.probability, 6)}
