"""Delete-a-group jackknife: what leaving out each part in turn says about error and bias."""

import math
from collections.abc import Sequence


def jackknife_variance(replicates: Sequence[float]) -> float:
    r"""$\frac{G-1}{G} \sum_g (\hat\theta_{-g} - \bar\theta)^2$ over G groups (Kott 2001).

    >>> jackknife_variance([1.0, 3.0])
    1.0
    """
    count = len(replicates)
    mean = math.fsum(replicates) / count
    return (count - 1) / count * math.fsum((value - mean) ** 2 for value in replicates)


def jackknife_bias(value: float, replicates: Sequence[float]) -> float:
    r"""$(G-1)(\bar\theta - \hat\theta)$: the bias of an estimate whose bias falls as 1/n (Quenouille 1956).

    >>> jackknife_bias(2.0, [2.5, 2.5])
    0.5
    """
    count = len(replicates)
    return (count - 1) * (math.fsum(replicates) / count - value)
