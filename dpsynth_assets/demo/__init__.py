"""The demo source: the project's own generator of a fictional bank's customer inbox."""
