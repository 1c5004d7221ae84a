"""all-MiniLM-L6-v2 with all its layers fine-tuned, on *synthetic* rows.

It starts as the frozen encoder with the head that was fitted to the same rows, and goes on from there: a linear layer
that starts at random pulls the encoder's features out of shape before it has learned anything (Kumar et al. 2022,
"Fine-Tuning can Distort Pretrained Features", section 3). So on the held-out rows it is never worse than that head.

Bounds for two cores: `MAX_STEPS` steps of `BATCH` texts of at most `MAX_TOKENS` tokens, whatever the number of rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from dpsynth_assets.classify.encoder import DIMENSION, MiniLM, padded, sentence_vectors

if TYPE_CHECKING:
    from dpsynth_assets.classify.head import Head

MAX_STEPS, BATCH, MAX_TOKENS = 240, 32, 128


class TunedMiniLM(nn.Module):
    """The encoder and a linear layer (`dpsynth_assets.classify.neural.TextNetwork`); the head's where one is given."""

    def __init__(self, encoder: MiniLM, classes: int, head: Head | None = None) -> None:
        super().__init__()
        self._encoder = encoder
        self.bert = encoder.model.requires_grad_(True)
        self.output = nn.Linear(DIMENSION, classes)
        if head is not None:
            with torch.no_grad():
                self.output.weight.copy_(torch.as_tensor(head.weights))
                self.output.bias.copy_(torch.as_tensor(head.bias).nan_to_num(neginf=-1e4))  # a class without rows

    def prepare(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text."""
        return self._encoder.tokenize(texts)

    def logits(self, prepared: Sequence[Sequence[int]]) -> Tensor:
        """Scores, shape (texts, classes)."""
        output: Tensor = self.output(sentence_vectors(self.bert, *padded(prepared)))
        return output

    def about(self) -> Mapping[str, Any]:
        return {"max_tokens": self._encoder.max_tokens}
