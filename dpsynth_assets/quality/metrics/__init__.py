"""Figures that say how good a synthetic corpus is: alone, against public texts, and under the base model.

Each figure is a plain function of texts, labels or vectors. None of them may be given a row of a sensitive source: what
it would return is a statistic of those rows, and nothing here adds noise to it or charges a budget.
"""
