"""One thin file per asset family. Bodies call what does the work; sensitive rows are read inside the gate.

Annotations are not postponed in the files that define assets: Dagster reads the types of their parameters as objects.
"""
