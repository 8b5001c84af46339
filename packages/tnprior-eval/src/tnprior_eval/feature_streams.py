"""Two streams of features, of real and of generated objects, for distances between them."""

from torch import Tensor

from tnprior_eval.errors import EvalError
from tnprior_eval.frechet import JackknifeDistance, jackknife_distance
from tnprior_eval.moments import GroupedMoments


class MomentStreams:
    """Moments of both streams, in interleaved groups for the jackknife.

    Args:
        groups: number of groups; 1 for no jackknife.
        real: moments of the real objects from earlier, to be used again.
    """

    def __init__(self, groups: int, real: GroupedMoments | None = None) -> None:
        self.real = GroupedMoments(groups) if real is None else real
        self.generated = GroupedMoments(groups)

    def update(self, real: Tensor | None, generated: Tensor | None) -> None:
        """Adds features (n, d) to either stream."""
        if real is not None:
            self.real.update(real)
        if generated is not None:
            self.generated.update(generated)

    def merge(self, other: "MomentStreams") -> None:
        """Adds both streams of another accumulator."""
        self.real.merge(other.real)
        self.generated.merge(other.generated)

    def distance(self, *, level: float) -> JackknifeDistance:
        """Fréchet distance between the two."""
        return jackknife_distance(self.real, self.generated, level=level)


def kind_of(extractor: str) -> str:
    """What comes before the colon of an extractor name; raises `EvalError` when nothing does.

    >>> kind_of("classifier:1f3a")
    'classifier'
    """
    kind, colon, identity = extractor.partition(":")
    if not (kind and colon and identity):
        raise EvalError(
            f"expected an extractor name such as 'classifier:1f3a' (kind:identity), received {extractor!r}"
        )
    return kind


def labelled(metric: str, subset: str) -> str:
    """The name of the number in a report: the metric, then the subset it was measured on."""
    return f"{metric}/{subset}" if subset else metric


def check_same_extractor(expected: str, received: str) -> None:
    """Raises `EvalError` unless both accumulators hold the features of one extractor."""
    if received != expected:
        raise EvalError(f"expected features of {expected}, received features of {received}")
