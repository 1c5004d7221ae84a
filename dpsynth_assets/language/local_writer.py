"""A writer on this machine: the contract's base model, as it comes or with an adapter. Knows no row, no mechanism."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dpsynth_assets.language.base_model import has_bfloat16, load_base_model
from dpsynth_assets.language.finetuning import load_tuned
from dpsynth_assets.language.model_places import located
from dpsynth_assets.language.prompts import encoding_of, marks_of
from dpsynth_assets.language.sampling import Decoding, sampler_for
from dpsynth_assets.language.untouched import is_untouched
from dpsynth_assets.language.writing import Request
from dpsynth_assets.releases.adapter import ADAPTER

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract


class LocalWriter:
    """A `Writer` by a causal language model. The same seed gives the same texts on the same machine.

    Args:
        adapter: the folder of the contract's adapter, if one is to write; the base model as it comes if not.
        precision: of the passes.

    Raises:
        BaseModelError: the model cannot be had.
    """

    def __init__(
        self, contract: Contract, adapter: Path | None = None, precision: Literal["float32", "bfloat16"] = "float32"
    ) -> None:
        terms, drawing = contract.privacy, contract.privacy.generation
        place = located(terms.base_model.name, contract)
        if adapter is None or is_untouched(adapter):
            model, self._tokenizer = load_base_model(place)
        else:
            model, self._tokenizer = load_tuned(place, terms.releases[ADAPTER].method, adapter)
        self._longest = drawing.max_new_tokens
        self._room = getattr(getattr(model, "config", None), "max_position_embeddings", None) or 2**31
        self._encoding = encoding_of(contract, self._tokenizer)
        self._special = frozenset(self._tokenizer.all_special_ids)  # what follows one is another turn or another text
        self._marks = marks_of(self._tokenizer)
        self._sampler = sampler_for(
            model,
            self._tokenizer.eos_token_id,
            Decoding(self._longest, drawing.temperature, drawing.top_p, drawing.top_k, drawing.min_p),
            drawing.batch_size,
            bfloat16=precision == "bfloat16" and has_bfloat16(),
        )

    def write(self, requests: Sequence[Request], seed: int, told: Callable[[int], None] | None = None) -> list[str]:
        """One text for each request, in their order, of at most as many tokens as the contract's texts have. Empty
        where a text spells out one of the tokenizer's own marks, since nobody could be asked for another like it, and
        where what is asked leaves the model no room for an answer.

        Raises:
            PromptError: what is asked holds one of the tokenizer's own special tokens.
        """
        begun = [self._begun(request.begin) for request in requests]
        prefixes = [(*self._encoding(request.asked), *begin) for request, begin in zip(requests, begun, strict=True)]
        short = [at for at, prefix in enumerate(prefixes) if len(prefix) + self._longest <= self._room]
        fresh = dict(zip(short, self._sampler.sample([prefixes[at] for at in short], seed, told), strict=True))
        drawn = [fresh.get(at, []) for at in range(len(prefixes))]
        ids = [
            [*begin, *takewhile(lambda token: token not in self._special, more)][: self._longest] if more else []
            for begin, more in zip(begun, drawn, strict=True)
        ]
        texts = self._tokenizer.batch_decode(ids)
        return ["" if any(mark in text for mark in self._marks) else text for text in texts]

    def _begun(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
        return ids[: self._longest]
