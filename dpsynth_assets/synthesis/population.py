"""A population of released texts: what is asked for at first, whom noisy votes choose, and how the chosen are varied.

Everything here is post-processing: it sees texts, noisy votes and public constants. Knows no row, no encoder and no
ledger, and asks for texts through a `Writer`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dpsynth_assets.language.hygiene import shown_texts, usable
from dpsynth_assets.language.writing import Request, Writer, WriterError, seed_of
from dpsynth_assets.privacy.apportionment import apportion
from dpsynth_assets.releases.evolution import EVOLUTION, TEXT
from dpsynth_assets.synthesis.key_phrases import KeyPhrases, worded

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.privacy.histogram import Cell

_LENGTHS = 3  # of how many lengths the beginnings are that are gone on from: short ones try, long ones keep
_TOGETHER = 4  # texts that are asked for after the same examples: a local model reads those once
TRIES = 4  # how often a text is asked for that comes back unfit or as one that is there


@dataclass(frozen=True)
class Wanted:
    """A text that is wanted.

    Attributes:
        cell: its label combination.
        parent: the text that it is a variation of; None of one of its own.
        topic: what one of its own is asked to be about, or which words it is to have.
        examples: the texts that it is asked for after; it may be like any of them.
    """

    cell: Cell
    parent: str | None = None
    topic: str | None = None
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Population:
    """Texts by label combination, in a fixed order; each stands once in its combination.

    Attributes:
        texts: the combination and the text of each.
    """

    texts: tuple[tuple[Cell, str], ...]

    @classmethod
    def of(cls, texts: Iterator[tuple[Cell, str]], cells: Sequence[Cell]) -> Population:
        """The distinct ones of some texts, in the order of the cells and of their coming."""
        order = {cell: place for place, cell in enumerate(cells)}
        return cls(tuple(sorted(dict.fromkeys(texts), key=lambda each: order[each[0]])))

    def places(self) -> dict[Cell, list[int]]:
        """Where the texts of each label combination stand."""
        found: dict[Cell, list[int]] = {}
        for place, (cell, _) in enumerate(self.texts):
            found.setdefault(cell, []).append(place)
        return found

    def counted(self, votes: Sequence[float], least: float) -> dict[int, int]:
        """What noisy votes say of each text, by its place, in whole votes. Texts without a vote are left out.

        Args:
            votes: the noisy votes for each text.
            least: fewer are taken for none. Where a combination has no text with more, all of its texts are alike.
        """
        found: dict[int, int] = {}
        for places in self.places().values():
            heard = {place: count for place in places if votes[place] >= least and (count := round(votes[place])) > 0}
            found |= heard or dict.fromkeys(places, 1)
        return found

    def chosen(self, counted: Mapping[int, int], survivors: float, each: int) -> dict[int, int]:
        """How many descendants each text gets, by its place: `each` for a label combination, in proportion to votes.

        Args:
            counted: what the votes say of the texts.
            survivors: the part of a combination's texts that get any, those with most votes; of equals the first. One
                at least, and all where all have as many.
        """
        given: dict[int, int] = {}
        for places in self.places().values():
            best = sorted((place for place in places if place in counted), key=lambda place: -counted[place])
            if len({counted[place] for place in best}) > 1:  # else nothing was said for one of them above another
                best = best[: max(1, round(survivors * len(places)))]
            shares = apportion({place: counted[place] for place in best}, each)
            given |= {place: share for place, share in shares.items() if share}
        return given


class Requests:
    """How texts of a contract are asked for: `Wanted` becomes a request.

    Args:
        phrases: released ones, that texts of their own are asked to be about; the contract's topics unless given.
    """

    def __init__(self, contract: Contract, phrases: KeyPhrases | None = None) -> None:
        self._contract = contract
        self._terms = contract.privacy.releases[EVOLUTION]
        self._phrases = phrases

    def after_examples(
        self, wanted: Sequence[Wanted], population: Population, given: Mapping[int, int], name: str
    ) -> list[Wanted]:
        """The same, each variation to be asked for after examples where the contract varies texts so: some of the
        chosen texts of its combination, drawn without replacement in proportion to what they get."""
        if self._terms.variation != "examples":
            return list(wanted)
        rng = np.random.default_rng(seed_of(f"{self._contract.privacy.generation.seed} {name} examples"))
        shown: list[Wanted] = list(wanted)
        for cell, places in population.places().items():
            chosen = [place for place in places if given.get(place)]
            shares = np.array([given[place] for place in chosen], dtype=np.float64)
            asked = [at for at, each in enumerate(wanted) if each.cell == cell and each.parent is not None]
            for start in range(0, len(asked), _TOGETHER):
                some = rng.choice(chosen, min(self._terms.shown, len(chosen)), replace=False, p=shares / shares.sum())
                examples = tuple(population.texts[place][1] for place in some)
                for at in asked[start : start + _TOGETHER]:
                    shown[at] = Wanted(cell, examples=examples)
        return shown

    def some_fresh(self, wanted: Sequence[Wanted], name: str) -> list[Wanted]:
        """The same, the contract's part of them, by chance, as texts of their own. What is varied is much alike; what
        is not knows nothing of the records."""
        rng = np.random.default_rng(seed_of(f"{self._contract.privacy.generation.seed} {name} fresh"))
        own = rng.random(len(wanted)) < self._terms.fresh
        said = iter(self._topics([each.cell for each, alone in zip(wanted, own, strict=True) if alone], rng))
        return [Wanted(each.cell, topic=next(said)) if alone else each for each, alone in zip(wanted, own, strict=True)]

    def first(self, each: int) -> list[Wanted]:
        """What a population begins with: so many texts of each label combination, about the contract's topics in turn,
        or about phrases of their labels by chance."""
        wanted = first(self._contract.cells, each, self._terms.topics)
        if self._phrases is None:
            return wanted
        rng = np.random.default_rng(seed_of(f"{self._contract.privacy.generation.seed} first phrases"))
        cells = [every.cell for every in wanted]
        return [Wanted(cell, topic=topic) for cell, topic in zip(cells, self._phrases.drawn(cells, rng), strict=True)]

    def _topics(self, cells: Sequence[Cell], rng: np.random.Generator) -> list[str | None]:
        """What each of some texts is about, by chance."""
        if self._phrases is not None:
            return self._phrases.drawn(cells, rng)
        topics = self._terms.topics
        return [topics[int(rng.integers(len(topics)))] if topics else None for _ in cells]

    def asked(self, wanted: Sequence[Wanted]) -> list[Request]:
        """A request for each that is wanted, in their order."""
        return [self._request(each, place) for place, each in enumerate(wanted)]

    def _request(self, wanted: Wanted, place: int) -> Request:
        asked, terms = self._contract.asking(wanted.cell), self._terms
        if terms.variation == "examples" and (examples := wanted.examples or _alone(wanted.parent)):
            return Request(asked, examples=examples)
        if wanted.parent is None:
            if self._phrases is not None:
                return worded(self._contract, wanted.cell, wanted.topic)
            return Request(asked if wanted.topic is None else f"{asked}\nTopic: {wanted.topic}")
        if terms.variation == "paraphrase":
            assert terms.paraphrase is not None
            return Request(terms.paraphrase.replace(TEXT, wanted.parent))
        return Request(asked, begin=beginning(wanted.parent, terms.kept * (1 + place % _LENGTHS) / _LENGTHS))


class Asking(Requests):
    """The same with somebody to ask: the answer becomes a text or nothing."""

    def __init__(self, contract: Contract, writer: Writer, phrases: KeyPhrases | None = None) -> None:
        super().__init__(contract, phrases)
        self._writer = writer

    def written(
        self, wanted: Sequence[Wanted], name: str, told: Callable[[int], None] | None = None
    ) -> list[str | None]:
        """A text for each that is wanted, in their order; None where several tries gave none that is fit, or none but
        what stands already.

        Args:
            name: of this occasion; with the contract's seed it makes the seed, so no two occasions draw alike.

        Raises:
            WriterError: the writer does not answer.
        """
        found: list[str | None] = [None] * len(wanted)
        there = {(each.cell, text) for each in wanted for text in (each.parent, *each.examples)}
        shown = shown_texts(self._contract)
        open_ = list(range(len(wanted)))
        for turn in range(TRIES):
            if not open_:
                break
            seed = seed_of(f"{self._contract.privacy.generation.seed} {name} {turn}")
            answers = self._writer.write([self._request(wanted[place], place) for place in open_], seed, told)
            left = []
            for place, answer in zip(open_, answers, strict=True):
                text = usable(answer, self._contract.privacy.generation, mended=turn == TRIES - 1)
                if not text or text in shown or (wanted[place].cell, text) in there:
                    left.append(place)
                    continue
                there.add((wanted[place].cell, text))
                found[place] = text
            open_ = left
        return found

    def require_variations(self, population: Population) -> None:
        """Pass if the longest texts of the population can be varied: what is asked for then is otherwise first asked
        for after a charge.

        Raises:
            WriterError: nothing fit comes of it.
        """
        longest = [
            Wanted(cell, texts[0], examples=tuple(texts[: self._terms.shown]))
            for cell, places in population.places().items()
            if (texts := sorted((population.texts[place][1] for place in places), key=len, reverse=True))
        ]
        hardest = max(longest, key=lambda wanted: sum(map(len, wanted.examples)))
        if self.written([hardest], "trial") == [None]:
            raise WriterError(
                f"no variation of a text can be had by `{self._terms.variation}`: is the model able to read "
                f"{self._contract.privacy.generation.max_new_tokens} tokens and what is asked, and write as many more? "
                "Change releases.evolution, or shorten what is asked or written"
            )


def _alone(text: str | None) -> tuple[str, ...]:
    return () if text is None else (text,)


def beginning(text: str, share: float) -> str:
    """The first words of a text, that share of them: at least one, and not all of several."""
    words = text.split()
    if len(words) < 2:  # or a script without blanks
        return text[: max(1, math.ceil(share * len(text)))]
    return " ".join(words[: max(1, min(math.ceil(share * len(words)), len(words) - 1))])


def first(cells: Sequence[Cell], each: int, topics: Sequence[str] = ()) -> list[Wanted]:
    """What a population begins with: so many texts of each label combination, about the topics in turn."""
    said = [topics[number % len(topics)] if topics else None for number in range(each)]
    return [Wanted(cell, topic=topic) for cell in cells for topic in said]


def descendants(population: Population, given: Mapping[int, int]) -> list[Wanted]:
    """What the chosen are asked to be varied into: each of them stays, and the others that it gets are variations."""
    return [Wanted(*population.texts[place]) for place, count in given.items() for _ in range(count - 1)]


def apportioned(population: Population, given: Mapping[int, int], cells: Sequence[Cell]) -> list[Wanted]:
    """A variation of some chosen text for each of these label combinations, in proportion to what the texts get."""
    parents: dict[Cell, Iterator[str]] = {}
    wanted = Counter(cells)
    for cell, places in population.places().items():
        shares = {place: given[place] for place in places if place in given}
        split = apportion(shares, wanted[cell])
        parents[cell] = iter([population.texts[place][1] for place, count in split.items() for _ in range(count)])
    return [Wanted(cell, next(parents[cell])) for cell in cells]
