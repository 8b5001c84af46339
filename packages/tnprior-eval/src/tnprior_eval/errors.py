"""The exceptions of this package: one base, so that a caller catches them all at once."""


class EvalError(Exception):
    """Something asked of an evaluation is not possible; the message says what to do."""


class ShapeError(EvalError):
    """A tensor has another shape, type or value than the metric needs."""


class WeightsUnavailableError(EvalError):
    """The weights of a feature extractor are neither on this machine nor allowed to be fetched."""


class ClassifierFileError(EvalError):
    """A file is not a classifier that this package saved, or is damaged."""
