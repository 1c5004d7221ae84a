"""The one error of the clipping engine."""


class UnclippedGradientError(RuntimeError):
    """A trainable parameter has no exact gradient per record, so nothing may be computed from it."""
