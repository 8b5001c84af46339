"""The multimodal variational autoencoder: image and labels from one code, an encoder for each and one for both."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.distributions import Independent, Normal, kl_divergence

from tnprior_models.alignments import JMVAE, Alignment, Encodings
from tnprior_models.changing_weight import RisingWeight
from tnprior_models.decoded_prior import DecodedPrior
from tnprior_models.decoding import decoded_log_likelihood, draw_objects, in_pieces
from tnprior_models.errors import ModelError
from tnprior_models.imputation import pick_points
from tnprior_models.likelihoods import ImageLikelihood
from tnprior_models.losses import multimodal_bound
from tnprior_models.losses.label_information import fixed
from tnprior_models.objective import Batch, Objective
from tnprior_models.posterior import diagonal_posterior
from tnprior_models.posterior_points import posterior_points
from tnprior_models.protocols import Sampled
from tnprior_models.rates import nets_and_prior

__all__ = ["MultimodalVAE"]


class MultimodalVAE(nn.Module):
    """`p(z) = N(0, I)`, `p(x|z)`, `prod_a p(y_a|z)`; encoders q(z|x, y_ob), q(z|x) and q(z|y_ob).

    Trained on the bound of image and observed labels, `multimodal_bound`, and on what `alignment` asks of the
    encoders of one of the two: `JMVAE` (Suzuki et al. 2016) or `TELBO` (Vedantam et al. 2018). A condition on
    labels is `z ~ q(z|y_given)`, an approximation that no prior makes exact: the baselines that a joint prior
    of codes and labels is measured against.

    A missing label is no input of an encoder and no term of the bound. The label encoder learns from a random
    subset of the observed labels, every number of them as often as another, so that it has met requests of one
    label and of all; where nothing is observed q(z|x) stands in for the joint encoder and N(0, I) for q(z|y).

    Args:
        trunk: images (B, C, H, W) in [0, 1] -> features (B, F) that both encoders of images share.
        joint_encoder: features and joined one-hot rows (B, L) -> mean and log standard deviation of
            q(z|x, y_ob), each (B, d).
        image_encoder: features -> mean and log standard deviation of q(z|x).
        decoder: codes (B, d) -> what `likelihood` calls `decoded`.
        prior: N(0, I) with the label decoder and the label encoder.
        likelihood: `log_prob(decoded, x)` and `mean(decoded)`, such as `Bernoulli()` or `Gaussian()`.
        alignment: how the encoders of one learn; `JMVAE()` if None.
        attribute_weight: weight of log p(y_ob|z) in the joint bound (lambda of Vedantam et al.).
        kl_weight: weight of KL(q(z|x, y_ob) || p(z)) there.
        kl_warmup: updates over which that weight rises to its value (`RisingWeight`); 0 for none.
        samples: posterior samples per image and step.
        learning_rate: Adam's step size for everything but label decoder and label encoder.
        prior_learning_rate: Adam's step size for these two.

    Raises:
        ModelError: a negative weight, or fewer than one sample.

    >>> from tnprior_core import Categorical, Gaussian
    >>> from tnprior_models import Bernoulli, ConvDecoder, ConvFeatures, DenseHead, LabelledCode
    >>> from tnprior_models.nets import DenseCode, LabelCode
    >>> trunk = ConvFeatures((1, 8, 8), width=8)
    >>> sites = [Gaussian("z0"), Gaussian("z1"), Categorical("hat", ("0", "1"))]
    >>> jmvae = MultimodalVAE(
    ...     trunk,
    ...     LabelledCode(trunk.size, 2, latent_size=2),
    ...     DenseCode(trunk.size, latent_size=2),
    ...     ConvDecoder((1, 8, 8), latent_size=2, width=8),
    ...     DecodedPrior(sites, DenseHead(2, 2), LabelCode(2, latent_size=2)),
    ...     Bernoulli(),
    ... )
    >>> jmvae.sample(5, {"hat": "1"}, seed=0).x.shape
    torch.Size([5, 1, 8, 8])
    """

    def __init__(
        self,
        trunk: nn.Module,
        joint_encoder: nn.Module,
        image_encoder: nn.Module,
        decoder: nn.Module,
        prior: DecodedPrior,
        likelihood: ImageLikelihood,
        alignment: Alignment | None = None,
        *,
        attribute_weight: float = 1.0,
        kl_weight: float = 1.0,
        kl_warmup: int = 0,
        samples: int = 1,
        learning_rate: float = 1e-3,
        prior_learning_rate: float = 1e-3,
    ) -> None:
        super().__init__()
        if min(attribute_weight, kl_weight) < 0 or samples < 1:
            raise ModelError(
                "expected weights of at least 0 and at least one sample, received "
                f"attribute_weight={attribute_weight}, kl_weight={kl_weight}, samples={samples}"
            )
        self.trunk = trunk
        self.joint_encoder = joint_encoder
        self.image_encoder = image_encoder
        self.decoder = decoder
        self.prior = prior
        self.likelihood = likelihood
        self.alignment: Alignment = JMVAE() if alignment is None else alignment
        self.layout = prior.layout
        self.attribute_weight = attribute_weight
        self.kl_weight = kl_weight
        self.kl_share = RisingWeight(kl_warmup)
        self.samples = samples
        self.learning_rate = learning_rate
        self.prior_learning_rate = prior_learning_rate

    def objectives(self) -> tuple[Objective, ...]:
        """One objective, the bound with the alignment, with a learning rate for the prior's two nets of its own."""
        groups = nets_and_prior(
            self, self.prior, learning_rate=self.learning_rate, prior_learning_rate=self.prior_learning_rate
        )
        adam = partial(torch.optim.Adam, lr=self.learning_rate)
        return (Objective("bound", groups, self.loss, adam, begin=self.kl_share.begin),)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The terms of `multimodal_bound` and those of the alignment; `loss` is minimised (nats per image)."""
        x, codes, observed = batch
        self.layout.check(codes, observed)
        features = self.trunk(x)
        image = self._image_posterior(features)
        joint = self._joint_posterior(features, image, codes, observed)
        z = joint.rsample(torch.Size((self.samples,)))
        some = observed & _some(observed)
        standard = self.prior.standard(z)
        with torch.autocast(z.device.type, enabled=False):
            labels = self.prior.given(codes, some)
            kl = kl_divergence(joint, standard.expand(joint.batch_shape))
        terms = multimodal_bound(
            self.log_likelihood(z, x),
            self.prior.log_observed(self.prior.log_labels(z), codes, observed),
            kl,
            kl_weight=self.kl_weight * self.kl_share(),
            attribute_weight=self.attribute_weight,
        )
        aligned = self.alignment.terms(
            Encodings(
                joint,
                image,
                labels,
                standard.expand(joint.batch_shape),
                partial(self._frozen_log_likelihood, x=x),
                partial(self._frozen_log_labels, codes=codes, observed=some),
                self.samples,
            )
        )
        return {**terms, **aligned, "loss": terms["loss"] + aligned["loss"]}

    def encode(self, x: Float[Tensor, "B C H W"]) -> Independent[Any]:
        """q(z|x), of the image alone: `Independent(Normal)` with batch shape (B,), event shape (d,)."""
        return self._image_posterior(self.trunk(x))

    def posterior(
        self, x: Float[Tensor, "B C H W"], codes: Int[Tensor, "B A"], observed: Bool[Tensor, "B A"]
    ) -> Independent[Any]:
        """q(z|x, y_ob); q(z|x) where nothing is observed."""
        self.layout.check(codes, observed)
        features = self.trunk(x)
        return self._joint_posterior(features, self._image_posterior(features), codes, observed)

    def decode(self, z: Float[Tensor, "B d"]) -> Float[Tensor, "B C H W"]:
        """The mean image of each code, in [0, 1]."""
        return self.likelihood.mean(self.decoder(z))

    def log_likelihood(self, z: Float[Tensor, "S B d"], x: Float[Tensor, "B C H W"]) -> Float[Tensor, "S B"]:
        """log p(x|z_s), nats per image; always in full precision."""
        return decoded_log_likelihood(self.decoder, self.likelihood, z, x)

    def log_weights(
        self, x: Float[Tensor, "B C H W"], codes: Int[Tensor, "B A"], observed: Bool[Tensor, "B A"], k: int
    ) -> Float[Tensor, "k B"]:
        """`log p(x|z_i) + log p(y_ob|z_i) + log p(z_i) - log q(z_i|x, y_ob)` for k samples of q, nats.

        The mean is the ELBO, `importance_bound` the tighter bound, both on log p(x, y_ob).

        Raises:
            ModelError: k below 1.
        """
        if k < 1:
            raise ModelError(f"expected k >= 1 importance samples, received {k}")
        posterior = self.posterior(x, codes, observed)
        z = posterior.rsample(torch.Size((k,)))
        likelihood = in_pieces(lambda part: self.log_likelihood(part, x), [z])
        labels = self.prior.log_observed(self.prior.log_labels(z), codes, observed)
        log_weights: Tensor = likelihood + labels + self.prior.standard(z).log_prob(z) - posterior.log_prob(z)
        return log_weights

    def sample(
        self, n: int, given: Mapping[str, Any] | None = None, seed: int | None = None, first: int = 0
    ) -> Sampled:
        """Draw n objects given any subset of the attributes: `z ~ q(z|y_given)`, the rest of the labels from p(y|z).

        Arguments, streams and errors are those of `VAE.sample`; `log_evidence` is an estimate, see
        `DecodedDistribution`.
        """
        return draw_objects(self.prior, self.decode_values, n, given, seed=seed, first=first)

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
        """For every attribute p(y_a|z) averaged over `points` of q(z|x, y_ob); (B, C_a) each.

        Deterministic: a row's answer depends on the row and the seed alone.
        """
        z = posterior_points(self.posterior(x, codes, observed), points, seed=seed)
        predicted = self.prior.log_labels(z).exp().mean(0)
        certain = self.prior.one_hot(codes, observed).to(predicted)
        rows = self.prior.rows
        return list(rows.split(torch.where(observed[:, rows.owner], certain, predicted)))

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
        """m joint draws of the missing attributes of every row: a point of q(z|x, y_ob), then labels from p(y|z).

        Draw i of row b depends on the row's content, the seed, i and `first_row + b` alone.
        """
        z = posterior_points(self.posterior(x, codes, observed), points, seed=seed)
        equal = z.new_full(z.shape[:-1], 1 / points)
        picked = pick_points(z, equal, m, seed=seed, first_row=first_row)
        drawn = self.prior.draw_labels(picked, seed=seed, first_row=first_row)
        return torch.where(observed, codes, drawn)

    def _image_posterior(self, features: Tensor) -> Independent[Any]:
        return diagonal_posterior(
            *self.image_encoder(features), rows=features.shape[0], latent_size=self.layout.latent_size
        )

    def _joint_posterior(
        self, features: Tensor, image: Independent[Any], codes: Tensor, observed: Tensor
    ) -> Independent[Any]:
        mu, log_sigma = self.joint_encoder(features, self.prior.one_hot(codes, observed))
        joint = diagonal_posterior(
            mu, log_sigma, rows=features.shape[0], latent_size=self.layout.latent_size
        ).base_dist
        some, alone = observed.any(dim=-1, keepdim=True), image.base_dist
        loc, scale = torch.where(some, joint.loc, alone.loc), torch.where(some, joint.scale, alone.scale)
        return Independent(Normal(loc, scale, validate_args=False), 1, validate_args=False)

    def _frozen_log_likelihood(self, z: Tensor, x: Tensor) -> Tensor:
        found: Tensor = fixed(_Pixels(self.decoder, self.likelihood))(z, x)
        return found

    def _frozen_log_labels(self, z: Tensor, codes: Tensor, observed: Tensor) -> Tensor:
        logits = fixed(self.prior.label_decoder)(z.flatten(0, 1)).unflatten(0, z.shape[:2])
        return self.prior.log_observed(self.prior.normalized(logits), codes, observed)

    def decode_values(self, values: Float[Tensor, "n K"]) -> Float[Tensor, "n ..."]:
        """The object of each row of the prior's site values."""
        return self.decode(self.layout.latents_of(values))


class _Pixels(nn.Module):
    """log p(x|z) with decoder and likelihood as one module, so that both can be held fixed."""

    def __init__(self, decoder: nn.Module, likelihood: ImageLikelihood) -> None:
        super().__init__()
        self.decoder, self.likelihood = decoder, likelihood

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        return decoded_log_likelihood(self.decoder, self.likelihood, z, x)


def _some(observed: Bool[Tensor, "B A"]) -> Bool[Tensor, "B A"]:
    """A random subset of the attributes for each row, every number of them as probable as another."""
    share = torch.rand(observed.shape[0], 1, device=observed.device)
    return torch.rand(observed.shape, device=observed.device) < share
