"""How a label becomes the tokens that a text starts from. Training and sampling both take them from here.

Without a prompt in the contract these are the labels as plain text; with one, what it asks, in a chat model's turns
where the base model has them and the contract wants them. Reads public constants only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dpsynth_assets.language.objective import encode_prefix
from dpsynth_assets.language.writing import Request

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from dpsynth_assets.contract import Contract

Cell = tuple[str, ...]


class PromptError(ValueError):
    """The contract's prompt cannot be put to its base model."""


def prefixes_of(contract: Contract, tokenizer: PreTrainedTokenizerBase) -> dict[Cell, tuple[int, ...]]:
    """For each combination of labels, the tokens that its texts follow on.

    Raises:
        PromptError: what is asked holds one of the tokenizer's own special tokens.
    """
    encoding = encoding_of(turns_of(contract), tokenizer)
    return {cell: encoding(Request(contract.asking(cell))) for cell in contract.cells}


def turns_of(contract: Contract) -> str | None:
    """When the contract's prompt is put in turns; None where it has no prompt."""
    return None if contract.privacy.prompt is None else contract.privacy.prompt.turns


def encoding_of(turns: str | None, tokenizer: PreTrainedTokenizerBase) -> Callable[[Request], tuple[int, ...]]:
    """How a request becomes the tokens that its text follows on, before how that begins. Raises as `prefixes_of` does,
    when it is called. Where the model knows no turns, examples stand one after another as its documents did.

    Args:
        turns: as `turns_of` gives it.
    """
    in_turns = turns not in (None, "never") and tokenizer.chat_template

    def encoded(request: Request) -> tuple[int, ...]:
        if turns is not None:
            for asked in (request.asked, *(said for pair in request.before for said in pair)):
                _require_plain(asked, tokenizer)
        if in_turns:  # the model's template sets its own start token
            return tuple(tokenizer.apply_chat_template(request.turns(), add_generation_prompt=True, return_dict=False))
        said: list[int] = []
        for asked, text in request.answered():
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            said += [*encode_prefix(tokenizer, asked), *ids, tokenizer.eos_token_id]
        return (*said, *encode_prefix(tokenizer, request.asked))

    return encoded


def marks_of(tokenizer: PreTrainedTokenizerBase) -> frozenset[str]:
    """What the tokenizer takes for a mark, and not for text, wherever it stands."""
    return frozenset((*tokenizer.all_special_tokens, *(str(added) for added in tokenizer.get_added_vocab())))


def _require_plain(asked: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """The contract refuses the usual turn markers; only the tokenizer knows all that it takes for more than text."""
    if found := sorted(mark for mark in marks_of(tokenizer) if mark in asked):
        raise PromptError(
            f"the prompt holds {found[0]!r}, which the base model's tokenizer takes for a mark and not for text: "
            "leave it out of `prompt.template`, `prompt.words`, a label's value, a demonstration, or an "
            "evolution's topics or paraphrase"
        )
