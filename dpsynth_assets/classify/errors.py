"""The errors of this package: their texts are for people, and quote no row."""


class ClassifierError(ValueError):
    """Rows that cannot train a classifier, or a stored one that cannot be used."""


class EncoderError(RuntimeError):
    """The encoder's files are missing or are not the ones this project was tested with."""
