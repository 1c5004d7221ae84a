"""Key phrases: counted and made noisy by `privacy.key_phrases`, which states the guarantee; read again, and asked for.

What a text is asked to be about is drawn from the noisy counts of its own label: post-processing of a release that was
charged, and free.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dpsynth_assets.language.drawing import Draw, shard_drawing
from dpsynth_assets.language.hygiene import usable
from dpsynth_assets.language.untouched import is_untouched
from dpsynth_assets.language.writers import writer_of
from dpsynth_assets.language.writing import Request, WriterError
from dpsynth_assets.markdown import escaped, table
from dpsynth_assets.progress import Progress
from dpsynth_assets.releases.adapter import ADAPTER
from dpsynth_assets.releases.key_phrases import KEY_PHRASES, LONGEST
from dpsynth_assets.releases.registry import writers
from dpsynth_assets.releases.release import Launch, Made, Markdown, Ran, Workspace
from dpsynth_assets.releases.rows import cells_of
from dpsynth_assets.synthesis.phrases import BETWEEN, phrases_of

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract
    from dpsynth_assets.language.contamination.index import CorpusIndex
    from dpsynth_assets.privacy.histogram import Cell
    from dpsynth_assets.privacy.key_phrases import Key, KeyPhrasesPlan
    from dpsynth_assets.releases.rows import Rows
    from dpsynth_assets.shards import Pool

PHRASES = "key_phrases.json"
_TRIES = 4  # how often a text is asked for before a model is taken for one that writes none
_LETTERS = "questionanotherremembersomethingtomorrowevenings"
_SHOWN = 20  # of each label, in the run's figures


@dataclass(frozen=True)
class KeyPhrases:
    """The release.

    Attributes:
        counts: by label combination the noisy counts of its phrases; of one without any there is no entry.
    """

    counts: Mapping[Cell, Mapping[str, float]]

    def save(self, folder: Path) -> None:
        said = [[list(cell), phrase, count] for cell, own in self.counts.items() for phrase, count in own.items()]
        (folder / PHRASES).write_text(json.dumps(said, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> KeyPhrases:
        """What the release left; nothing where nobody was counted."""
        if is_untouched(folder):
            return cls({})
        counts: dict[Cell, dict[str, float]] = {}
        for cell, phrase, count in json.loads((folder / PHRASES).read_text(encoding="utf-8")):
            counts.setdefault(tuple(cell), {})[str(phrase)] = float(count)
        return cls(counts)

    def drawn(self, cells: Sequence[Cell], rng: np.random.Generator) -> list[str | None]:
        """What each of some texts is asked to be about: a phrase of its label, in proportion to the noisy counts; None
        where its label has none."""
        found: list[str | None] = [None] * len(cells)
        for cell, own in self.counts.items():
            places = [place for place, each in enumerate(cells) if each == cell]
            shares = np.array(list(own.values()))
            said = rng.choice(len(own), len(places), p=shares / shares.sum())
            names = [phrase.replace(BETWEEN, ", ") for phrase in own]
            for place, number in zip(places, said, strict=True):
                found[place] = names[number]
        return found


def longest_phrase(words: int) -> str:
    """As many words, as `KeyPhrases.drawn` gives them, together as long as a phrase can be."""
    short = ["a"] * (words - 1)
    room = LONGEST - sum(len(each) + len(BETWEEN) for each in short)
    return ", ".join([*short, _LETTERS[:room]])


def worded(contract: Contract, cell: Cell, phrase: str | None) -> Request:
    """How a text of a label is asked for that is to have some words; as the contract says, it begins with them."""
    asked = contract.asking(cell)
    if phrase is None:
        return Request(asked)
    terms = contract.privacy.releases[KEY_PHRASES]
    begin = phrase[:1].upper() + phrase[1:] if terms.begin else ""
    words = tuple(phrase.split(", "))
    before = tuple((_with(each.asked, each.words), each.text) for each in terms.demonstrations)
    return Request(_with(asked, words), begin, before=before, words=words, tries=terms.tries)


def _with(asked: str, words: Sequence[str]) -> str:
    """Of several wordings the one that SmolLM2-135M heeds most often."""
    named = " and ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else words[0]
    return f"{asked} It must contain the word{'s' if len(words) > 1 else ''} {named}."


def check(
    contract: Contract,
    plan: KeyPhrasesPlan,
    made_from: Mapping[str, Made],
    progress: Progress,
    launch: Launch | None = None,
) -> CorpusIndex | None:
    """Have a text written with a phrase as long as there can be, where no other release writes: a model that cannot
    fails here, and nothing is charged.

    Raises:
        WriterError, BaseModelError, PromptError: the model cannot be had, or writes nothing that is fit.
    """
    from dpsynth_assets.language.contamination.comparison import corpus_index

    if len(writers(contract)) > 1:
        return None
    writer = writer_of(contract, None, contract.privacy.releases[KEY_PHRASES].precision)
    terms = contract.privacy.releases[KEY_PHRASES]
    asked = [replace(worded(contract, contract.cells[0], longest_phrase(terms.words)), tries=1)]
    for turn in range(_TRIES):
        [text] = writer.write(asked, turn)
        if usable(text, contract.privacy.generation, mended=turn == _TRIES - 1):
            return corpus_index(contract)
    raise WriterError(
        "the model writes no text with key phrases that is fit: is it able to read what is asked, and write "
        f"{contract.privacy.generation.max_new_tokens} tokens more? Change the prompt, or write shorter texts"
    )


def run(contract: Contract, plan: KeyPhrasesPlan, rows: Rows, ready: CorpusIndex | None, work: Workspace) -> Ran:
    """Release the phrases that many records have."""
    from dpsynth_assets.language.contamination.comparison import compared

    terms = contract.privacy.releases[KEY_PHRASES]
    numbers = {cell: number for number, cell in enumerate(contract.cells)}

    def records() -> Iterator[tuple[object, list[Key]]]:
        for frame in compared(contract, rows, ready, work.folder, work.keep):
            for unit, cell, text in zip(frame["unit"], cells_of(frame, contract), frame["text"], strict=True):
                known = phrases_of(text, terms.words, terms.each, terms.without) if cell in numbers else ()
                yield unit, [(numbers[cell], phrase.encode()) for phrase in known]

    counts: dict[Cell, dict[str, float]] = {}
    for (number, phrase), count in plan.mechanism.release(records()).items():
        counts.setdefault(contract.cells[number], {})[phrase.decode("utf-8", "replace")] = count
    KeyPhrases(counts).save(work.folder)
    facts = {
        "key_phrases": Markdown(_table(contract, counts)),
        "phrases": sum(map(len, counts.values())),
        "noise_standard_deviation": plan.mechanism.standard_deviation,
    }
    warning = None
    if not counts:
        warning = (
            "no phrase is in enough records to be heard above the noise: texts are asked for by their labels alone. "
            "Give this release a larger epsilon, or a smaller `each`"
        )
    return Ran(None if contract.without_privacy else plan.event(), facts=facts, warning=warning)


def drawing(contract: Contract, drawn_from: Mapping[str, Made], pool: Pool | None = None) -> Draw:
    """What draws texts for the table, each asked to be about a phrase: of the contract's adapter or its base model."""
    phrases, adapter = KeyPhrases.load(drawn_from[KEY_PHRASES.name].folder), drawn_from.get(ADAPTER.name)
    releases = contract.privacy.releases
    precision = (releases.get(ADAPTER) or releases[KEY_PHRASES]).precision

    def ask(cells: Sequence[Cell], seed: int) -> list[Request]:
        drawn = phrases.drawn(cells, np.random.default_rng(seed))
        return [worded(contract, cell, phrase) for cell, phrase in zip(cells, drawn, strict=True)]

    return shard_drawing(contract, adapter.folder if adapter else None, precision, ask, pool)


def _table(contract: Contract, counts: Mapping[Cell, Mapping[str, float]]) -> str:
    rows: list[tuple[Any, ...]] = []
    for cell, own in counts.items():
        most = sorted(own.items(), key=lambda each: -each[1])[:_SHOWN]
        said = ", ".join(f"{escaped(phrase)} ({count:,.0f})" for phrase, count in most)
        rows.append((escaped(contract.plain_label(cell)), len(own), said))
    return table(["label", "phrases", f"the first {_SHOWN}, with their noisy counts"], rows, "lrl")
