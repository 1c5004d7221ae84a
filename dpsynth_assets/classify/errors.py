"""The error of this room: its text is for people, and quotes no row."""


class ClassifierError(ValueError):
    """Rows that cannot train a classifier, or a stored one that cannot be used."""
