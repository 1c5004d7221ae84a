"""Secret random numbers: the key stream of AES-256 in counter mode, keyed by the operating system.

Sampling and noise are worth nothing to whoever can tell them in advance. So there is no way to pass a seed, the key is
drawn anew for each object, and it is stored nowhere: a resumed run has fresh randomness, as it must. Guarantee: nobody
who sees numbers of the stream can tell the others without breaking AES.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

if TYPE_CHECKING:
    from numpy.typing import NDArray


class SecretStream:
    """Uniform numbers that cannot be foretold. Not for use by several threads at once."""

    def __init__(self) -> None:
        self._stream = Cipher(algorithms.AES(secrets.token_bytes(32)), modes.CTR(bytes(16))).encryptor()

    def words(self, count: int) -> NDArray[np.uint64]:
        """Uniform 64-bit words, shape (count,)."""
        # The stream is what encryption adds to a message of zeros. The buffer holds one more block, as the API wants.
        buffer = bytearray(8 * count + 15)
        self._stream.update_into(bytes(8 * count), buffer)
        return np.frombuffer(buffer, dtype=np.uint64, count=count)

    def uniform(self, count: int) -> NDArray[np.float64]:
        """Multiples of 2^-53 in [0, 1), shape (count,)."""
        return (self.words(count) >> np.uint64(11)).astype(np.float64) * 2.0**-53
