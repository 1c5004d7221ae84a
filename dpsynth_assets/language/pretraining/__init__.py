"""Pre-train the embedded base model: a small Llama-style model of public English, from text to weights.

Everything follows from the recipe and its seed, so a run that was killed continues exactly: same rows, same order,
same weights.

A run's folder holds `recipe.json`; `tokenizer/`, `rows.npy` and `held_out.npz` (the prepared data); `checkpoint.pt`;
`loss.jsonl`; and `model/`, a folder for `from_pretrained` that is renewed at each checkpoint. `summary.json`,
`loss.png` and `samples.txt` come at the end. This package sees public text only and knows nothing of contracts or
ledgers.
"""
