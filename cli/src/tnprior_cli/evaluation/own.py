"""What a model itself says about attributes under a condition."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from tnprior_models import HasPrior


def own_entropies(model: object, given: Mapping[str, Any], names: Sequence[str]) -> dict[str, float]:
    """The conditional entropy of each attribute, in nats, from the model's own marginal given the condition.

    `H(y_a | condition) = -sum_c p_c log p_c` with `p = model.prior().condition(given).marginal(a)`. Exact
    under a prior that joins latents and attributes, estimated under a `DecodedPrior`. Empty for a model without a
    prior over the attributes.

    Args:
        model: any model.
        given: evidence by attribute name.
        names: the attributes to tell about.
    """
    sites = (
        {site.name for site in getattr(model.prior, "sites", ())} if isinstance(model, HasPrior) else set()
    )
    if not names or not sites.issuperset({*names, *given}):
        return {}
    with torch.no_grad():
        marginals = model.prior().condition(dict(given)).marginals(list(names))  # type: ignore[attr-defined]
    return {name: float(marginals[name].entropy()) for name in names}
