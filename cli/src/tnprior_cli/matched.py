"""Models of equal size: the networks give way to a prior with more parameters."""

from collections.abc import Callable

import torch

from tnprior_cli.attributes import Objects
from tnprior_cli.config import RunConfig
from tnprior_cli.errors import UsageError
from tnprior_cli.families import build_family


def matched(config: RunConfig, objects: Objects) -> RunConfig:
    """The configuration with the widest networks that stay, with the prior, within `model.parameters`.

    The answer names their sizes and has no budget any more.

    Networks of two sizes (convolutions and dense layers) take the widest convolutions first and then as many dense
    units as still fit, so that two models with other priors differ by less than one unit's worth of parameters.

    Raises:
        UsageError: the smallest networks are too large.
    """
    budget = config.model.parameters
    if budget is None:
        return config
    narrow = _sized(config, width=1, hidden=config.model.hidden)
    if parameter_count(narrow, objects) > budget:
        raise UsageError(
            f"model.parameters = {budget}: the prior and the smallest networks already have "
            f"{parameter_count(narrow, objects):,}; expected at least so many"
        )
    width = _largest(lambda w: parameter_count(_sized(config, width=w), objects) <= budget)
    wide = _sized(config, width=width)
    if parameter_count(_sized(wide, hidden=config.model.hidden + 1), objects) == parameter_count(
        wide, objects
    ):
        return wide  # a family without dense layers
    extra = _largest(
        lambda e: parameter_count(_sized(wide, hidden=config.model.hidden + e - 1), objects) <= budget
    )
    return _sized(wide, hidden=config.model.hidden + extra - 1)


def parameter_count(config: RunConfig, objects: Objects) -> int:
    """Parameters of the model of a configuration, prior included."""
    with torch.random.fork_rng(devices=[]):
        return sum(p.numel() for p in build_family(config, objects).parameters())


def _sized(config: RunConfig, **sizes: int) -> RunConfig:
    model = config.model.model_copy(update={**sizes, "parameters": None})
    return config.model_copy(update={"model": model})


def _largest(fits: Callable[[int], bool]) -> int:
    """The largest number from 1 that fits, of a property that ends somewhere."""
    high = 2
    while fits(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
