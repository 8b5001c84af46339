"""The same computations written straight after the paper (Kuznetsov et al. 2019, section 2), to compare with.

Every one comes twice: as printed (each product over all its indices at once, the batch and the components broadcast
against the cores) and lean (the best order of the same products). Both leave the gradients to autograd.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Normal


class StraightforwardRing:
    """A tensor ring over K continuous sites: cores (K, N, m, m), means and standard deviations (K, N)."""

    def __init__(self, cores: Tensor, mean: Tensor, sigma: Tensor, *, lean: bool) -> None:
        """Keep the parameters; `lean` chooses the order of the products."""
        self.cores, self.mean, self.sigma, self.lean = cores, mean, sigma, lean

    def log_prob(self, values: Tensor) -> Tensor:
        """Algorithm 1: prefixes of the batch and of the normaliser side by side, rescaled at each site."""
        prefix = torch.eye(self.cores.shape[2], device=values.device).expand(len(values), -1, -1)
        normaliser = prefix[:1]
        total = torch.zeros(len(values), device=values.device)
        for k, core in enumerate(self.cores):
            density = Normal(self.mean[k], self.sigma[k]).log_prob(values[:, k : k + 1]).exp()
            prefix, logs = _rescale(prefix @ self._weigh(density, core))
            normaliser, scale = _rescale(normaliser @ core.sum(0))
            total = total + logs - scale
        return total + _log_trace(prefix) - _log_trace(normaliser)

    def sample(self, count: int) -> Tensor:
        """Chain rule over the sites (equation 5): weights of the components from prefix and suffix matrices."""
        suffixes = self._suffixes()
        prefix = torch.eye(self.cores.shape[2], device=self.cores.device).expand(count, -1, -1)
        values = []
        for k, core in enumerate(self.cores):
            weights = self._component_weights(prefix, core, suffixes[k + 1])
            component = torch.multinomial(weights, 1)[:, 0]
            value = self.mean[k, component] + self.sigma[k, component] * torch.randn_like(weights[:, 0])
            density = Normal(self.mean[k], self.sigma[k]).log_prob(value.unsqueeze(1)).exp()
            prefix, _ = _rescale(prefix @ self._weigh(density, core))
            values.append(value)
        return torch.stack(values, 1)

    def _weigh(self, density: Tensor, core: Tensor) -> Tensor:
        if self.lean:
            return torch.einsum("bs,sij->bij", density, core)
        return (density[:, :, None, None] * core[None]).sum(1)

    def _component_weights(self, prefix: Tensor, core: Tensor, suffix: Tensor) -> Tensor:
        if self.lean:
            return torch.einsum("sij,bji->bs", core, suffix @ prefix)
        return torch.einsum("bij,sjk,ki->bs", prefix, core, suffix)

    def _suffixes(self) -> list[Tensor]:
        suffixes = [torch.eye(self.cores.shape[2], device=self.cores.device)]
        for core in reversed(self.cores):
            suffix = core.sum(0) @ suffixes[-1]
            suffixes.append(suffix / suffix.sum())
        return suffixes[::-1]


def _rescale(matrix: Tensor) -> tuple[Tensor, Tensor]:
    size = matrix.sum((1, 2), keepdim=True)
    return matrix / size, size.flatten().log()


def _log_trace(matrix: Tensor) -> Tensor:
    return matrix.diagonal(dim1=1, dim2=2).sum(1).log()
