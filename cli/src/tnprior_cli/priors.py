"""From the settings of a prior to a prior: the only place that knows which class a kind means."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tnprior_cli.attributes import Objects
from tnprior_cli.config import RunConfig
from tnprior_core import (
    Categorical,
    ComponentsPrior,
    FactorRingPrior,
    FlowPrior,
    Gaussian,
    GaussianMixturePrior,
    LinearMap,
    NetworkPrior,
    StandardNormalPrior,
    TensorRingPrior,
    TensorTrainPrior,
    VampPrior,
    initialize_from_labels,
    initialize_near_normal,
    interleaved_order,
    random_order,
)
from tnprior_models.posterior import diagonal_posterior

Sites = Sequence[Gaussian | Categorical]


@dataclass(frozen=True)
class CodesOf:
    """An encoder's answer as mean and standard deviation, which is what a VampPrior asks for.

    An object and not a closure, so that a copy of the model has a prior that asks the copy's encoder.
    """

    encoder: nn.Module
    latents: int

    def __call__(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (C, d) of q(z|u) for pseudo-inputs (C, ...)."""
        codes = diagonal_posterior(*self.encoder(u), rows=len(u), latent_size=self.latents)
        return codes.base_dist.loc, codes.base_dist.scale


def build_prior(config: RunConfig, objects: Objects, encoder: nn.Module | None = None) -> Any:
    """The prior over `latents` Gaussian sites and one categorical site per attribute.

    Args:
        config: with the settings of the prior.
        objects: what is modelled.
        encoder: of the model, which a vamp prior shares; None where there is none.
    """
    prior = config.prior
    latents = [Gaussian(f"z{i}", components=prior.components or 1) for i in range(config.model.latents)]
    sites: Sites = [*latents, *(Categorical(a.name, a.labels) for a in objects.attributes)]
    built = (
        _vamp(sites, config, objects, encoder) if prior.kind == "vamp" else _KINDS[prior.kind](sites, config)
    )
    if isinstance(built, NetworkPrior | ComponentsPrior):
        _start(built, config)
    if prior.initialize == "axes":
        built = FlowPrior(built, LinearMap(config.model.latents))
    if prior.flow:
        built = FlowPrior(built, layers=prior.flow, hidden=prior.flow_hidden, seed=config.seed)
    return built.requires_grad_(not prior.fixed)


def _start(built: NetworkPrior | ComponentsPrior, config: RunConfig) -> None:
    prior = config.prior
    leak = {} if prior.leak is None else {"leak": prior.leak}
    if isinstance(built, NetworkPrior) and prior.start == "normal":
        initialize_near_normal(built, seed=config.seed, spread=prior.spread or 0.0, **leak)
    elif prior.start == "labels" or (isinstance(built, NetworkPrior) and prior.start is None):
        _from_labels(built, config, leak)


def _from_labels(built: NetworkPrior | ComponentsPrior, config: RunConfig, leak: dict[str, float]) -> None:
    prior = config.prior
    if built.attributes and prior.spread:
        purity = {} if prior.purity is None else {"purity": prior.purity}
        switch = {} if prior.switch is None else {"switch": prior.switch}
        initialize_from_labels(built, seed=config.seed, spread=prior.spread, **purity, **switch, **leak)


def _vamp(sites: Sites, config: RunConfig, objects: Objects, encoder: nn.Module | None) -> VampPrior:
    """Pseudo-inputs start as noise; training puts examples in their place before its first step."""
    if encoder is None:
        raise TypeError("a vamp prior needs the encoder of its model")
    generator = torch.Generator().manual_seed(config.seed)
    inputs = torch.rand(config.prior.components or 1, *objects.shape, generator=generator)
    return VampPrior(sites, inputs, CodesOf(encoder, config.model.latents), seed=config.seed)


def _layout(sites: Sites, config: RunConfig) -> dict[str, Any]:
    """The order of the sites, and the seed of their noise; `information` finds its order at the first refit."""
    orders = {
        None: interleaved_order(sites),
        "interleaved": interleaved_order(sites),
        "random": random_order(sites, seed=config.seed),
    }
    prior = config.prior
    return {"order": orders.get(prior.order), "width": prior.width, "seed": config.seed}


def _cores(sites: Sites, config: RunConfig) -> dict[str, Any]:
    return {**_layout(sites, config), "rank": config.prior.rank, "factored": config.prior.factored}


_KINDS: dict[str, Any] = {
    "train": lambda sites, config: TensorTrainPrior(sites, **_cores(sites, config)),
    "ring": lambda sites, config: TensorRingPrior(sites, **_cores(sites, config)),
    "factor-ring": lambda sites, config: FactorRingPrior(
        sites,
        config.prior.components,
        points=config.prior.rank,
        factors=config.prior.factors,
        **_layout(sites, config),
    ),
    "mixture": lambda sites, config: GaussianMixturePrior(
        sites, components=config.prior.components, width=config.prior.width, seed=config.seed
    ),
    "normal": lambda sites, config: StandardNormalPrior(sites, rank=config.prior.rank, seed=config.seed),
}
