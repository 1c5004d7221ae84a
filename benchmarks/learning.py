"""What each learning device is worth at equal epsilon: validation loss on public rows of AG News, embedded model.

    python -m benchmarks.learning --source ../shared/data/ag_news.parquet --results learning.jsonl --table learning.md

All rows come from the train split; the test split is never read. Some are set aside and count as public: to judge by,
and to search learning rates on. The rest is trained on. Every line of the table has its own mechanism, calibrated to
the same epsilon and delta, and several runs, since noise and batches are fresh in each and cannot be fixed. All lines
see as many rows: a larger batch has fewer steps. The loss is the mean token loss, in nats, of the public rows' texts.

The learning rates of Adam and of Adam corrected for the noise are searched on public rows only, with the noise that the
private runs have; trying them on the private rows would cost a release each. All other lines take Adam's.

Every run that ends is a line of `--results`; a repetition of the command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pandas as pd
import torch

from dpsynth_assets.language.base_model import load_base_model, weights_digest
from dpsynth_assets.language.objective import encode, encode_prefix, losses
from dpsynth_assets.language.packed import Packed
from dpsynth_assets.language.trainable import attach_adapter
from dpsynth_assets.language.units import TextUnits
from dpsynth_assets.markdown import table
from dpsynth_assets.privacy.plan import DpSgd, Learning, calibrated
from dpsynth_assets.privacy.training import train

EPSILON, DELTA = 3.0, 1e-5
JUDGE, SEARCH_JUDGE, SEARCH = 512, 256, 1792  # public rows: to judge by, to judge searches by, to search on
MAX_TOKENS = 56
RATES: dict[Literal["adam", "adam_noise_corrected"], tuple[float, ...]] = {
    "adam": (0.003, 0.01, 0.03),
    "adam_noise_corrected": (0.00003, 0.0001, 0.0003, 0.001),
}


@dataclass(frozen=True)
class Line:
    """One line of the table: what it is called, its mechanism before calibration, and its learning set-up.

    `upper_layers`: only so many layers next to the output get an adapter; None: all.
    """

    name: str
    shape: DpSgd
    learning: Learning
    important: bool = False
    upper_layers: int | None = None


def lines(shape: DpSgd, rates: dict[str, float], layers: int) -> Iterator[Line]:
    """Each differs from the first in what its name says; nothing else."""
    plain = Learning(rates["adam"])
    corrected = Learning(rates["adam_noise_corrected"], optimiser="adam_noise_corrected")
    yield Line("plain: flat clipping, Adam, linear schedule", shape, plain, important=True)
    for bands in (2, 4, 8):
        yield Line(f"noise correlated over {bands} steps", replace(shape, num_bands=bands), plain, important=True)
    yield Line("Adam corrected for the noise, at its own rate", shape, corrected, important=True)
    yield Line(f"only the upper {layers // 2} of {layers} layers", shape, plain, True, upper_layers=layers // 2)
    yield Line("twice the batch, half the steps", of_batch(shape, 2), plain, important=True)
    yield Line("half the batch, twice the steps", of_batch(shape, 1 / 2), plain)
    yield Line("a quarter of the batch, four times the steps", of_batch(shape, 1 / 4), plain)
    yield Line("averaged iterates (decay 0.9)", shape, replace(plain, averaging=0.9))
    yield Line("cosine schedule", shape, replace(plain, schedule="cosine"))
    yield Line("constant rate", shape, replace(plain, schedule="constant"))
    yield Line("constant rate, averaged iterates", shape, replace(plain, schedule="constant", averaging=0.9))
    yield Line("automatic clipping", replace(shape, clipping_method="automatic"), plain)
    yield Line("per-layer clipping", replace(shape, clipping_method="per_layer"), plain)


def of_batch(shape: DpSgd, factor: float) -> DpSgd:
    """`factor` times the batch, as many rows in all."""
    batch, steps = round(shape.expected_batch_size * factor), max(1, round(shape.steps / factor))
    return replace(
        shape, sampling_probability=shape.sampling_probability * factor, expected_batch_size=batch, steps=steps
    )


class Journal:
    """The runs that have ended, one JSON object a line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        kept = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._losses: dict[tuple[str, int], float] = {}
        for entry in map(json.loads, kept):
            self._losses[entry["key"], entry["run"]] = entry["loss"]

    def loss(self, about: dict[str, Any], run: int, work: Callable[[], float]) -> float:
        """The loss of run number `run` of what `about` describes: from the journal, or from `work()`, then kept."""
        key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
        if (key, run) not in self._losses:
            start = time.process_time()
            loss = work()
            entry = {"key": key, "run": run, "loss": loss, "cpu_seconds": time.process_time() - start, **about}
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(entry) + "\n")
            self._losses[key, run] = loss
            print(f"  {about['name']}, run {run + 1}: {loss:.4f} ({entry['cpu_seconds']:.0f} s)", flush=True)
        return self._losses[key, run]


class Experiment:
    """Private and public rows, encoded, and runs on them."""

    def __init__(self, source: Path, rows: int, device: str) -> None:
        frame = pd.read_parquet(source)
        frame = frame[frame["split"] == "train"].sample(frac=1.0, random_state=0)  # the cut is public
        ends = (0, JUDGE, JUDGE + SEARCH_JUDGE, JUDGE + SEARCH_JUDGE + SEARCH)
        self._device = device
        self._tokenizer = load_base_model("embedded")[1]
        self.judge, self.search_judge, self.search = (self._encoded(frame.iloc[a:b]) for a, b in pairwise(ends))
        self._private = frame.iloc[ends[-1] : ends[-1] + rows]
        self.rows = len(self._private)
        self.of = {"base_model": weights_digest("embedded"), "rows": self.rows, "epsilon": EPSILON, "delta": DELTA}

    @cached_property
    def private(self) -> list[Any]:
        return self._encoded(self._private)

    @cached_property
    def layers(self) -> int:
        return int(self._model().config.num_hidden_layers)

    def trained(
        self,
        records: list[Any],
        judged: list[Any],
        mechanism: DpSgd,
        learning: Learning,
        upper_layers: int | None = None,
    ) -> float:
        """Loss on `judged` after one run on `records`."""
        model = self._model(upper_layers)
        data = TextUnits(Packed.of(records), self._tokenizer.pad_token_id)
        train(model, data, mechanism, learning, micro_batch_tokens=2048)
        return self.loss(model, judged)

    def untrained(self) -> float:
        return self.loss(self._model(), self.judge)

    def loss(self, model: Any, judged: list[Any]) -> float:
        model.eval()
        with torch.no_grad():
            pad = self._tokenizer.pad_token_id
            parts = [losses(model, judged[i : i + 64], pad) for i in range(0, len(judged), 64)]
        return float(torch.cat(parts).mean())

    def _model(self, upper_layers: int | None = None) -> Any:
        plan: Any = SimpleNamespace(method="lora", rank=4, alpha=16.0)
        model: Any = attach_adapter(load_base_model("embedded")[0], plan)
        model.to(self._device)
        if upper_layers is not None:
            lower = model.config.num_hidden_layers - upper_layers
            for name, parameter in model.named_parameters():
                if any(f".layers.{layer}." in name for layer in range(lower)):
                    parameter.requires_grad_(False)
        return model

    def _encoded(self, rows: Any) -> list[Any]:
        prefixes = [encode_prefix(self._tokenizer, f"label: {label}") for label in rows["label"]]
        return list(encode(self._tokenizer, prefixes, rows["text"].tolist(), MAX_TOKENS))


def searched_rates(experiment: Experiment, journal: Journal, shape: DpSgd) -> dict[str, float]:
    """For each optimiser the rate with the least loss on public rows, trained on other public rows."""
    noisy = calibrated(shape, EPSILON, DELTA)
    there = replace(noisy, sampling_probability=min(1.0, shape.expected_batch_size / len(experiment.search)))
    best = {}
    for optimiser, rates in RATES.items():
        found = {}
        for rate in rates:
            learning = Learning(rate, optimiser=optimiser)
            about = described(f"search on public rows: {optimiser} at {rate:g}", experiment, there, learning)
            work = partial(experiment.trained, experiment.search, experiment.search_judge, there, learning)
            found[rate] = journal.loss(about, 0, work)
        best[str(optimiser)] = min(found, key=found.__getitem__)
    return best


def measured(experiment: Experiment, journal: Journal, line: Line, runs: int) -> list[object]:
    """A line of the table."""
    mechanism = calibrated(line.shape, EPSILON, DELTA)
    about = described(line.name, experiment, mechanism, line.learning, line.upper_layers)
    work = partial(
        experiment.trained, experiment.private, experiment.judge, mechanism, line.learning, line.upper_layers
    )
    found = [journal.loss(about, run, work) for run in range(runs)]
    low, mean, high = min(found), statistics.mean(found), max(found)
    return [line.name, f"{mechanism.noise_multiplier:.2f}", runs, f"{mean:.4f}", f"{low:.4f}", f"{high:.4f}"]


def described(
    name: str, experiment: Experiment, mechanism: DpSgd, learning: Learning, upper_layers: int | None = None
) -> dict[str, Any]:
    """All that decides a run, but for its randomness."""
    run = {"mechanism": asdict(mechanism), "learning": asdict(learning), "upper_layers": upper_layers}
    return {"name": name, **experiment.of, **run}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, required=True, help="AG News with columns text, label, split")
    parser.add_argument("--results", type=Path, required=True, help="JSON Lines of the runs; those in it are not run")
    parser.add_argument("--rows", type=int, default=20_000, help="rows to train on")
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--runs", type=int, default=3, help="runs of each important line")
    parser.add_argument("--other-runs", type=int, default=1, help="runs of each other line; 0 leaves them out")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--table", type=Path, help="where the table goes, beside the screen")
    chosen = parser.parse_args(arguments)
    experiment, journal = Experiment(chosen.source, chosen.rows, chosen.device), Journal(chosen.results)
    shape = DpSgd(chosen.batch / experiment.rows, 0.0, 1.0, chosen.batch, chosen.steps)
    rates = searched_rates(experiment, journal, shape)
    rows = [
        measured(experiment, journal, line, runs)
        for line in lines(shape, rates, experiment.layers)
        if (runs := chosen.runs if line.important else chosen.other_runs)
    ]
    head = ["device", "noise multiplier", "runs", "loss on public rows, mean", "from", "to"]
    command = "python -m benchmarks.learning " + " ".join(sys.argv[1:] if arguments is None else arguments)
    title = (
        f"Epsilon {EPSILON:g}, delta {DELTA:g}, {experiment.rows} rows; learning rates "
        + " and ".join(f"{rate:g} ({optimiser})" for optimiser, rate in rates.items())
        + f"; without training the loss is {experiment.untrained():.4f}: `{command}`"
    )
    text = f"{title}\n\n{table(head, rows)}\n"
    print(text)
    if chosen.table is not None:
        chosen.table.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
