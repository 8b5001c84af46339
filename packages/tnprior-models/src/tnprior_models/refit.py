"""Re-initialising a prior from the codes that the encoder now gives, and polishing it on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from tnprior_core import (
    ComponentsPrior,
    NetworkPrior,
    initialize_from_clusters,
    initialize_from_mixtures,
)
from tnprior_models.encoding import ENCODE_BATCH, Codes, encode_dataset
from tnprior_models.errors import ModelError
from tnprior_models.joint_density import log_joint, log_joint_and_latent
from tnprior_models.layout import SiteLayout
from tnprior_models.protocols import HasPrior, PriorWeights, WeighsPrior

__all__ = [
    "Fitted",
    "Initialize",
    "Polish",
    "RefitSchedule",
    "fit_prior",
    "initialize_without_attributes",
    "polish_prior",
    "prior_bound",
    "refit_prior",
]

REPORT_EVERY = 100

Initialize = Callable[..., Any]
"""`f(prior, z, codes, observed, seed=...)`, which starts a prior from codes."""


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
        attribute_weight: weight of log p(y_ob|z); None for the model's own (`WeighsPrior`), 1 if it has none.
            A model that weighs labels heavily to shape its codes wants a prior that fits those codes, which
            takes a smaller weight.

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


class Fitted(NamedTuple):
    """How far a fit is: updates made, the mean loss since the last report, and the loss of held-out codes now.

    `loss` is None before the first update, `held` where no codes were held out.
    """

    step: int
    loss: float | None
    held: float | None = None


def polish_prior(
    model: HasPrior,
    codes: Codes,
    polish: Polish,
    *,
    held: Codes | None = None,
    seed: int = 0,
    progress: Callable[[Fitted], None] | None = None,
) -> None:
    """Minimise `-E_q[w_z log p(z) + w_y log p(y_ob|z)]` in the prior alone.

    The terms of the model's own objective that depend on the prior, over cached posteriors: no image is
    encoded or decoded. Fresh samples of q(z|x) at every step keep the prior from fitting single codes. The weights
    are the model's own where it says them (`WeighsPrior`), else 1 and 1, which is the exact bound.
    `progress` is called before the first update, after every hundredth and after the last.

    held
        codes that are not trained on. Their loss is measured at every report, and the prior ends as it was when that
        was lowest, the start included: a large prior learns few codes by heart.
    """
    report = (lambda _: None) if progress is None else progress
    best = _Best(model, held, polish, seed)
    report(Fitted(0, None, best.look()))
    generator = torch.Generator().manual_seed(seed)
    parameters = [parameter for parameter in model.prior.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=polish.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(polish.steps, 1))
    layout, weights = SiteLayout.of(model.prior).to(codes.mu.device), _weights(model, polish.attribute_weight)
    since: list[Tensor] = []
    for step in range(1, polish.steps + 1):
        index = torch.randint(codes.mu.shape[0], (polish.batch_size,), generator=generator, device="cpu")
        batch = codes.rows(index.to(codes.mu.device))
        loss = _prior_loss(model.prior, layout, batch.draw(generator), batch, weights)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        since.append(loss.detach())
        if step % REPORT_EVERY == 0 or step == polish.steps:
            report(Fitted(step, torch.stack(since).mean().item(), best.look()))
            since.clear()
    optimizer.zero_grad(set_to_none=True)
    best.restore()


class _Best:
    """The prior as it was when the loss of held-out codes was lowest; nothing without such codes."""

    def __init__(self, model: HasPrior, held: Codes | None, polish: Polish, seed: int) -> None:
        self.prior, self.held = model.prior, held
        self.weights = _weights(model, polish.attribute_weight)
        self.z = None if held is None else held.draw(torch.Generator().manual_seed(seed))
        self.loss = float("inf")
        self.state: dict[str, Tensor] = {}

    def look(self) -> float | None:
        """The loss now; what is better than all before is remembered."""
        if self.held is None or self.z is None:
            return None
        loss = _mean_loss(self.prior, self.z, self.held, self.weights)
        if loss < self.loss:
            self.loss = loss
            self.state = {name: value.clone() for name, value in self.prior.state_dict().items()}
        return loss

    def restore(self) -> None:
        if self.state:
            self.prior.load_state_dict(self.state)


def prior_bound(model: HasPrior, codes: Codes, *, seed: int = 0) -> float:
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
    z = codes.draw(torch.Generator().manual_seed(seed))
    return -_mean_loss(model.prior, z, codes, PriorWeights())


def _weights(model: HasPrior, attributes: float | None) -> PriorWeights:
    own = model.prior_weights() if isinstance(model, WeighsPrior) else PriorWeights()
    return own if attributes is None else PriorWeights(own.latent, attributes)


@torch.no_grad()
def _mean_loss(prior: nn.Module, z: Tensor, codes: Codes, weights: PriorWeights) -> float:
    """The loss of all codes, at the samples `z` (n, d) of theirs, in pieces."""
    layout, total = SiteLayout.of(prior).to(z.device), 0.0
    for index in torch.arange(len(z), device=z.device).split(ENCODE_BATCH):
        total += _prior_loss(prior, layout, z[index], codes.rows(index), weights).item() * len(index)
    return total / len(z)


def _prior_loss(
    prior: nn.Module, layout: SiteLayout, z: Tensor, batch: Codes, weights: PriorWeights
) -> Tensor:
    if weights.latent == weights.attributes:
        return -weights.latent * log_joint(prior(), layout, z, batch.codes, batch.observed).mean()
    joint, latent = log_joint_and_latent(prior(), layout, z, batch.codes, batch.observed)
    return -(weights.latent * latent + weights.attributes * (joint - latent)).mean()


def initialize_without_attributes(
    prior: Any, z: Tensor, codes: Tensor, observed: Tensor, *, seed: int = 0
) -> None:
    """The published initialisation, 1-D mixtures and noise in the cores, in the form `refit_prior` takes."""
    initialize_from_mixtures(prior, z, seed=seed)


def fit_prior(
    model: HasPrior,
    codes: Codes,
    *,
    initialize: Initialize | None = initialize_from_clusters,
    polish: Polish | None = None,
    held: Codes | None = None,
    seed: int = 0,
    progress: Callable[[Fitted], None] | None = None,
) -> tuple[nn.Parameter, ...]:
    """Fit the prior to codes: initialise it from them, then polish it.

    Args:
        model: with a `prior`, which alone is changed.
        codes: what it is fitted to, of `encode_dataset` or of `read_generated`.
        initialize, polish, held, seed, progress: as in `refit_prior`.

    Returns:
        The parameters that were overwritten: their optimiser state is stale and must be reset.

    Raises:
        ModelError: a prior without parameters or density, or one that clusters cannot initialise.

    >>> from tnprior_core import Categorical, Gaussian, TensorTrainPrior
    >>> from tnprior_models import ImplicitModel
    >>> from tnprior_models.nets import DenseGenerator
    >>> prior = TensorTrainPrior([Gaussian("z0", 3), Categorical("hat")], rank=2)
    >>> model = ImplicitModel(DenseGenerator(1, 2), prior)
    >>> hat = torch.arange(20)[:, None] % 2
    >>> codes = Codes(4.0 * hat + torch.linspace(0, 1, 20)[:, None], torch.zeros(20, 1), hat, hat >= 0)
    >>> stale = fit_prior(model, codes, polish=Polish(steps=1))
    >>> bool(prior().condition({"hat": "1"}).mean[0] > 3)
    True
    """
    _check_fittable(model.prior, initialize)
    if initialize is not None:
        z = codes.draw(torch.Generator().manual_seed(seed))
        initialize(model.prior, z, codes.codes, codes.observed, seed=seed)
    polish_prior(model, codes, polish or Polish(), held=held, seed=seed, progress=progress)
    return tuple(parameter for parameter in model.prior.parameters() if parameter.requires_grad)


def refit_prior(
    model: HasPrior,
    x: Tensor,
    codes: Int[Tensor, "..."],
    observed: Bool[Tensor, "..."],
    *,
    initialize: Initialize | None = initialize_from_clusters,
    limit: int | None = 20_000,
    polish: Polish | None = None,
    held: Codes | None = None,
    seed: int = 0,
    progress: Callable[[Fitted], None] | None = None,
) -> tuple[nn.Parameter, ...]:
    """Fit the prior to the encoder's present codes: initialise it from them, then polish it.

    Args:
        model: with a `prior` and an encoder, `Encodes` or `EncodesLabelled`; only the prior is changed.
        x, codes, observed: the training data, see `encode_dataset`.
        initialize: `f(prior, z, codes, observed, seed=...)`, such as `initialize_from_clusters` or `_axes`,
            `initialize_without_attributes` (the published one); None to polish only, for priors of any kind.
        limit: number of images encoded at most; None for all. At least 5,000 are advisable.
        polish: the training of the prior alone that follows; None for `Polish()`.
        held: codes of other images, by which the best moment of that training is chosen; None for its end.
        seed: of the choice of images, their samples and the initialisation; no global generator is used.
        progress: called as `polish_prior` says.

    Returns:
        The parameters that were overwritten: their optimiser state is stale and must be reset.

    Raises:
        ModelError: no data, a prior without parameters or density, or one that clusters cannot initialise.
        CapabilityError: the model has no encoder.

    >>> from tnprior_core import Categorical, Gaussian, TensorTrainPrior
    >>> from tnprior_models import VAE, Bernoulli, ConvDecoder, ConvEncoder
    >>> nets = [net((1, 8, 8), latent_size=1, width=8) for net in (ConvEncoder, ConvDecoder)]
    >>> vae = VAE(*nets, TensorTrainPrior([Gaussian("z0", 3), Categorical("hat")], rank=2), Bernoulli())
    >>> x, codes = torch.rand(20, 1, 8, 8), torch.arange(20)[:, None] % 2
    >>> stale = refit_prior(vae, x, codes, codes >= 0, polish=Polish(steps=1))
    >>> len(stale) == len(list(vae.prior.parameters()))
    True
    """
    _check_fittable(model.prior, initialize)
    encoded = encode_dataset(model, x, codes, observed, limit=limit, seed=seed)
    return fit_prior(
        model, encoded, initialize=initialize, polish=polish, held=held, seed=seed, progress=progress
    )


def _check_fittable(prior: nn.Module, initialize: Initialize | None) -> None:
    if not any(parameter.requires_grad for parameter in prior.parameters()):
        raise ModelError(f"expected a prior with trainable parameters, received {type(prior).__name__}")
    if not hasattr(prior(), "log_prob"):
        raise ModelError(
            f"expected a prior with a density of codes and labels, received {type(prior).__name__}; give the "
            "networks to a VAE with a tensor prior"
        )
    if initialize is initialize_from_clusters and not isinstance(prior, NetworkPrior | ComponentsPrior):
        raise ModelError(
            "expected a train, ring, factor ring or Gaussian mixture as prior, to initialise it from clusters, "
            f"received {type(prior).__name__}; pass initialize=None to polish it only"
        )
