"""Has the base model read the source? Its corpus as a compact index, and which of a source's records overlap it.

A base model that has read a record can write it out again, and no noise in fine-tuning takes that away. So the corpus
that a model was trained on is kept as hashed word n-grams (`fingerprints`) in a file small enough to travel with the
model (`index`), and a source's records are compared with it (`overlap`). The file is made by

    python -m dpsynth_assets.language.contamination --data 'public_mix-*.jsonl.xz' --out corpus.idx --corpus "its name"

The index is public. What `overlap` returns is a fact about the source's rows: for a sensitive source it must not leave
the sensitive zone uncharged. This package returns it to its caller and writes, logs and raises nothing of it.
"""
