"""How far new texts are from the published synthetic table, and how far they would be by chance.

New texts are sensitive, nobody has charged for them, and nothing here adds noise: whatever is computed of them is as
sensitive as they are. Nothing here may be called but by what keeps its result in the sensitive store, or shows it to
somebody who holds the texts. Knows texts, labels and vectors; neither Dagster nor stores.
"""
