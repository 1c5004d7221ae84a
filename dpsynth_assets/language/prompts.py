"""How a label becomes the tokens that a text starts from. Training and sampling both take them from here.

Without a prompt in the contract these are the labels as plain text; with one, what it asks, in a chat model's turns
where the base model has them and the contract wants them. Reads public constants only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dpsynth_assets.language.objective import encode_prefix

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
    encoding = encoding_of(contract, tokenizer)
    return {cell: encoding(contract.asking(cell)) for cell in contract.cells}


def encoding_of(contract: Contract, tokenizer: PreTrainedTokenizerBase) -> Callable[[str], tuple[int, ...]]:
    """How what is asked becomes the tokens that a text follows on. Raises as `prefixes_of` does, when it is called."""
    terms = contract.privacy.prompt
    if terms is None:
        return lambda asked: encode_prefix(tokenizer, asked)
    in_turns = terms.turns != "never" and tokenizer.chat_template

    def encoded(asked: str) -> tuple[int, ...]:
        _require_plain(asked, tokenizer)
        return _in_turns(tokenizer, asked) if in_turns else encode_prefix(tokenizer, asked)

    return encoded


def _in_turns(tokenizer: PreTrainedTokenizerBase, asked: str) -> tuple[int, ...]:
    """Asked by a user, up to where the model's answer begins. The model's template sets its own start token."""
    turns = tokenizer.apply_chat_template(
        [{"role": "user", "content": asked}], add_generation_prompt=True, return_dict=False
    )
    return tuple(turns)


def marks_of(tokenizer: PreTrainedTokenizerBase) -> frozenset[str]:
    """What the tokenizer takes for a mark, and not for text, wherever it stands."""
    return frozenset((*tokenizer.all_special_tokens, *(str(added) for added in tokenizer.get_added_vocab())))


def _require_plain(asked: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """The contract refuses the usual turn markers; only the tokenizer knows all that it takes for more than text."""
    if found := sorted(mark for mark in marks_of(tokenizer) if mark in asked):
        raise PromptError(
            f"the prompt holds {found[0]!r}, which the base model's tokenizer takes for a mark and not for text: "
            "leave it out of `prompt.template`, `prompt.words` or the label's value"
        )
