"""From public text to the rows that the model is trained on: documents, their held-out share, tokenizer, packing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from dpsynth_assets.language.documents import read_documents, user_turns
from dpsynth_assets.language.pretraining.headers import Headers
from dpsynth_assets.language.pretraining.recipe import DEFAULT_SHARE, SHARES, Recipe

Tokens = npt.NDArray[np.uint16]

BOS, EOS, PAD = SPECIAL = ("<bos>", "<eos>", "<pad>")


# --- documents ---


def is_held_out(text: str) -> bool:
    """One document in a hundred, by its text: a copy of it elsewhere is held out with it."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") % 100 == 0


def pieces(text: str, limit: int) -> Iterator[str]:
    """The text in parts of at most `limit` characters, cut at sentence ends; a longer sentence, between words."""
    part = ""
    for sentence in re.split(r"(?<=[.!?])\s+", text.strip()):
        while len(sentence) > limit:
            if part:
                yield part
                part = ""
            cut = sentence.rfind(" ", 1, limit)
            cut = cut if cut > 0 else limit
            yield sentence[:cut]
            sentence = sentence[cut:].lstrip()
        if part and len(part) + 1 + len(sentence) > limit:
            yield part
            part = sentence
        else:
            part = f"{part} {sentence}" if part else sentence
    if part:
        yield part


def gather(documents: Iterable[tuple[str, str]], limit: int) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Pieces by source: those to train on, and those of held-out documents."""
    trained: dict[str, list[str]] = {}
    held_out: dict[str, list[str]] = {}
    for source, text in documents:
        side = held_out if is_held_out(text) else trained
        side.setdefault(source, []).extend(pieces(text, limit))
        if source == "sgd_dialogues":
            side.setdefault("sgd_turns", []).extend(user_turns(text))
    return trained, held_out


# --- tokens ---


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Cased byte-level BPE: any text comes back as it was. Digits stay single, so that amounts can be composed."""
    core: Any = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab_size, special_tokens=[*SPECIAL], initial_alphabet=alphabet, show_progress=False
        ),
    )
    core.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, core.token_to_id(BOS))]
    )
    build: Any = PreTrainedTokenizerFast
    tokenizer: PreTrainedTokenizerFast = build(
        tokenizer_object=core,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )
    return tokenizer


def tokenizer_sample(texts: dict[str, list[str]], recipe: Recipe) -> list[str]:
    """Twenty million characters in the shares of the mix."""
    rng = np.random.default_rng(recipe.seed)
    sample: list[str] = []
    for source in sorted(texts):
        size = int(20e6 * SHARES.get(source, DEFAULT_SHARE))
        for i in rng.permutation(len(texts[source])):
            sample.append(texts[source][i])
            size -= len(sample[-1])
            if size <= 0:
                break
    return sample


def encode(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> list[Tokens]:
    """<bos> text <eos> of each."""
    eos = tokenizer.eos_token_id
    return [np.array([*e.ids, eos], np.uint16) for e in tokenizer.backend_tokenizer.encode_batch(texts)]


def pack(documents: Iterable[Tokens], length: int) -> Tokens:
    """Documents end to end in rows of `length`. Each row begins with a document, as every use of the model does,
    so what overflows a row is dropped (the mix holds several times the text that is used), as is a part row."""
    rows: list[Tokens] = []
    row = np.empty(0, np.uint16)
    for document in documents:
        row = np.concatenate([row, document])
        if len(row) >= length:
            rows.append(row[:length])
            row = row[:0]
    return np.stack(rows) if rows else np.empty((0, length), np.uint16)


def mixture(texts: dict[str, list[str]], tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> Tokens:
    """Rows for the run: each source up to its share or `max_repeats` times, all shuffled together."""
    rng = np.random.default_rng(recipe.seed)
    shares = {source: SHARES.get(source, DEFAULT_SHARE) for source in sorted(texts)}
    headers = Headers(text for source in shares for text in texts[source][:5_000])

    def headed(text: str, source: str) -> str:
        return (headers.header(text, source, rng) if rng.random() < recipe.header_share else "") + text

    documents: list[Tokens] = []
    for source, share in shares.items():
        wanted = (
            1.3 * (recipe.pool_tokens or recipe.tokens) * share / sum(shares.values())
        )  # 1.3: for what packing drops
        for _ in range(recipe.max_repeats):
            order = rng.permutation(len(texts[source]))
            for start in range(0, len(order), 500):
                if wanted <= 0:
                    break
                coded = encode(tokenizer, [headed(texts[source][i], source) for i in order[start : start + 500]])
                documents += coded
                wanted -= sum(map(len, coded))
    return pack((documents[i] for i in rng.permutation(len(documents))), recipe.length)


def prepare(data: str, out: Path, recipe: Recipe) -> PreTrainedTokenizerFast:
    """The tokenizer, and the rows beside it; made once, found again after a kill."""
    if (out / "held_out.npz").exists():
        found: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(out / "tokenizer")
        return found
    trained, held_out = gather(read_documents(data), recipe.piece_chars)
    tokenizer = train_tokenizer(tokenizer_sample(trained, recipe), recipe.vocab_size)
    tokenizer.save_pretrained(out / "tokenizer")
    rows = mixture(trained, tokenizer, recipe)
    if not len(rows):
        raise ValueError(f"{data!r} holds too little text for one row of {recipe.length} tokens: give more")
    np.save(out / "rows.npy", rows)
    # Written last: its presence says that the preparation was completed.
    checks: dict[str, Any] = {
        source: pack(encode(tokenizer, texts), recipe.length)[:64] for source, texts in sorted(held_out.items())
    }
    np.savez(out / "partial.npz", **checks)
    (out / "partial.npz").replace(out / "held_out.npz")
    return tokenizer
