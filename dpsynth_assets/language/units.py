"""Encoded records by privacy unit, as the training loop is handed them. Sensitive throughout.

Knows texts as tokens, and how a record's loss is asked for; no contract, and nothing of how units are drawn or clipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from dpsynth_assets.language.objective import losses
from dpsynth_assets.privacy.shapes import Shape

if TYPE_CHECKING:
    from torch import Tensor, nn

    from dpsynth_assets.language.packed import Packed


class TextUnits:
    """Encoded records grouped by privacy unit (`dpsynth_assets.privacy.training.UnitData`). Sensitive throughout.

    Args:
        longest: a public bound on the records' lengths. None takes their longest, for records that are not private.
        prefix: a public bound from below on their tokens without a loss.
        virtual_tokens: what the model puts before each text; counts towards the lengths, hence towards memory.
        bfloat16: the passes are computed under autocast. Gradients get rounder; norms and sums are taken in full
            precision of whatever gradients there are.
    """

    def __init__(
        self,
        records: Packed,
        pad_token_id: int,
        virtual_tokens: int = 0,
        *,
        longest: int | None = None,
        prefix: int = 1,
        bfloat16: bool = False,
    ) -> None:
        self.records_of = records.records_of
        self.lengths: list[int] = (records.lengths + virtual_tokens).tolist()
        self.longest = virtual_tokens + longest if longest is not None else max(self.lengths, default=1)
        self._records = records
        self._pad_token_id = pad_token_id
        self._virtual_tokens = virtual_tokens
        self._prefix = prefix
        self._bfloat16 = bfloat16

    def losses(self, model: nn.Module, records: Sequence[int], shape: Shape | None = None) -> Tensor:
        """Mean token loss of each of the records, shape (shape.rows,); without a shape, (len(records),)."""
        text = None if shape is None else Shape(shape.width - self._virtual_tokens, shape.rows)
        chosen = [self._records[record] for record in records]
        with torch.autocast(next(model.parameters()).device.type, torch.bfloat16, enabled=self._bfloat16):
            return losses(model, chosen, self._pad_token_id, text, self._prefix)
