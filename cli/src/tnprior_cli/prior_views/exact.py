"""The prior of a model, where it answers every question about its latents exactly."""

import copy
from typing import Any

from tnprior_cli.errors import UsageError
from tnprior_core import Flow, LinearMap, SiteDistribution
from tnprior_models import HasPrior, require


def exact_prior(model: Any) -> SiteDistribution:
    """The model's prior over latents and attributes.

    Raises:
        CapabilityError: the model has no prior.
        UsageError: its answers about latents are approximate.
    """
    found = require(model, HasPrior).prior()
    if not isinstance(found, SiteDistribution):
        raise UsageError(
            f"the prior of this run answers questions about latents approximately ({type(found).__name__}); "
            "its pictures need the exact one of a vae, cvae or gan"
        )
    return found


def closed(law: SiteDistribution) -> SiteDistribution:
    """The same, where any of the latents may be left out or conditioned on; behind a linear map, along its axes.

    Raises:
        UsageError: behind a flow that bends.
    """
    if not isinstance(law, Flow):
        return law
    if isinstance(law.flow, LinearMap):
        return law.base
    raise UsageError(
        "behind a flow, some latents without the others have no closed form; of this run `tnp hop` and "
        "`tnp interpolate` show the prior, and marginals need one trained with prior.flow=0"
    )


def precise_prior(model: Any) -> SiteDistribution:
    """The same in double precision: single precision loses the tails of distribution functions.

    Raises:
        UsageError: as `exact_prior`.
    """
    exact_prior(model)
    # The whole model: a prior may ask its encoder.
    found: SiteDistribution = copy.deepcopy(model).double().prior()
    return found
