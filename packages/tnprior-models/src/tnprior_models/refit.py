"""Re-initialising a prior from the codes that the encoder now gives, and polishing it on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from tnprior_core import (
    GaussianMixturePrior,
    NetworkPrior,
    initialize_from_clusters,
    initialize_from_mixtures,
)
from tnprior_models.errors import ModelError
from tnprior_models.vae import VAE

__all__ = [
    "Codes",
    "Fitted",
    "Polish",
    "RefitSchedule",
    "encode_dataset",
    "initialize_without_attributes",
    "polish_prior",
    "prior_bound",
    "refit_prior",
]

ENCODE_BATCH = 512
REPORT_EVERY = 100


@dataclass(frozen=True)
class RefitSchedule:
    """After which epochs the prior is fitted again: `first`, then every `every` epochs, until `last`.

    The published schedule is "after the first epoch, then every five" (TRIP, Kuznetsov et al. 2019).

    Args:
        first: number of completed epochs after which to fit for the first time.
        every: epochs between later fits; 0 for none.
        last: no fit after more than this many epochs; None for no limit.

    Raises:
        ModelError: a negative number of epochs.

    >>> [epoch for epoch in range(13) if RefitSchedule(first=1, every=5).due(epoch)]
    [1, 6, 11]
    """

    first: int = 1
    every: int = 5
    last: int | None = None

    def __post_init__(self) -> None:
        if self.first < 0 or self.every < 0 or (self.last is not None and self.last < 0):
            raise ModelError(f"expected epochs of at least 0 in a refit schedule, received {self}")

    def due(self, epochs: int) -> bool:
        """Whether to fit when `epochs` epochs are completed."""
        since = epochs - self.first
        if since < 0 or (self.last is not None and epochs > self.last):
            return False
        return since == 0 or (self.every > 0 and since % self.every == 0)


@dataclass(frozen=True)
class Polish:
    """How long the prior alone is trained on cached codes after its initialisation.

    Args:
        steps: Adam steps; 0 for none.
        learning_rate: step size at the start; it falls to zero as a cosine.
        batch_size: codes per step.
        attribute_weight: weight of log p(y_ob|z); None for the model's own. A model that weighs labels
            heavily to shape its codes wants a prior that fits those codes, which takes a smaller weight.

    Raises:
        ModelError: a setting out of range.
    """

    steps: int = 300
    learning_rate: float = 1e-2
    batch_size: int = 512
    attribute_weight: float | None = None

    def __post_init__(self) -> None:
        weighed = self.attribute_weight is None or self.attribute_weight >= 0
        if self.steps < 0 or self.learning_rate <= 0 or self.batch_size < 1 or not weighed:
            raise ModelError(
                "expected steps >= 0, learning_rate > 0, batch_size >= 1 and attribute_weight >= 0 or None, "
                f"received {self}"
            )


@dataclass(frozen=True)
class Codes:
    """Posteriors of many images and their attribute table: all that fitting a prior needs.

    `mu`, `sigma` (n, d): mean and standard deviation of q(z|x); `codes` (n, A); `observed` (n, A).
    """

    mu: Float[Tensor, "n d"]
    sigma: Float[Tensor, "n d"]
    codes: Int[Tensor, "n A"]
    observed: Bool[Tensor, "n A"]

    def draw(self, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """One sample of q(z|x) for every image."""
        noise = torch.randn(self.mu.shape, generator=generator, dtype=self.mu.dtype).to(self.mu.device)
        return self.mu + self.sigma * noise

    def rows(self, index: Tensor) -> Codes:
        """The posteriors and attributes of some of the images."""
        return Codes(self.mu[index], self.sigma[index], self.codes[index], self.observed[index])


@torch.no_grad()
def encode_dataset(
    model: VAE,
    x: Tensor,
    codes: Int[Tensor, "..."],
    observed: Bool[Tensor, "..."],
    *,
    limit: int | None = 20_000,
    seed: int = 0,
) -> Codes:
    """Encode a seeded choice of at most `limit` images (all for None), in the model's device and dtype.

    `x` is (n, C, H, W), uint8 (scaled by 1/255) or float in [0, 1].

    Raises:
        ModelError: no images, or tables of different length.

    >>> from tnprior_core import Gaussian, StandardNormalPrior
    >>> from tnprior_models import VAE, Bernoulli, ConvDecoder, ConvEncoder
    >>> nets = [net((1, 8, 8), latent_size=1, width=8) for net in (ConvEncoder, ConvDecoder)]
    >>> vae, none = VAE(*nets, StandardNormalPrior([Gaussian("z0")]), Bernoulli()), torch.zeros(20, 0).long()
    >>> codes = encode_dataset(vae, torch.rand(20, 1, 8, 8), none, none.bool())
    >>> codes.mu.shape, bool((codes.sigma > 0).all())
    (torch.Size([20, 1]), True)
    """
    if not x.shape[0] or not x.shape[0] == codes.shape[0] == observed.shape[0]:
        raise ModelError(
            "expected at least one image and as many rows of attributes, received "
            f"{x.shape[0]} images, {codes.shape[0]} rows of codes, {observed.shape[0]} of the mask"
        )
    count = x.shape[0] if limit is None else min(limit, x.shape[0])
    chosen = torch.randperm(x.shape[0], generator=torch.Generator().manual_seed(seed))[:count]
    home = next(model.encoder.parameters())
    mus, sigmas = [], []
    for index in chosen.split(ENCODE_BATCH):
        images = x[index.to(x.device)].to(home.device)
        scaled = images.to(home.dtype) / 255 if images.dtype == torch.uint8 else images.to(home.dtype)
        posterior = model.encode(scaled)
        mus.append(posterior.mean)
        sigmas.append(posterior.stddev)
    table = [part[chosen.to(part.device)].to(home.device) for part in (codes, observed)]
    return Codes(torch.cat(mus), torch.cat(sigmas), table[0], table[1])


class Fitted(NamedTuple):
    """How far a fit is: updates made, and the mean loss since the last report (None before the first update)."""

    step: int
    loss: float | None


def polish_prior(
    model: VAE,
    codes: Codes,
    polish: Polish,
    *,
    seed: int = 0,
    progress: Callable[[Fitted], None] | None = None,
) -> None:
    """Minimise `-E_q[kl_weight log p(z) + attribute_weight log p(y_ob|z)]` in the prior alone.

    The terms of the model's own objective that depend on the prior, over cached posteriors: no image is
    encoded or decoded. Fresh samples of q(z|x) at every step keep the prior from fitting single codes.
    `progress` is called before the first update, after every hundredth and after the last.
    """
    report = (lambda _: None) if progress is None else progress
    report(Fitted(0, None))
    generator = torch.Generator().manual_seed(seed)
    parameters = [parameter for parameter in model.prior.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=polish.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(polish.steps, 1))
    weight = model.attribute_weight if polish.attribute_weight is None else polish.attribute_weight
    since: list[Tensor] = []
    for step in range(1, polish.steps + 1):
        index = torch.randint(codes.mu.shape[0], (polish.batch_size,), generator=generator)
        batch = codes.rows(index.to(codes.mu.device))
        loss = _prior_loss(model, batch.draw(generator), batch, weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        since.append(loss.detach())
        if step % REPORT_EVERY == 0 or step == polish.steps:
            report(Fitted(step, torch.stack(since).mean().item()))
            since.clear()
    optimizer.zero_grad(set_to_none=True)


@torch.no_grad()
def prior_bound(model: VAE, codes: Codes, *, seed: int = 0) -> float:
    """`E_q[log p(z, y_ob)]`, the mean over posteriors and one sample of each; nats per object.

    On held-out codes it says how well a prior fits; the part of the bound that a frozen network leaves open.

    >>> from tnprior_core import Gaussian, StandardNormalPrior
    >>> from tnprior_models import VAE, Bernoulli, ConvDecoder, ConvEncoder
    >>> nets = [net((1, 8, 8), latent_size=1, width=8) for net in (ConvEncoder, ConvDecoder)]
    >>> vae, none = VAE(*nets, StandardNormalPrior([Gaussian("z0")]), Bernoulli()), torch.zeros(20, 0).long()
    >>> known = Codes(torch.zeros(20, 1), torch.zeros(20, 1), none, none.bool())
    >>> round(prior_bound(vae, known), 3)  # -1/2 log 2 pi
    -0.919
    """
    z, total = codes.draw(torch.Generator().manual_seed(seed)), 0.0
    for index in torch.arange(len(z), device=z.device).split(ENCODE_BATCH):
        total += model.log_joint(z[index], codes.codes[index], codes.observed[index]).double().sum().item()
    return total / len(z)


def _prior_loss(model: VAE, z: Tensor, batch: Codes, attribute_weight: float) -> Tensor:
    if attribute_weight == model.kl_weight:
        return -attribute_weight * model.log_joint(z, batch.codes, batch.observed).mean()
    log_joint, log_latent = model.log_joint_and_latent(z, batch.codes, batch.observed)
    return -(model.kl_weight * log_latent + attribute_weight * (log_joint - log_latent)).mean()


def initialize_without_attributes(
    prior: Any, z: Tensor, codes: Tensor, observed: Tensor, *, seed: int = 0
) -> None:
    """The published initialisation, 1-D mixtures and noise in the cores, in the form `refit_prior` takes."""
    initialize_from_mixtures(prior, z, seed=seed)


def refit_prior(
    model: VAE,
    x: Tensor,
    codes: Int[Tensor, "..."],
    observed: Bool[Tensor, "..."],
    *,
    initialize: Callable[..., Any] | None = initialize_from_clusters,
    limit: int | None = 20_000,
    polish: Polish | None = None,
    seed: int = 0,
    progress: Callable[[Fitted], None] | None = None,
) -> tuple[nn.Parameter, ...]:
    """Fit the prior to the encoder's present codes: initialise it from them, then polish it.

    Args:
        model: encoder and prior are used, only the prior is changed.
        x, codes, observed: the training data, see `encode_dataset`.
        initialize: `f(prior, z, codes, observed, seed=...)`, such as `initialize_from_clusters`,
            `initialize_without_attributes` (the published one); None to polish only, for priors of any kind.
        limit: number of images encoded at most; None for all. At least 5,000 are advisable.
        polish: the training of the prior alone that follows; None for `Polish()`.
        seed: of the choice of images, their samples and the initialisation; the global generator is
            left as it is.
        progress: called as `polish_prior` says.

    Returns:
        The parameters that were overwritten: their optimiser state is stale and must be reset.

    Raises:
        ModelError: no data, a prior without parameters, or one that clusters cannot initialise.

    >>> from tnprior_core import Categorical, Gaussian, TensorTrainPrior
    >>> from tnprior_models import VAE, Bernoulli, ConvDecoder, ConvEncoder
    >>> nets = [net((1, 8, 8), latent_size=1, width=8) for net in (ConvEncoder, ConvDecoder)]
    >>> vae = VAE(*nets, TensorTrainPrior([Gaussian("z0", 3), Categorical("hat")], rank=2), Bernoulli())
    >>> x, codes = torch.rand(20, 1, 8, 8), torch.arange(20)[:, None] % 2
    >>> stale = refit_prior(vae, x, codes, codes >= 0, polish=Polish(steps=1))
    >>> len(stale) == len(list(vae.prior.parameters()))
    True
    """
    prior = model.prior
    _check_fittable(prior, initialize)
    encoded = encode_dataset(model, x, codes, observed, limit=limit, seed=seed)
    if initialize is not None:
        z = encoded.draw(torch.Generator().manual_seed(seed))
        initialize(prior, z, encoded.codes, encoded.observed, seed=seed)
    polish_prior(model, encoded, Polish() if polish is None else polish, seed=seed, progress=progress)
    return tuple(parameter for parameter in prior.parameters() if parameter.requires_grad)


def _check_fittable(prior: nn.Module, initialize: Callable[..., Any] | None) -> None:
    if not any(parameter.requires_grad for parameter in prior.parameters()):
        raise ModelError(f"expected a prior with trainable parameters, received {type(prior).__name__}")
    if initialize is initialize_from_clusters and not isinstance(prior, NetworkPrior | GaussianMixturePrior):
        raise ModelError(
            "expected a tensor-train, tensor-ring or Gaussian-mixture prior to initialise from clusters, "
            f"received {type(prior).__name__}; pass initialize=None to polish it only"
        )
