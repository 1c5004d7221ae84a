"""What asking in words is worth before anything is learned: a head trained on texts of an untouched base model.

    python -m benchmarks.asking contracts/yelp.odcs.yaml MODEL \\
        "Write a short Yelp review by a customer who {label}." --words '{"pos": "loved it", "neg": "hated it"}'

Draws as many texts of each label by its bare prefix, by the template as plain text, and by the template in the model's
own turns; trains a MiniLM head on each set, and counts of how many of 1,000 rows it is right. They were set aside of
the train split of a source declared public; the test split is not touched. No row has been read by what writes, so
nothing is released. Beside it stands how many texts would be drawn again. Markdown, a line as soon as it is known.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.public_source import public_contract, rows_of
from dpsynth_assets.classify.head import train_head
from dpsynth_assets.classify.vectors import public_encoder
from dpsynth_assets.contract import Contract
from dpsynth_assets.contract.prompt import Prompt
from dpsynth_assets.language.base_model import load_base_model
from dpsynth_assets.language.hygiene import HALF, loops_at, usable
from dpsynth_assets.language.prompts import prefixes_of
from dpsynth_assets.language.sampling import Decoding, sampler_for

SET_ASIDE = 1000


def asking(contract: Contract, prompt: Prompt | None) -> Contract:
    return replace(contract, privacy=contract.privacy.model_copy(update={"prompt": prompt}))


def settings(template: str, words: dict[str, dict[str, str]]) -> Iterator[tuple[str, Prompt | None, dict[str, Any]]]:
    """What is asked, and how it is drawn where that is not as the contract says."""
    never = Prompt(template=template, words=words, turns="never")
    turns = Prompt(template=template, words=words)
    yield "labels alone", None, {}
    yield "template as plain text", never, {}
    yield "template in turns", turns, {}
    yield "in turns, temperature 1", turns, {"temperature": 1.0}
    yield (
        "in turns, temperature 1, min_p 0.05 in place of top_p",
        turns,
        {"temperature": 1.0, "top_p": 1.0, "min_p": 0.05},
    )


def drawn(contract: Contract, model: Any, tokenizer: Any, count: int, seed: int, how: dict[str, Any]) -> Sequence[str]:
    """As many texts of each cell as `count`, cell after cell, as they come."""
    terms = contract.privacy.generation
    asked = {"temperature": terms.temperature, "top_p": terms.top_p, "top_k": terms.top_k, "min_p": terms.min_p, **how}
    prefixes = prefixes_of(contract, tokenizer)
    sampler = sampler_for(model, tokenizer.eos_token_id, Decoding(terms.max_new_tokens, **asked), terms.batch_size)
    ids = sampler.sample([prefixes[cell] for cell in contract.cells for _ in range(count)], seed)
    return list(tokenizer.batch_decode(ids))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contract", type=Path)
    parser.add_argument("base_model")
    parser.add_argument("template")
    parser.add_argument("--words", type=json.loads, default={}, help="of the label that is classified, as JSON")
    parser.add_argument("--source")
    parser.add_argument("--texts", type=int, default=64, help="drawn of each label")
    parser.add_argument("--runs", type=int, default=2, help="with other seeds")
    parser.add_argument("--out", type=Path, help="a file for the texts, as JSON lines")
    given = parser.parse_args()
    contract = public_contract(given.contract, given.source)
    target = contract.privacy.target
    [place] = [at for at, label in enumerate(contract.privacy.labels) if label.column == target]
    aside = rows_of(contract).sample(SET_ASIDE, random_state=0)
    encoder = public_encoder()
    vectors = encoder.encode(aside["text"].tolist())
    model, tokenizer = load_base_model(given.base_model)
    print("| asked by | tokens | right, % | drawn again, % | looping | half a character |")
    print("|---|---|---|---|---|---|", flush=True)
    words = {target: given.words} if given.words else {}
    for name, prompt, how in settings(given.template, words):
        asked, kept = asking(contract, prompt), 0
        right: list[float] = []
        raw: list[str] = []
        for run in range(given.runs):
            texts = drawn(asked, model, tokenizer, given.texts, run, how)
            fit = [usable(text, contract.privacy.generation) for text in texts]
            labels = [cell[place] for cell in contract.cells for _ in range(given.texts)]
            rows = [(text, label) for text, label in zip(fit, labels, strict=True) if text]
            head = train_head(
                encoder.encode([text for text, _ in rows]), [y for _, y in rows], contract.privacy.classes, run
            )
            right.append(sum(map(str.__eq__, head.predict(vectors), aside[target])) / SET_ASIDE)
            raw += texts
            kept += len(rows)
            if given.out:
                with given.out.open("a") as file:
                    file.writelines(json.dumps([name, run, *each]) + "\n" for each in zip(labels, texts, strict=True))
        spread = " to ".join(f"{100 * each:.1f}" for each in dict.fromkeys((min(right), max(right))))
        print(
            f"| {name} | {max(map(len, prefixes_of(asked, tokenizer).values()))} | {spread} "
            f"| {100 * (1 - kept / len(raw)):.1f} | {sum(loops_at(text) is not None for text in raw)} "
            f"| {sum(HALF in text for text in raw)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
