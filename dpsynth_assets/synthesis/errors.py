"""The errors of this package: their texts are for people, and quote no row."""


class CurationError(RuntimeError):
    """Too little is left of the drawn texts."""


class VotesError(RuntimeError):
    """Candidates that cannot be voted on, or votes that say nothing of them."""
