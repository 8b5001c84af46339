"""Any prior behind an invertible flow over its latents."""

from __future__ import annotations

from typing import final

from tnprior_core.coupling import Couplings, LatentMap
from tnprior_core.distributions.flow import Flow
from tnprior_core.errors import SiteError
from tnprior_core.priors.base import Prior

__all__ = ["FlowPrior"]


@final
class FlowPrior(Prior):
    """A prior whose latents are those of another prior behind an invertible map; returns a `Flow`.

    `log p(z, y) = log p_base(f(z), y) + log |df/dz|`. What the base says about attributes stays exact.

    base
        any other prior with continuous sites; it becomes a part of this one.
    flow
        a module that maps latents to those of the base, and back (`LatentMap`), such as a `LinearMap`; None for affine
        coupling layers of the following sizes.
    layers
        how many, moving the latents of odd and even number by turns.
    hidden
        width of the nets inside, two hidden layers with leaky ReLUs.
    seed
        of the nets, which start near the identity.

    The distribution asks the layers themselves: unlike others it is no snapshot of the flow's parameters.
    Coupling layers, as in the published code, rather than those of a library: their inverse costs the same as
    they do, sampling and `rsample` need it at every step, and the package stays without a further dependency.

    Raises SiteError for a base without continuous sites, or that is a flow, or without layers.
    Source: Kuznetsov et al. 2019 (TRIP), published code; Dinh et al. 2017.

    >>> from tnprior_core import Categorical, Gaussian, TensorTrainPrior
    >>> base = TensorTrainPrior([Gaussian("z0", 4), Gaussian("z1", 4), Categorical("hat")], rank=3)
    >>> p = FlowPrior(base)()
    >>> p.condition({"hat": "1"}).sample((5,), seed=0).shape
    torch.Size([5, 3])
    """

    flow: LatentMap

    def __init__(
        self,
        base: Prior,
        flow: LatentMap | None = None,
        *,
        layers: int = 8,
        hidden: int = 64,
        seed: int = 0,
    ) -> None:
        """Put the map, or near-identity layers, before the base."""
        super().__init__(base.sites)
        if not self.latents or isinstance(base, FlowPrior):
            raise SiteError(f"expected a prior with continuous sites, itself no flow, received {base!r}")
        if layers < 1 or hidden < 1:
            raise SiteError(f"expected layers and hidden >= 1, received {layers} and {hidden}")
        self.base = base
        size = len(self.latents)
        self.flow = Couplings(size, layers=layers, hidden=hidden, seed=seed) if flow is None else flow

    def forward(self) -> Flow:
        """Return the distribution for the current parameters."""
        return Flow(self.base(), self.flow)
