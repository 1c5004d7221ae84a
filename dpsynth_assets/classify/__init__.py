"""Classifiers of texts: trained on published synthetic tables or, as a release of its own, on sensitive rows.

`recipes` lists the kinds and trains them, `dp_training` is what releases compute, `evaluation` measures, `tuning`
compares settings. All of it but `dp_training` is for synthetic and declared-public rows only.
"""
