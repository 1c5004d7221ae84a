"""Classifiers on published synthetic tables: a fixed public encoder and a small head trained on synthetic rows only."""
