"""The VampPrior: a mixture of the encoder's own answers to learned inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tnprior_core.distributions.mixture import Mixture
from tnprior_core.errors import ShapeError, SiteError
from tnprior_core.legs import GaussianLegs, LabelLegs, LegGroup, Legs
from tnprior_core.priors.base import Prior
from tnprior_core.priors.network import LOG_SIGMA_RANGE, grouped
from tnprior_core.seeded import seeded_normal
from tnprior_core.sites import Gaussian, Site

__all__ = ["Encode", "VampPrior"]

Encode = Callable[[Tensor], tuple[Tensor, Tensor]]


@final
class VampPrior(Prior):
    """Mixture of encoder distributions at C pseudo-inputs, each with label probabilities of its own.

    `p(z, y) = 1/C sum_c q(z | u_c) prod_a p(y_a | c)`, `q(z | u) = N(z; mean(u), diag sigma(u)^2)`. The
    pseudo-inputs u and the labels are learned; `forward()` asks the encoder about all u.

    sites
        Gaussian sites (their own `components` are not used) and Categorical ones.
    inputs
        (C, ...), where the pseudo-inputs start: examples, or noise around their mean.
    encode
        `u -> (mean, sigma)`, both (C, d), sigma above zero; called by `forward()`, and owned by the model:
        its parameters are not among those of the prior, and `.to()` of the prior leaves it where it is.
    low, high
        the range of the data, to which pseudo-inputs are clipped; gradients pass as if they were not, so
        that an input outside can come back.
    seed
        of the label probabilities.

    Raises SiteError without continuous sites, ShapeError if the encoder's answer does not fit them.
    Source: Tomczak and Welling 2018, "VAE with a VampPrior", equations 7-9.

    >>> def encode(u):
    ...     return u[:, :1], torch.full_like(u[:, :1], 0.5)
    >>> prior = VampPrior([Gaussian("z0")], torch.rand(8, 3), encode)
    >>> prior().log_prob(torch.zeros(2, 1)).shape
    torch.Size([2])
    """

    def __init__(
        self,
        sites: Iterable[Site],
        inputs: Float[Tensor, "C ..."],
        encode: Encode,
        *,
        low: float = 0.0,
        high: float = 1.0,
        seed: int = 0,
    ) -> None:
        """Keep the inputs as parameters, and start from labels that are nearly equal."""
        count = len(inputs)
        if count < 1:
            raise SiteError("expected at least one pseudo-input, received none")
        super().__init__(Gaussian(site.name, count) if isinstance(site, Gaussian) else site for site in sites)
        if not self.latents:
            raise SiteError("expected continuous sites, for the encoder to answer about; received none")
        self.low, self.high = low, high
        self.inputs = nn.Parameter(inputs.detach().clone().clamp(low, high))
        # In a tuple, so that a module does not become a part of this one: the model owns its encoder.
        self._encode = (encode,)
        self._label_groups = grouped({index: (self.sites[index].states,) for index in self.attributes})
        generator = torch.Generator().manual_seed(seed)
        self.label_logits = nn.ParameterDict(
            {
                key: nn.Parameter(
                    0.1 * seeded_normal(len(group), count, self.sites[group[0]].states, generator=generator)
                )
                for key, group in self._label_groups.items()
            }
        )

    def forward(self) -> Mixture:
        """Return the distribution for the current parameters and the current encoder."""
        mean, sigma = self._encode[0](_clipped(self.inputs, self.low, self.high))
        expected = (len(self.inputs), len(self.latents))
        if mean.shape != expected or sigma.shape != expected:
            raise ShapeError(
                f"expected mean and sigma {expected} of the encoder, one column for each continuous site, "
                f"received {tuple(mean.shape)} and {tuple(sigma.shape)}"
            )
        log_sigma = sigma.log().clamp(*LOG_SIGMA_RANGE)
        groups: list[LegGroup] = [GaussianLegs(self.latents, mean.mT, log_sigma.mT)]
        for key, group in self._label_groups.items():
            logits = self.label_logits[key]
            groups.append(LabelLegs(group, logits.shape[2], logits.log_softmax(2)))
        return Mixture(Legs(self.sites, groups), mean.new_zeros(len(self.inputs)))

    def extra_repr(self) -> str:
        """Name the number of sites and of pseudo-inputs."""
        return f"{len(self.latents)} latents, {len(self.attributes)} attributes, inputs={len(self.inputs)}"


def _clipped(inputs: Tensor, low: float, high: float) -> Tensor:
    """The inputs inside the range; outside, the value of the nearest end and the gradient as if there were none."""
    return inputs + (inputs.clamp(low, high) - inputs).detach()
