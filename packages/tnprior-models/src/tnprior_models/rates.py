"""The two learning rates of a model with a prior."""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["nets_and_prior"]


def nets_and_prior(
    model: nn.Module, prior: nn.Module, *, learning_rate: float, prior_learning_rate: float
) -> list[dict[str, Any]]:
    """Parameter groups "nets" and "prior" of what is trained, each only if there is something in it.

    >>> prior = nn.Linear(1, 1)
    >>> groups = nets_and_prior(
    ...     nn.Sequential(nn.Linear(1, 1), prior), prior, learning_rate=1e-3, prior_learning_rate=1e-2
    ... )
    >>> [(group["name"], group["lr"], len(group["params"])) for group in groups]
    [('nets', 0.001, 2), ('prior', 0.01, 2)]
    """
    inside = {id(parameter) for parameter in prior.parameters()}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    nets = [parameter for parameter in trained if id(parameter) not in inside]
    priors = [parameter for parameter in trained if id(parameter) in inside]
    groups = [
        {"name": "nets", "params": nets, "lr": learning_rate},
        {"name": "prior", "params": priors, "lr": prior_learning_rate},
    ]
    return [group for group in groups if group["params"]]
