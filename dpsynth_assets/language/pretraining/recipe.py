"""What a run of pre-training is made of: the mix of sources, and all else that determines the weights."""

from __future__ import annotations

import dataclasses

# Shares of the training tokens. Fine-tuning is on messages, headlines, leads and reviews, so these registers get
# more than their size in the mix, and novels and chat logs less. Other sources get DEFAULT_SHARE each.
SHARES: dict[str, float] = {
    "wikipedia_en": 0.24,
    "airbnb_reviews": 0.18,
    "wh_briefings": 0.16,
    "sgd_turns": 0.09,
    "sgd_dialogues": 0.08,
    "clinc150": 0.05,
    "wikinews": 0.05,
    "ud_english_ewt": 0.05,
    "medquad": 0.04,
    "novels_100": 0.03,
    "eltec_eng": 0.02,
    "ubuntu_irc": 0.01,
}
DEFAULT_SHARE = 0.02

# What headers call a source's register.
REGISTERS: dict[str, str] = {
    "wikipedia_en": "encyclopedia",
    "airbnb_reviews": "review",
    "wh_briefings": "statement",
    "sgd_turns": "message",
    "sgd_dialogues": "dialogue",
    "clinc150": "request",
    "wikinews": "news",
    "medquad": "answer",
    "novels_100": "novel",
    "eltec_eng": "novel",
    "ubuntu_irc": "chat",
}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All that determines the weights. Written beside them; a run resumes only under the recipe it began with."""

    tokens: int
    seed: int = 17
    vocab_size: int = 8192
    hidden_size: int = 256
    layers: int = 4
    heads: int = 4
    mlp_size: int = 688
    length: int = 256
    batch: int = 16  # 4,096 tokens a step: with so few tokens to see, more and smaller steps learn more
    peak_lr: float = 5e-3  # of Muon, for the layers' matrices
    peak_lr_rest: float = 2.5e-3  # of AdamW, for embeddings and norms
    warmup_steps: int = 150
    decay_share: float = 0.4  # warmup, stable, then linearly to zero over this share of the run
    weight_decay: float = 0.1
    clip: float = 1.0
    piece_chars: int = 700  # longer documents are cut at sentence ends: the model is for short texts
    max_repeats: int = 3  # a small source is not shown more often than this, whatever its share
    header_share: float = 0.6  # of the documents begin with a header of attributes, as fine-tuning's records do
    pool_tokens: int | None = None  # rows are drawn from the mix for so many tokens; None: for `tokens`
    bfloat16: bool = False  # products under autocast: where the processor has them natively, twice as fast

    @property
    def steps(self) -> int:
        return max(1, self.tokens // (self.batch * self.length))

    def of(self, width: int) -> Recipe:
        """This recipe for a model of another width: heads of 64, and a SwiGLU of eight thirds of the width.

        Raises:
            ValueError: the width is not a multiple of 64.
        """
        if width < 64 or width % 64:
            raise ValueError(f"a width is a multiple of 64, not {width}")
        return dataclasses.replace(self, hidden_size=width, heads=width // 64, mlp_size=-(-width // 3) * 8 // 16 * 16)
