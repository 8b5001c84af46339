"""The variational autoencoder with any prior over latents and attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.distributions import Independent

from tnprior_models.changing_weight import FallingWeight, RisingWeight
from tnprior_models.decoding import decoded_log_likelihood, draw_objects, in_pieces
from tnprior_models.errors import ModelError
from tnprior_models.imputation import attribute_probabilities, draw_attributes
from tnprior_models.joint_density import log_joint, log_joint_and_latent
from tnprior_models.layout import SiteLayout
from tnprior_models.likelihoods import ImageLikelihood
from tnprior_models.losses import joint_bound, label_information
from tnprior_models.losses.label_information import fixed
from tnprior_models.objective import Batch, Objective
from tnprior_models.posterior import diagonal_posterior
from tnprior_models.posterior_points import posterior_points
from tnprior_models.protocols import PriorWeights, Sampled
from tnprior_models.rates import nets_and_prior

__all__ = ["VAE"]


class VAE(nn.Module):
    """A VAE whose prior spans latents and attributes: `x ~ p(x|z)`, `(z, y) ~ p(z, y)`, `q(z|x)`.

    Trained on the exact bound of image and observed attributes (nats per image),
    `L = E_q[log p(x|z) + log p(z, y_ob) - log q(z|x)]`,
    so that missing attributes are summed out and none is ever guessed. Assumes `q(z|x, y) = q(z|x)` and
    `p(x|z, y) = p(x|z)`. Sources: VAE-TTLP (Kuznetsov et al. 2018), equation 6; TRIP (Kuznetsov et al.
    2019), equation 14. The separate weights are those of GENTRL (Zhavoronkov et al. 2019).

    Args:
        encoder: images (B, C, H, W) in [0, 1] -> mean and log standard deviation of q(z|x), each (B, d).
        decoder: codes (B, d) -> what `likelihood` calls `decoded`.
        prior: a module whose call returns a distribution over sites; its d continuous sites are the
            latents, its categorical ones the attributes, in their order.
        likelihood: `log_prob(decoded, x)` and `mean(decoded)`, such as `Bernoulli()` or `Gaussian()`.
        attribute_weight: weight of log p(y_ob|z); 1 is the exact bound, more makes the codes tell the
            attributes apart sooner.
        attribute_lead: how many times as much that weight is at the first update (`FallingWeight`).
        attribute_lead_updates: updates over which it falls to its value; 0 for none.
        prior_attribute_weight: the weight that this term has in the prior's own gradient; None for the same.
            A prior that learns with the large weight that codes need fits labels it has seen, not densities.
            Not for a prior that shares parameters with the networks.
        kl_weight: weight of log p(z) - log q(z|x).
        kl_warmup: updates over which that weight rises to its value (`RisingWeight`); 0 for none.
        information_weight: weight of `label_information`, what the encoder reads back of the labels of
            objects drawn from the prior, half as many as the batch has, given one label of one attribute
            that changes from step to step; it teaches the decoder to show them. 0 is the bound alone.
        samples: posterior samples per image and step.
        learning_rate: Adam's step size for encoder, decoder and likelihood.
        prior_learning_rate: Adam's step size for the prior.

    Raises:
        ModelError: no continuous site, a negative weight, or fewer than one sample.

    >>> from tnprior_core import Categorical, Gaussian, TensorTrainPrior
    >>> from tnprior_models import Bernoulli, ConvDecoder, ConvEncoder
    >>> sites = [Gaussian("z0", components=3), Gaussian("z1", components=3), Categorical("hat", ("0", "1"))]
    >>> vae = VAE(
    ...     ConvEncoder((1, 8, 8), latent_size=2, width=8),
    ...     ConvDecoder((1, 8, 8), latent_size=2, width=8),
    ...     TensorTrainPrior(sites, rank=4),
    ...     Bernoulli(),
    ... )
    >>> vae.sample(5, {"hat": "1"}, seed=0).x.shape
    torch.Size([5, 1, 8, 8])
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        prior: nn.Module,
        likelihood: ImageLikelihood,
        *,
        attribute_weight: float = 1.0,
        attribute_lead: float = 1.0,
        attribute_lead_updates: int = 0,
        prior_attribute_weight: float | None = None,
        kl_weight: float = 1.0,
        kl_warmup: int = 0,
        information_weight: float = 0.0,
        samples: int = 1,
        learning_rate: float = 1e-3,
        prior_learning_rate: float = 1e-2,
    ) -> None:
        super().__init__()
        if (
            min(attribute_weight, prior_attribute_weight or 0.0, kl_weight, information_weight) < 0
            or samples < 1
        ):
            raise ModelError(
                "expected weights of at least 0 and at least one sample, received "
                f"attribute_weight={attribute_weight}, "
                f"prior_attribute_weight={prior_attribute_weight}, kl_weight={kl_weight}, "
                f"information_weight={information_weight}, samples={samples}"
            )
        self.encoder = encoder
        self.decoder = decoder
        self.prior = prior
        self.likelihood = likelihood
        self.layout = SiteLayout.of(prior)
        self.attribute_weight = attribute_weight
        self.prior_attribute_weight = prior_attribute_weight
        self.attribute_share = FallingWeight(attribute_lead, attribute_lead_updates)
        self.kl_weight = kl_weight
        self.kl_share = RisingWeight(kl_warmup)
        self.information_weight = information_weight
        self.samples = samples
        self.learning_rate = learning_rate
        self.prior_learning_rate = prior_learning_rate

    def objectives(self) -> tuple[Objective, ...]:
        """One objective, the bound, with separate learning rates for the nets and the prior."""
        groups = nets_and_prior(
            self, self.prior, learning_rate=self.learning_rate, prior_learning_rate=self.prior_learning_rate
        )
        adam = partial(torch.optim.Adam, lr=self.learning_rate)
        return (Objective("bound", groups, self.loss, adam, begin=self._begin),)

    def _begin(self, step: int) -> None:
        self.kl_share.begin(step)
        self.attribute_share.begin(step)

    def prior_weights(self) -> PriorWeights:
        """The weights of log p(z) and of log p(y_ob|z) in what the prior learns."""
        own = self.prior_attribute_weight
        return PriorWeights(self.kl_weight, self.attribute_weight if own is None else own)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The terms of `joint_bound`, and `label_information`; `loss` is minimised (nats per image)."""
        x, codes, observed = batch
        posterior = self.encode(x)
        z = posterior.rsample(torch.Size((self.samples,)))
        apart = self.prior_attribute_weight is not None and bool(self.layout.categorical)
        log_joint, log_latent = (
            self.log_joint_and_latent(z, codes, observed, fixed(self.prior)())
            if apart
            else self.log_prior(z, codes, observed)
        )
        terms = joint_bound(
            posterior,
            self.log_likelihood(z, x),
            log_joint,
            log_latent=log_latent,
            kl_weight=self.kl_weight * self.kl_share(),
            attribute_weight=self.attribute_weight * self.attribute_share(),
        )
        if apart and torch.is_grad_enabled():
            terms["loss"] = terms["loss"] + self._prior_gradient(z.detach(), codes, observed)
        if not self.information_weight or not self.layout.categorical:
            return terms
        information = self._information(max(1, x.shape[0] // 2))
        return {
            **terms,
            "loss": terms["loss"] - self.information_weight * information,
            "information": information,
        }

    def _prior_gradient(self, z: Tensor, codes: Tensor, observed: Tensor) -> Float[Tensor, ""]:
        """Zero, with the gradient of `- E[log p(z)] - w E[log p(y_ob|z)]` in the prior; w is the prior's own."""
        joint, latent = (term.mean() for term in self.log_joint_and_latent(z, codes, observed))
        weights = self.prior_weights()
        loss: Tensor = -weights.latent * self.kl_share() * latent - weights.attributes * (joint - latent)
        return loss - loss.detach()

    def _information(self, n: int) -> Float[Tensor, ""]:
        """`label_information` of n objects of one label; its gradient moves the decoder alone.

        A label of an attribute is drawn, every one as often as another, and the objects given it: what is
        rare in the data is asked for as well.
        """
        with torch.no_grad():
            values = self._given_some_label(self.prior()).sample((n,))
        encode, prior = fixed(self.encoder), fixed(self.prior)
        size = self.layout.latent_size

        def log_labels(z: Tensor, codes: Tensor) -> Tensor:
            joint, latent = self.log_joint_and_latent(z, codes, torch.ones_like(codes).bool(), prior())
            return joint - latent

        return label_information(
            self.layout.latents_of(values),
            self.layout.codes_of(values),
            decode=self.decode,
            encode=lambda x: diagonal_posterior(*encode(x), rows=n, latent_size=size),
            log_labels=log_labels,
        )

    def _given_some_label(self, distribution: Any) -> Any:
        sites = self.layout.categorical
        site = sites[int(torch.randint(len(sites), (), device="cpu"))]
        label = site.labels[int(torch.randint(site.states, (), device="cpu"))]
        conditioned = distribution.condition({site.name: label})
        return conditioned if bool(conditioned.log_evidence.isfinite()) else distribution

    def encode(self, x: Float[Tensor, "B C H W"]) -> Independent[Any]:
        """q(z|x): `Independent(Normal)` with batch shape (B,), event shape (d,).

        Raises:
            ModelError: the encoder's code has another size than the prior's continuous sites.
        """
        mu, log_sigma = self.encoder(x)
        return diagonal_posterior(mu, log_sigma, rows=x.shape[0], latent_size=self.layout.latent_size)

    def decode(self, z: Float[Tensor, "B d"]) -> Float[Tensor, "B C H W"]:
        """The mean image of each code, in [0, 1]."""
        return self.likelihood.mean(self.decoder(z))

    def log_likelihood(self, z: Float[Tensor, "S B d"], x: Float[Tensor, "B C H W"]) -> Float[Tensor, "S B"]:
        """log p(x|z_s), nats per image; always in full precision."""
        return decoded_log_likelihood(self.decoder, self.likelihood, z, x)

    def log_prior(
        self, z: Float[Tensor, "S B d"], codes: Int[Tensor, "B A"], observed: Bool[Tensor, "B A"]
    ) -> tuple[Float[Tensor, "S B"], Float[Tensor, "S B"] | None]:
        """log p(z, y_ob) and, if the weights need it apart, log p(z); one batched contraction."""
        self.layout.check(codes, observed)
        changing = self.kl_share.updates or self.attribute_share.updates
        if self.attribute_weight != self.kl_weight or (changing and self.layout.categorical):
            return self.log_joint_and_latent(z, codes, observed)
        return self.log_joint(z, codes, observed), None

    def log_joint(
        self, z: Float[Tensor, "... d"], codes: Int[Tensor, "B A"], observed: Bool[Tensor, "B A"]
    ) -> Float[Tensor, "..."]:
        """log p(z, y_ob) under the prior."""
        with torch.autocast(z.device.type, enabled=False):
            return log_joint(self.prior(), self.layout, z, codes, observed)

    def log_joint_and_latent(
        self,
        z: Float[Tensor, "... d"],
        codes: Int[Tensor, "B A"],
        observed: Bool[Tensor, "B A"],
        distribution: Any = None,
    ) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
        """log p(z, y_ob) and log p(z) by one contraction, under the prior unless told otherwise."""
        p = self.prior() if distribution is None else distribution
        return log_joint_and_latent(p, self.layout, z, codes, observed)

    def log_weights(
        self,
        x: Float[Tensor, "B C H W"],
        codes: Int[Tensor, "B A"],
        observed: Bool[Tensor, "B A"],
        k: int,
    ) -> Float[Tensor, "k B"]:
        """`log p(x|z_i) + log p(z_i, y_ob) - log q(z_i|x)` for k samples of q(z|x), nats.

        The mean is the ELBO, `importance_bound` the tighter bound, both on log p(x, y_ob). Memory grows
        with k times B; wrap in `torch.no_grad()` when only the numbers are wanted.

        Raises:
            ModelError: k below 1.
        """
        return self.log_weights_of(x, [(codes, observed)], k)[0]

    def log_weights_of(
        self,
        x: Float[Tensor, "B C H W"],
        tables: Sequence[tuple[Int[Tensor, "B A"], Bool[Tensor, "B A"]]],
        k: int,
    ) -> Float[Tensor, "tables k B"]:
        """`log_weights` with several tables `(codes, observed)` of labels, of the same k samples, decoded once.

        Raises:
            ModelError: k below 1.
        """
        if k < 1:
            raise ModelError(f"expected k >= 1 importance samples, received {k}")
        for codes, observed in tables:
            self.layout.check(codes, observed)
        posterior, distribution = self.encode(x), self.prior()
        z = posterior.rsample(torch.Size((k,)))
        alone = in_pieces(lambda part: self.log_likelihood(part, x), [z]) - posterior.log_prob(z)
        joint = [
            distribution.log_prob(self.layout.join(z, codes), observed=self.layout.mask(z, observed))
            for codes, observed in tables
        ]
        log_weights: Tensor = alone + torch.stack(joint)
        return log_weights

    def sample(
        self, n: int, given: Mapping[str, Any] | None = None, seed: int | None = None, first: int = 0
    ) -> Sampled:
        """Draw n objects given any subset of the attributes (or of the latents), the rest summed out.

        With a seed, object i depends on `(seed, first + i)` alone, never on n. A condition per row (codes
        of shape (B,)) gives n objects for each of the B rows: `x` (n, B, C, H, W).

        Args:
            n: number of objects.
            given: site name -> evidence, as `condition` of the prior's distribution takes it.
            seed: names the stream; None draws from torch's global generator.
            first: index of the first object in the stream.

        Raises:
            TnpriorError: unknown names or labels; an impossible condition.
        """
        return draw_objects(self.prior, self.decode_values, n, given, seed=seed, first=first)

    def decode_values(self, values: Float[Tensor, "n K"]) -> Float[Tensor, "n ..."]:
        """The object of each row of the prior's site values."""
        return self.decode(self.layout.latents_of(values))

    @torch.no_grad()
    def reconstruct(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """The decoded mean of q(z|x)."""
        return self.decode(self.encode(x).mean)

    @torch.no_grad()
    def impute(
        self,
        x: Float[Tensor, "B C H W"],
        codes: Int[Tensor, "B A"],
        observed: Bool[Tensor, "B A"],
        *,
        points: int = 32,
        seed: int = 0,
    ) -> list[Float[Tensor, "B C_a"]]:
        """For every attribute p(y_a | x, y_ob), averaged over `points` of q(z|x); (B, C_a) each.

        Deterministic: a row's answer depends on the row and the seed alone.
        """
        self.layout.check(codes, observed)
        z = posterior_points(self.encode(x), points, seed=seed)
        return attribute_probabilities(self.prior(), self.layout, z, codes, observed)

    @torch.no_grad()
    def draws(
        self,
        x: Float[Tensor, "B C H W"],
        codes: Int[Tensor, "B A"],
        observed: Bool[Tensor, "B A"],
        m: int,
        *,
        points: int = 64,
        seed: int = 0,
        first_row: int = 0,
    ) -> Int[Tensor, "m B A"]:
        """m joint draws of the missing attributes of every row (multiple imputation).

        Draw i of row b depends on the row's content, the seed, i and `first_row + b` alone, so a table may
        be imputed in batches of any size.
        """
        self.layout.check(codes, observed)
        z = posterior_points(self.encode(x), points, seed=seed)
        return draw_attributes(
            self.prior(), self.layout, z, codes, observed, draws=m, seed=seed, first_row=first_row
        )
