"""Texts are cut for comparisons where training cuts them."""

from __future__ import annotations

from dpsynth_assets.language.base_model import EMBEDDED_FOLDER, cut, load_tokenizer
from dpsynth_assets.language.objective import encode


def test_a_text_is_cut_to_the_tokens_that_training_sees_of_it():
    tokenizer = load_tokenizer("embedded")
    texts = ["my card was lost on the way to the bank, and nobody has found it 🙂", "short", "", "  two  blanks  "]
    shown = cut(tokenizer, texts, 6)
    assert all(text.startswith(part) for text, part in zip(texts, shown, strict=True))
    assert shown[1:3] == ["short", ""]
    assert len(shown[0]) < len(texts[0])
    seen, again = (list(encode(tokenizer, [()] * len(texts), each, 6)) for each in (texts, shown))
    assert [each.ids[:6] for each in again] == [each.ids[:6] for each in seen]
    assert load_tokenizer(str(EMBEDDED_FOLDER))("card") == tokenizer("card")
