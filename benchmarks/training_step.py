"""One DP-SGD step over one step without privacy: same adapter, same records, same micro-batches."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.pairs import paired_ratios


@dataclass(frozen=True)
class _Adapter:
    rank: int = 8
    alpha: float = 16.0


def rows() -> Iterator[tuple[str, str, list[float]]]:
    """DP-SGD with one and with two records a unit, on the embedded model."""
    import torch

    from dpsynth_assets.language.base_model import load_base_model
    from dpsynth_assets.language.finetuning import TextUnits, attach_adapter
    from dpsynth_assets.language.objective import Encoded
    from dpsynth_assets.privacy.clipping import ClippedSum
    from dpsynth_assets.privacy.noise import GaussianNoise
    from dpsynth_assets.privacy.sampling import micro_batches

    draw = random.Random(0)
    base, tokenizer = load_base_model("embedded")
    model = attach_adapter(base, _Adapter()).train()  # type: ignore[arg-type]  # reads rank and alpha only
    parameters = [p for p in model.parameters() if p.requires_grad]
    records = [
        Encoded(tuple(draw.randrange(3, len(tokenizer)) for _ in range(draw.randint(30, 60))), prefix=14)
        for _ in range(64)
    ]
    for per_unit in (1, 2):
        data = TextUnits(records, [index // per_unit for index in range(len(records))], tokenizer.pad_token_id)
        cut = list(micro_batches(range(len(data.records_of)), data.records_of, data.lengths, 2048))

        def private(data: TextUnits = data, cut: list[list[int]] = cut) -> None:
            clipped = ClippedSum(model, 1.0)
            for units in cut:
                chosen = [record for unit in units for record in data.records_of[unit]]
                unit_of = torch.tensor([place for place, unit in enumerate(units) for _ in data.records_of[unit]])
                clipped.add(data.losses(model, chosen), unit_of, len(units))
            GaussianNoise(1.0).add_(clipped.take())
            clipped.close()

        def plain(data: TextUnits = data, cut: list[list[int]] = cut) -> None:
            for units in cut:
                data.losses(model, [record for unit in units for record in data.records_of[unit]]).sum().backward()
            for parameter in parameters:
                parameter.grad = None

        yield f"DP-SGD step, {per_unit} records a unit", "the step without privacy", paired_ratios(private, plain)
