"""Train a small classifier with DP-SGD, with the privacy engine alone: no contract, no Dagster, no ledger.

    python examples/private_training.py

Each of 600 invented people has up to two records. A person is the privacy unit: both records together move the model no
more than one clip allows. The guarantee that is printed is that of the event, under adding or removing one person.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dpsynth_assets.privacy.clipping.engine import ClippedSum
from dpsynth_assets.privacy.noise import GaussianNoise
from dpsynth_assets.privacy.plan import DpSgd, calibrated
from dpsynth_assets.privacy.sampling import PoissonSampler
from ledger.accounting import epsilon

PEOPLE, DELTA = 600, 1e-4


def main() -> None:
    torch.manual_seed(0)
    points = torch.randn(2 * PEOPLE, 5)
    classes = (points @ torch.tensor([2.0, -1.0, 0.5, 0.0, 1.0]) > 0).long()
    records_of = [[2 * person, 2 * person + 1] if person % 3 else [2 * person] for person in range(PEOPLE)]

    shape = DpSgd(sampling_probability=0.1, noise_multiplier=0.0, l2_clip_norm=1.0, expected_batch_size=60, steps=80)
    mechanism = calibrated(shape, 2.0, DELTA)
    model = nn.Linear(5, 2)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.1)
    sampler, noise = (
        PoissonSampler(PEOPLE, mechanism.sampling_probability),
        GaussianNoise(mechanism.noise_standard_deviation),
    )

    def losses(records: list[int]) -> Tensor:
        return nn.functional.cross_entropy(model(points[records]), classes[records], reduction="none")

    with ClippedSum(model, mechanism.clipping) as clipped:
        for _ in range(mechanism.steps):
            people = sampler.draw().tolist()
            if people:
                clipped.add(losses([r for p in people for r in records_of[p]]), [len(records_of[p]) for p in people])
            sums = clipped.take()
            noise.add_(sums)
            for parameter, total in zip(clipped.parameters, sums, strict=True):
                parameter.grad = (total / mechanism.expected_batch_size).to(parameter.dtype)
            optimiser.step()
            optimiser.zero_grad()  # so that a gradient which came past the engine would be noticed
    right = (model(points).argmax(1) == classes).float().mean()
    print(f"noise multiplier {mechanism.noise_multiplier:.2f} over {mechanism.steps} steps")
    print(f"({epsilon(mechanism.event(), DELTA):.3f}, {DELTA:g})-DP for adding or removing one person")
    print(f"right on {right:.0%} of the invented records")


if __name__ == "__main__":
    main()
