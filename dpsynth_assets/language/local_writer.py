"""A writer on this machine: the contract's base model, as it comes or with an adapter. Knows no row, no mechanism.

What it is made of can be said in plain values, so that it can be made in another process, which knows no contract.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dpsynth_assets.language.base_model import has_bfloat16, load_base_model
from dpsynth_assets.language.finetuning import load_tuned
from dpsynth_assets.language.model_places import located
from dpsynth_assets.language.prompts import encoding_of, marks_of, turns_of
from dpsynth_assets.language.sampling import Decoding, sampler_for
from dpsynth_assets.language.untouched import is_untouched
from dpsynth_assets.language.writing import Insistent, Request
from dpsynth_assets.releases.adapter import ADAPTER

if TYPE_CHECKING:
    from dpsynth_assets.contract import Contract


@dataclass(frozen=True)
class LocalModel:
    """What a local writer is made of: public constants of a contract, and where weights lie that were released.

    Attributes:
        base_model: as `load_base_model` takes it.
        adapter: the folder of the contract's adapter, if one is to write; None for the base model as it comes.
        method: that the adapter was trained by.
        turns: as `turns_of` gives it.
        slots: how many texts are decoded at once.
        bfloat16: the passes are computed in it, where the machine has it.
    """

    base_model: str
    adapter: str | None
    method: str | None
    turns: str | None
    decoding: Decoding
    slots: int
    bfloat16: bool

    @classmethod
    def of(cls, contract: Contract, adapter: Path | None, precision: Literal["float32", "bfloat16"]) -> LocalModel:
        """A contract's.

        Raises:
            BaseModelError: its model is at an endpoint.
        """
        terms, drawing = contract.privacy, contract.privacy.generation
        tuned = adapter is not None and not is_untouched(adapter)
        return cls(
            located(terms.base_model.name, contract),
            str(adapter.absolute()) if adapter is not None and tuned else None,
            terms.releases[ADAPTER].method if tuned else None,
            turns_of(contract),
            Decoding(drawing.max_new_tokens, drawing.temperature, drawing.top_p, drawing.top_k, drawing.min_p),
            drawing.batch_size,
            precision == "bfloat16",
        )


class LocalWriter:
    """A `Writer` by a causal language model. The same seed gives the same texts on the same machine.

    Raises:
        BaseModelError: the model cannot be had.
    """

    def __init__(self, made_of: LocalModel) -> None:
        if made_of.adapter is None or made_of.method is None:
            model, self._tokenizer = load_base_model(made_of.base_model)
        else:
            model, self._tokenizer = load_tuned(made_of.base_model, made_of.method, Path(made_of.adapter))
        self._longest = made_of.decoding.max_new_tokens
        self._room = getattr(getattr(model, "config", None), "max_position_embeddings", None) or 2**31
        self._encoding = encoding_of(made_of.turns, self._tokenizer)
        self._special = frozenset(self._tokenizer.all_special_ids)  # what follows one is another turn or another text
        self._marks = marks_of(self._tokenizer)
        self._sampler = sampler_for(
            model,
            self._tokenizer.eos_token_id,
            made_of.decoding,
            made_of.slots,
            bfloat16=made_of.bfloat16 and has_bfloat16(),
        )

    def write(self, requests: Sequence[Request], seed: int, told: Callable[[int], None] | None = None) -> list[str]:
        """One text for each request, in their order, of at most as many tokens as the contract's texts have. Empty
        where a text, or a word that it is to hold, spells out one of the tokenizer's own marks, since nobody could be
        asked for it, and where what is asked leaves the model no room for an answer.

        Raises:
            PromptError: what is asked holds one of the tokenizer's own special tokens.
        """
        begun = [self._begun(request.begin) for request in requests]
        prefixes = {
            at: (*self._encoding(request), *begin)
            for at, (request, begin) in enumerate(zip(requests, begun, strict=True))
            if not self._marked(request.words)
        }
        short = [at for at, prefix in prefixes.items() if len(prefix) + self._longest <= self._room]
        fresh = dict(zip(short, self._sampler.sample([prefixes[at] for at in short], seed, told), strict=True))
        drawn = [fresh.get(at, []) for at in range(len(requests))]
        ids = [
            [*begin, *takewhile(lambda token: token not in self._special, more)][: self._longest] if more else []
            for begin, more in zip(begun, drawn, strict=True)
        ]
        texts = self._tokenizer.batch_decode(ids)
        return ["" if self._marked([text]) else text for text in texts]

    def _marked(self, texts: Sequence[str]) -> bool:
        return any(mark in text for text in texts for mark in self._marks)

    def _begun(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
        return ids[: self._longest]


def writing(setup: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], list[str]]:
    """What writes a shard's texts, for `dpsynth_assets.shards`: the setup is a `LocalModel` as a mapping, a shard its
    `requests` as mappings and its `seed`."""
    writer = Insistent(LocalWriter(LocalModel(**{**setup, "decoding": Decoding(**setup["decoding"])})))

    def write(shard: Mapping[str, Any]) -> list[str]:
        requests = [
            Request(
                **{
                    **each,
                    "examples": tuple(each["examples"]),
                    "before": tuple((asked, text) for asked, text in each["before"]),
                    "words": tuple(each["words"]),
                }
            )
            for each in shard["requests"]
        ]
        return writer.write(requests, shard["seed"])

    return write
