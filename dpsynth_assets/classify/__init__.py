"""Classifiers of texts: trained on published synthetic tables or, as a release of its own, on sensitive rows.

`recipes` lists the kinds and trains them, `dp_baseline` is the release, `evaluation` measures, `tuning` compares
settings. All of it but the baseline is for synthetic and declared-public rows only.
"""
