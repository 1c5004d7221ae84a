"""Private Evolution: a model's texts, voted on by the sensitive records, round by round.

After Lin et al. 2024 (arXiv 2305.15560, algorithm 1) and, for texts, Xie et al. 2024 (arXiv 2403.01749). As there, each
record votes for the nearest text of its own label in the space of an encoder, the noisy votes say which texts are kept
and varied, and the varied ones are voted on again. Otherwise than there a chosen text stays as it is beside its
variations, so that a good one is not lost, and the noise is exact.

Guarantee: none of its own. `privacy.evolution` states it, and what it needs of this module: a record's vote depends on
that record and on the texts alone. So a text's vector has the same bits whoever else votes (`classify.apart`), and the
writer is asked with public constants and with texts that were chosen by noisy votes, never with a row. Progress tells
rounds; how many records vote is told nobody.

A killed run goes on after the last round whose noisy votes were kept. A round that began, and whose votes were lost, is
held again with fresh noise, and charged again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dpsynth_assets.language.drawing import Draw, shard_drawing
from dpsynth_assets.language.writers import writer_of
from dpsynth_assets.language.writing import Request, Writer, WriterError
from dpsynth_assets.mapped import mapped
from dpsynth_assets.privacy.unit_numbers import UnitNumbers
from dpsynth_assets.progress import Progress
from dpsynth_assets.quality import rules
from dpsynth_assets.releases.adapter import ADAPTER
from dpsynth_assets.releases.evolution import EVOLUTION
from dpsynth_assets.releases.key_phrases import KEY_PHRASES
from dpsynth_assets.releases.release import Launch, Made, Ran, Workspace
from dpsynth_assets.releases.rows import cells_of
from dpsynth_assets.synthesis.key_phrases import KeyPhrases
from dpsynth_assets.synthesis.population import (
    Asking,
    Population,
    Requests,
    Wanted,
    apportioned,
    descendants,
)
from dpsynth_assets.synthesis.votes import encoder_for, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dpsynth_assets.classify.encoder import Encoder
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.language.contamination.index import CorpusIndex
    from dpsynth_assets.privacy.evolution import EvolutionPlan
    from dpsynth_assets.privacy.histogram import Cell
    from dpsynth_assets.releases.rows import Rows
    from dpsynth_assets.shards import Pool

EVOLVED = "evolved.json"


@dataclass(frozen=True)
class Ready:
    """What is voted on at first, where it stands in the encoder's space, and with what, made before a row is read."""

    asking: Asking
    encoder: Encoder
    population: Population
    places: NDArray[np.float32]
    index: CorpusIndex | None


@dataclass(frozen=True)
class Evolved:
    """The release: the last texts that were voted on, and what the votes say of them.

    Attributes:
        population: the texts.
        counted: by a text's place, its noisy votes. What is drawn is in proportion to them.
        rounds: for each round, how many texts were voted on, and of how many the votes say something.
    """

    population: Population
    counted: Mapping[int, int]
    rounds: tuple[tuple[int, int], ...]

    def save(self, folder: Path) -> None:
        said = {
            "texts": [[list(cell), text] for cell, text in self.population.texts],
            "votes": sorted(self.counted.items()),
            "rounds": self.rounds,
        }
        (folder / EVOLVED).write_text(json.dumps(said), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Evolved:
        said: dict[str, Any] = json.loads((folder / EVOLVED).read_text(encoding="utf-8"))
        texts = tuple((tuple(cell), str(text)) for cell, text in said["texts"])
        rounds = tuple((int(of), int(chosen)) for of, chosen in said["rounds"])
        return cls(Population(texts), {int(place): int(count) for place, count in said["votes"]}, rounds)


def check(
    contract: Contract,
    plan: EvolutionPlan,
    made_from: Mapping[str, Made],
    progress: Progress,
    launch: Launch | None = None,
) -> Ready:
    """Have all texts of the first round written: a model that cannot write any fails here, and nothing is charged.

    Raises:
        EncoderError: it cannot be loaded, or computes one text otherwise beside others.
        WriterError, BaseModelError, PromptError: the model cannot be had, or writes nothing that is fit, at first or
            as a variation.
        QualityError: what it writes could not be judged.
    """
    from dpsynth_assets.language.contamination.comparison import corpus_index

    rules.require_rules(contract)
    encoder, index = encoder_for(contract), corpus_index(contract)
    asking = Asking(contract, _writer(contract, made_from), _phrases(made_from))
    wanted = asking.first(plan.texts)
    texts = asking.written(wanted, "first", lambda done: progress(min(done, len(wanted)), len(wanted)))
    population = _population(contract, wanted, texts)
    asking.require_variations(population)
    return Ready(asking, encoder, population, _places(asking, encoder, population, plan, 0), index)


def run(contract: Contract, plan: EvolutionPlan, rows: Rows, ready: Ready, work: Workspace) -> Ran:
    """Hold the rounds, and write down the texts that were voted on last with their votes."""
    from dpsynth_assets.language.contamination.comparison import compared
    from dpsynth_assets.privacy.checkpoint import CheckpointFolder

    electorate = Electorate.of(
        contract, compared(contract, rows, ready.index, work.folder, work.keep), ready.encoder, work.checkpoints
    )
    mechanism = plan.mechanism
    least = plan.threshold * mechanism.standard_deviation
    checkpoints = CheckpointFolder(work.checkpoints, plan.digest())
    with checkpoints.open() as folder:
        population, counted, rounds = _restored(folder.load(), ready.population)
        for turn in range(len(rounds), mechanism.rounds):
            if turn:
                given = population.chosen(counted, plan.survivors, plan.texts)
                population = _next(contract, ready.asking, population, given, f"round {turn}")
            places = _places(ready.asking, ready.encoder, population, plan, turn) if turn else ready.places
            folder.begin_step()
            votes = mechanism.release(electorate.votes(population, places), electorate.units, len(population.texts))
            counted = population.counted(votes.tolist(), least)
            rounds = (*rounds, (len(population.texts), len(counted)))
            folder.save(_state(population, counted, rounds))
            work.progress(turn + 1, mechanism.rounds)
    again = checkpoints.steps_begun() - mechanism.rounds
    Evolved(population, counted, rounds).save(work.folder)
    facts = {
        "rounds": mechanism.rounds,
        "noise_standard_deviation": mechanism.standard_deviation,
        "texts_voted_on": sum(of for of, _ in rounds),
        "voted_for_at_last": len(counted),
    }
    if mechanism.noise_multiplier == 0:
        return Ran(None, facts=facts)
    return Ran(plan.event(), mechanism.event(again) if again > 0 else None, facts)


@dataclass(frozen=True)
class Electorate:
    """The sensitive records as voters: for the charged mechanism's eyes only.

    Attributes:
        cells: the label combination of each record.
        vectors: of their texts, shape (records, dimensions).
        units: whose they are, by number, shape (records,).
    """

    cells: Sequence[Cell]
    vectors: NDArray[np.float32]
    units: NDArray[np.int64]

    @classmethod
    def of(cls, contract: Contract, rows: Rows, encoder: Encoder, folder: Path) -> Electorate:
        """All records whose labels are in the contract; others have no text to vote for.

        Args:
            folder: in the sensitive zone; the vectors lie there, in a file without a name.
        """
        declared, cells = frozenset(contract.cells), list[tuple[str, ...]]()
        numbers, units = UnitNumbers(), [np.empty(0, np.int64)]

        def vectors() -> Iterator[NDArray[np.float32]]:
            for frame in rows:
                own, texts = cells_of(frame, contract), frame["text"].tolist()
                known = [place for place, cell in enumerate(own) if cell in declared]
                cells.extend(own[place] for place in known)
                units.append(numbers.extend(frame["unit"])[known])
                yield encoder.encode([texts[place] for place in known])

        placed = mapped(vectors(), encoder.encode([]), folder)
        return cls(cells, placed, np.concatenate(units))

    def votes(self, population: Population, vectors: NDArray[np.float32]) -> list[int]:
        """The place of the text that each record votes for: the nearest of its own label combination; of equals the
        first. Each vote is computed from its own record and the texts."""
        places = {cell: np.array(found) for cell, found in population.places().items()}
        ballots = {cell: vectors[found] for cell, found in places.items()}
        return [
            int(places[cell][nearest(vector, ballots[cell])])
            for cell, vector in zip(self.cells, self.vectors, strict=True)
        ]


def drawing(contract: Contract, folder: Path, made_from: Mapping[str, Made], pool: Pool | None = None) -> Draw:
    """What draws texts for the table: variations of the texts that were chosen at last, and the part of fresh ones; in
    a pool of workers if one is given."""
    evolved, requests = Evolved.load(folder), Requests(contract, _phrases(made_from))

    def ask(cells: Sequence[Cell], seed: int) -> list[Request]:
        wanted = requests.some_fresh(apportioned(evolved.population, evolved.counted, cells), f"table {seed}")
        return requests.asked(requests.after_examples(wanted, evolved.population, evolved.counted, f"table {seed}"))

    return shard_drawing(contract, *_model(contract, made_from), ask, pool)


def _writer(contract: Contract, made_from: Mapping[str, Made]) -> Writer:
    """The contract's, with its adapter where it plans one."""
    return writer_of(contract, *_model(contract, made_from))


def _phrases(made_from: Mapping[str, Made]) -> KeyPhrases | None:
    """What the contract's texts are asked to be about, where it plans that."""
    made = made_from.get(KEY_PHRASES.name)
    return KeyPhrases.load(made.folder) if made else None


def _model(contract: Contract, made_from: Mapping[str, Made]) -> tuple[Path | None, Literal["float32", "bfloat16"]]:
    """Which adapter writes, if any, and the precision."""
    adapter = made_from.get(ADAPTER.name)
    return adapter.folder if adapter else None, contract.privacy.releases[EVOLUTION].precision


def _population(contract: Contract, wanted: Sequence[Wanted], texts: Sequence[str | None]) -> Population:
    """Of what was written at first.

    Raises:
        WriterError: a label combination has no text, or nothing to choose from.
    """
    found = [(each.cell, text) for each, text in zip(wanted, texts, strict=True) if text is not None]
    population = Population.of(iter(found), contract.cells)
    written = population.places()
    for cell in contract.cells:
        of = contract.plain_label(cell)
        if cell not in written:
            raise WriterError(
                f"the model writes no text of label {of!r} that is fit: change the prompt, raise the temperature, or "
                "lower generation.min_characters"
            )
        if len(written[cell]) < 2:
            raise WriterError(
                f"the model writes only one text of label {of!r} that is fit, however often it is asked, and a vote on "
                "one text says nothing: raise the temperature, or use a server that heeds `seed`"
            )
    return population


def _next(
    contract: Contract, asking: Asking, population: Population, given: Mapping[int, int], name: str
) -> Population:
    """The chosen texts and their variations."""
    wanted = asking.after_examples(descendants(population, given), population, given, name)
    varied = asking.written(wanted, name)
    kept = [population.texts[place] for place in given]
    fresh = [(each.cell, text) for each, text in zip(wanted, varied, strict=True) if text is not None]
    return Population.of(iter([*kept, *fresh]), contract.cells)


def _places(
    asking: Asking, encoder: Encoder, population: Population, plan: EvolutionPlan, turn: int
) -> NDArray[np.float32]:
    """Where each text of a round stands in the encoder's space; with lookahead the middle of its variations (Xie et al.
    2024, section 3.2), which are not voted on themselves."""
    texts = [text for _, text in population.texts]
    vectors: NDArray[np.float32] = np.asarray(encoder.encode(texts), dtype=np.float32)
    ahead = int(plan.variation["lookahead"])
    if not ahead:
        return vectors
    wanted = [Wanted(cell, text) for cell, text in population.texts for _ in range(ahead)]
    varied = asking.written(wanted, f"looks {turn}")
    shown = [text if text is not None else str(each.parent) for each, text in zip(wanted, varied, strict=True)]
    around = np.asarray(encoder.encode(shown), dtype=np.float32)
    return np.ascontiguousarray(around.reshape(len(texts), ahead, -1).mean(axis=1))


def _state(population: Population, counted: Mapping[int, int], rounds: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """A round's outcome as a checkpoint keeps it: of exact votes nothing is in it."""
    return {
        "step": len(rounds),
        "texts": [[list(cell), text] for cell, text in population.texts],
        "counted": dict(counted),
        "rounds": [list(each) for each in rounds],
    }


def _restored(
    state: Mapping[str, Any] | None, at_first: Population
) -> tuple[Population, dict[int, int], tuple[tuple[int, int], ...]]:
    if state is None:
        return at_first, {}, ()
    texts = tuple((tuple(cell), str(text)) for cell, text in state["texts"])
    return Population(texts), dict(state["counted"]), tuple((of, chosen) for of, chosen in state["rounds"])
