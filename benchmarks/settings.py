"""What all benchmarks share: sizes, device, and the distributions that compete."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tnprior_core import Gaussian, TensorRingPrior, TensorTrainPrior


@dataclass(frozen=True)
class Settings:
    """Sizes of the bars: batch 128, K = 100 continuous sites, N = 10 components, ranks 20 and 40."""

    device: torch.device
    repeats: int = 7
    cpu_time: bool = False
    batch: int = 128
    sites: int = 100
    components: int = 10
    ranks: tuple[int, ...] = (20, 40)
    draws: int = 10_000

    def prior(self, kind: type[TensorRingPrior] | type[TensorTrainPrior], rank: int) -> torch.nn.Module:
        """A prior of the given kind with random parameters."""
        legs = [Gaussian(f"z{k}", components=self.components) for k in range(self.sites)]
        return kind(legs, rank=rank, seed=1).to(self.device)

    def points(self, sites: int | None = None) -> torch.Tensor:
        """A batch of values (batch, sites)."""
        generator, sites = torch.Generator().manual_seed(0), self.sites if sites is None else sites
        return torch.randn(self.batch, sites, generator=generator).to(self.device)
