"""From releases to a corpus: counts of labels, drawn texts, votes on them, and what is chosen of them.

Knows no Dagster, no store and no ledger. What it makes of released things costs nothing more.
"""
