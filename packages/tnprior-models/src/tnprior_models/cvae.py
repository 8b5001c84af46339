"""The conditional variational autoencoder: labels in encoder and decoder, missing ones predicted."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from tnprior_core import LabelLegs, Legs, Likelihood, Mixture
from tnprior_models.changing_weight import RisingWeight
from tnprior_models.decoding import decoded_log_likelihood, draw_objects, in_pieces
from tnprior_models.errors import ModelError
from tnprior_models.joint_density import log_joint
from tnprior_models.label_rows import LabelRows
from tnprior_models.layout import SiteLayout
from tnprior_models.likelihoods import ImageLikelihood
from tnprior_models.losses import conditional_bound
from tnprior_models.objective import Batch, Objective
from tnprior_models.posterior import diagonal_posterior
from tnprior_models.prior_terms import prior_terms
from tnprior_models.protocols import Labelled, PriorWeights, Sampled
from tnprior_models.rates import nets_and_prior

__all__ = ["CVAE"]


class CVAE(nn.Module):
    """A VAE whose encoder and decoder see the labels: `(z, y) ~ p(z, y)`, `p(x|z, y)`, `q(z|x, y)`, `q(y|x)`.

    Trained on a bound of log p(x, y_ob) (nats per image) plus a classification term, `conditional_bound`:
    `L = E_q(y_un|x) E_q(z|x,y) [log p(x|z, y) + log p(z, y) - log q(z|x, y) - log q(y_un|x)]`. Labels that are
    missing are drawn from the predictor `q(y|x) = prod_a q(y_a|x)` and completed like this are seen by encoder and
    decoder. The bound is estimated without bias, and so are its gradients for encoder, decoder and prior. For the
    predictor the entropy is exact and the prior's terms at the drawn code are unbiased; only the gradient through
    drawn labels, of the image's terms and of the code that is encoded with them, is biased (straight-through
    Gumbel-softmax).

    The prior decides what it is:

    * With `StandardNormalPrior`, p(z, y) = N(z; 0, I) p(y), it is the baseline that a joint prior is measured
      against, as strong as it can be made: p(y) may be a tensor train over all attributes, so that a condition on
      any subset of them completes the rest by exact conditional sampling, where the usual CVAE must be told
      every label.
    * With any other prior over its sites, codes may depend on labels: `sample` draws (z, y) from the joint prior
      under the condition and decodes both. `refit_prior` fits such a prior to networks that are trained already;
      build the CVAE anew with the same networks and the other prior.

    Sources: Kingma et al. 2014 (M2); Sohn et al. 2015; baseline of VAE-TTLP (Kuznetsov et al. 2018).

    Args:
        trunk: images (B, C, H, W) in [0, 1] -> features (B, F) that encoder and predictor share.
        predictor: features -> logits (B, L) of all attributes' labels side by side, L their number.
        encoder: features and one-hot rows (B, L) -> mean and log standard deviation of q(z|x, y).
        decoder: codes and one-hot rows side by side (B, d + L) -> what `likelihood` calls `decoded`.
        prior: a module whose call returns a distribution over d continuous sites, the latents, and categorical
            ones, the attributes.
        likelihood: `log_prob(decoded, x)` and `mean(decoded)`, such as `Bernoulli()` or `Gaussian()`.
        attribute_weight: weight of log q(y_ob|x) (Kingma's alpha).
        kl_weight: weight of log p(z) - log q(z|x, y).
        kl_warmup: updates over which that weight rises to its value (`RisingWeight`); 0 for none.
        samples: draws of (y, z) per image and step.
        temperature: of the straight-through gradient.
        learning_rate: Adam's step size for everything but the prior.
        prior_learning_rate: Adam's step size for the prior.

    Raises:
        ModelError: no latent, no attribute, a negative weight, or fewer than one sample.

    >>> from tnprior_core import Categorical, Gaussian, StandardNormalPrior
    >>> from tnprior_models import Bernoulli, ConvDecoder
    >>> from tnprior_models.nets import ConvFeatures, DenseHead, LabelledCode
    >>> prior = StandardNormalPrior([Gaussian("z0"), Gaussian("z1"), Categorical("hat", ("0", "1"))])
    >>> trunk = ConvFeatures((1, 8, 8), width=8)
    >>> cvae = CVAE(
    ...     trunk,
    ...     DenseHead(trunk.size, 2),
    ...     LabelledCode(trunk.size, 2, latent_size=2),
    ...     ConvDecoder((1, 8, 8), latent_size=2 + 2, width=8),
    ...     prior,
    ...     Bernoulli(),
    ... )
    >>> cvae.sample(5, {"hat": "1"}, seed=0).x.shape
    torch.Size([5, 1, 8, 8])
    """

    def __init__(
        self,
        trunk: nn.Module,
        predictor: nn.Module,
        encoder: nn.Module,
        decoder: nn.Module,
        prior: nn.Module,
        likelihood: ImageLikelihood,
        *,
        attribute_weight: float = 1.0,
        kl_weight: float = 1.0,
        kl_warmup: int = 0,
        samples: int = 1,
        temperature: float = 0.5,
        learning_rate: float = 1e-3,
        prior_learning_rate: float = 1e-2,
    ) -> None:
        super().__init__()
        if min(attribute_weight, kl_weight) < 0 or samples < 1 or temperature <= 0:
            raise ModelError(
                "expected weights of at least 0, at least one sample and a positive temperature, received "
                f"attribute_weight={attribute_weight}, kl_weight={kl_weight}, samples={samples}, "
                f"temperature={temperature}"
            )
        self.trunk = trunk
        self.predictor = predictor
        self.encoder = encoder
        self.decoder = decoder
        self.prior = prior
        self.likelihood = likelihood
        self.layout = SiteLayout.of(prior)
        self.rows = LabelRows(self.layout.categorical)
        self.attribute_weight = attribute_weight
        self.kl_weight = kl_weight
        self.kl_share = RisingWeight(kl_warmup)
        self.samples = samples
        self.temperature = temperature
        self.learning_rate = learning_rate
        self.prior_learning_rate = prior_learning_rate

    def objectives(self) -> tuple[Objective, ...]:
        """One objective, the bound with the classification term, with a learning rate for the prior of its own."""
        groups = nets_and_prior(
            self, self.prior, learning_rate=self.learning_rate, prior_learning_rate=self.prior_learning_rate
        )
        adam = partial(torch.optim.Adam, lr=self.learning_rate)
        return (Objective("bound", groups, self.loss, adam, begin=self.kl_share.begin),)

    def prior_weights(self) -> PriorWeights:
        """The weights of log p(z) and of log p(y|z) in the objective; the classification term has no prior in it."""
        return PriorWeights(self.kl_weight, 1.0)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The terms of `conditional_bound` on a batch; `loss` is minimised (nats per image)."""
        x, codes, observed = batch
        self.layout.check(codes, observed)
        features = self.trunk(x)
        log_q = self.predict(features)
        with torch.autocast(x.device.type, enabled=False):
            drawn = self.rows.complete(
                log_q, codes, observed, samples=self.samples, temperature=self.temperature
            )
        terms = prior_terms(self.prior, self.layout).of(
            partial(self.posterior, features, drawn.rows), self.rows.split(log_q), drawn.codes, ~observed
        )
        return conditional_bound(
            self.log_likelihood(terms.z, drawn.rows, x),
            terms.kl,
            terms.log_labels,
            (self.rows.entropy(log_q) * ~observed).sum(-1),
            self._log_q(log_q, codes, observed),
            kl_weight=self.kl_weight * self.kl_share(),
            attribute_weight=self.attribute_weight,
        )

    def predict(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B L"]:
        """log q(y_a|x) of every label of every attribute, side by side."""
        logits: Tensor = self.predictor(features)
        if tuple(logits.shape) != (features.shape[0], self.rows.size):
            raise ModelError(
                f"expected logits of shape ({features.shape[0]}, {self.rows.size}) from the predictor, one for "
                f"each label of {[site.name for site in self.layout.categorical]}, received {tuple(logits.shape)}"
            )
        return self.rows.log_probs(logits)

    def posterior(self, features: Float[Tensor, "B F"], rows: Float[Tensor, "S B L"]) -> Independent[Any]:
        """q(z|x, y_s): batch shape (S, B), event shape (d,)."""
        repeated = features.expand(rows.shape[0], *features.shape).flatten(0, 1)
        mu, log_sigma = self.encoder(repeated, rows.flatten(0, 1))
        flat = diagonal_posterior(
            mu, log_sigma, rows=repeated.shape[0], latent_size=self.layout.latent_size
        ).base_dist
        mean, sigma = (part.unflatten(0, rows.shape[:2]) for part in (flat.loc, flat.scale))
        return Independent(Normal(mean, sigma, validate_args=False), 1, validate_args=False)

    def encode_labelled(
        self,
        x: Float[Tensor, "B C H W"],
        codes: Int[Tensor, "B A"],
        observed: Bool[Tensor, "B A"],
        *,
        seed: int = 0,
        first_row: int = 0,
    ) -> Labelled:
        """q(z|x, y) at the observed labels and one draw from q(y|x) of those that are missing, as in `draws`.

        What a joint prior is fitted to: one sample of `q(y_un|x)`, under which the bound has `E_q[log p(z, y)]`.
        """
        completed = self.draws(x, codes, observed, 1, seed=seed, first_row=first_row)[0]
        at_once = self.posterior(self.trunk(x), self.rows.one_hot(completed)[None]).base_dist
        normal = Normal(at_once.loc[0], at_once.scale[0], validate_args=False)
        return Labelled(Independent(normal, 1, validate_args=False), completed)

    def log_likelihood(
        self, z: Float[Tensor, "S B d"], rows: Float[Tensor, "S B L"], x: Float[Tensor, "B C H W"]
    ) -> Float[Tensor, "S B"]:
        """log p(x|z_s, y_s), nats per image; always in full precision."""
        codes = torch.cat([z, rows.to(z.dtype)], dim=-1)
        return decoded_log_likelihood(self.decoder, self.likelihood, codes, x)

    def log_weights(
        self, x: Float[Tensor, "B C H W"], codes: Int[Tensor, "B A"], observed: Bool[Tensor, "B A"], k: int
    ) -> Float[Tensor, "k B"]:
        """`log p(x|z_i, y_i) + log p(z_i, y_i) - log q(z_i|x, y_i) - log q(y_un,i|x)`, nats.

        The k draws take the missing labels from q(y|x) and the code from q(z|x, y); the mean is the ELBO,
        `importance_bound` the tighter bound, both on log p(x, y_ob).

        Raises:
            ModelError: k below 1.
        """
        if k < 1:
            raise ModelError(f"expected k >= 1 importance samples, received {k}")
        self.layout.check(codes, observed)
        features = self.trunk(x)
        log_q = self.predict(features)
        drawn = self.rows.complete(log_q, codes, observed, samples=k, temperature=self.temperature)
        posterior = self.posterior(features, drawn.rows)
        z = posterior.rsample()
        likelihood = in_pieces(lambda part, rows: self.log_likelihood(part, rows, x), [z, drawn.rows])
        joint = log_joint(self.prior(), self.layout, z, drawn.codes, torch.ones_like(drawn.codes).bool())
        proposed = posterior.log_prob(z) + self._log_q(log_q, drawn.codes, ~observed)
        log_weights: Tensor = likelihood + joint - proposed
        return log_weights

    def sample(
        self, n: int, given: Mapping[str, Any] | None = None, seed: int | None = None, first: int = 0
    ) -> Sampled:
        """Draw n objects given any subset of the attributes: `(z, y_un) ~ p(z, y_un | y_ob)`, decoded with all labels.

        Arguments, streams and errors are those of `VAE.sample`.
        """
        return draw_objects(self.prior, self.decode_values, n, given, seed=seed, first=first)

    def decode_values(self, values: Float[Tensor, "n K"]) -> Float[Tensor, "n ..."]:
        """The object of each row of the prior's site values."""
        z, rows = self.layout.latents_of(values), self.rows.one_hot(self.layout.codes_of(values))
        return self._decode(torch.cat([z, rows.to(z.dtype)], dim=-1))

    @torch.no_grad()
    def reconstruct(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """The decoded mean of q(z|x, y) at the most probable labels y of q(y|x)."""
        features = self.trunk(x)
        codes = torch.stack([part.argmax(-1) for part in self.rows.split(self.predict(features))], dim=-1)
        rows = self.rows.one_hot(codes)
        mean: Tensor = self.posterior(features, rows[None]).mean[0]
        return self._decode(torch.cat([mean, rows.to(mean.dtype)], dim=-1))

    @torch.no_grad()
    def impute(
        self,
        x: Float[Tensor, "B C H W"],
        codes: Int[Tensor, "B A"],
        observed: Bool[Tensor, "B A"],
        *,
        seed: int = 0,
    ) -> list[Float[Tensor, "B C_a"]]:
        """For every attribute q(y_a|x), (B, C_a) each; an observed one has probability one on its code.

        Under every prior this is the predictor, the bound's own approximation of p(y|x, y_ob). The model's answer,
        p(y) integrated over p(x|z, y) p(z|y) for every table of labels, can only be estimated by importance
        sampling (`log_weights`), whose weights are those of whole images: a few draws would decide, at many times
        the cost. The predictor reads the image alone, so known labels do not change the answer about the others.
        Nothing is random: `seed` is taken because every model is asked with one.
        """
        self.layout.check(codes, observed)
        return self._label_probabilities(x, codes, observed)

    @torch.no_grad()
    def draws(
        self,
        x: Float[Tensor, "B C H W"],
        codes: Int[Tensor, "B A"],
        observed: Bool[Tensor, "B A"],
        m: int,
        *,
        seed: int = 0,
        first_row: int = 0,
    ) -> Int[Tensor, "m B A"]:
        """m draws of the missing attributes of every row from q(y|x) (multiple imputation).

        Draw i of row b depends on the row's content, the seed, i and `first_row + b` alone.
        """
        self.layout.check(codes, observed)
        sites = self.layout.categorical
        probabilities = self._label_probabilities(x, codes, observed)
        flat = [LabelLegs((a,), site.states, x.new_zeros(1, 1, site.states)) for a, site in enumerate(sites)]
        evidence = {site.name: Likelihood(table) for site, table in zip(sites, probabilities, strict=True)}
        predicted = Mixture(Legs(sites, flat), x.new_zeros(1)).condition(evidence)
        return predicted.sample((m,), seed=seed, first_row=first_row).round().long()

    def _label_probabilities(self, x: Tensor, codes: Tensor, observed: Tensor) -> list[Tensor]:
        predicted = self.predict(self.trunk(x)).exp()
        certain = self.rows.one_hot(torch.where(observed, codes, torch.zeros_like(codes))).to(predicted)
        tables = torch.where(observed[:, self.rows.owner], certain, predicted)
        return list(self.rows.split(tables))

    def _log_q(self, log_q: Tensor, codes: Tensor, which: Tensor) -> Tensor:
        """Sum over the attributes in `which` of log q(y_a|x)."""
        known = torch.where(which, codes, torch.zeros_like(codes))
        return (self.rows.of_codes(log_q, known) * which).sum(-1)

    def _decode(self, inputs: Tensor) -> Tensor:
        return self.likelihood.mean(self.decoder(inputs))
