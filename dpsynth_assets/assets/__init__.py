"""One thin file per asset family. Bodies call the rooms; what touches sensitive rows does so inside the gate.

Annotations are not postponed in the files that define assets: Dagster reads the types of their parameters as objects.
"""
