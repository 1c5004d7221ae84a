"""Classifiers of unsafe texts for devices: trained, given thresholds that are certified, exported, measured.

`students` makes them, `screening` is what a device runs, `comparison` measures. Knows no Dagster, no store and no
ledger: every row here is synthetic or declared public.
"""
