"""Affine coupling layers: an invertible map of the latents whose determinant and inverse cost one pass each."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tnprior_core.seeded import seeded_uniform

__all__ = ["Coupling", "Couplings", "LatentMap", "Mapped"]


class Mapped(NamedTuple):
    """Values (n, d) after a map, and the log of the absolute determinant of its Jacobian, (n,)."""

    value: Float[Tensor, "n d"]
    log_det: Float[Tensor, " n"]


@runtime_checkable
class LatentMap(Protocol):
    """An invertible map of latents, a module."""

    def __call__(self, z: Float[Tensor, "n d"]) -> Mapped:
        """Map latents to those of the base."""
        ...

    def inverse(self, u: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Map latents of the base back."""
        ...


class Coupling(nn.Module):
    """One layer: the columns of even (or odd) number stay and say how the others are shifted and scaled.

    `u = b z + (1 - b) (z - t(b z)) exp(-s(b z))`, `log |du/dz| = -sum (1 - b) s`, s ending in a tanh, so that a
    layer scales by a factor between 1/e and e.

    >>> layer = Coupling(3, 8, odd=False, generator=torch.Generator().manual_seed(0))
    >>> z = torch.randn(5, 3)
    >>> torch.allclose(layer.inverse(layer(z).value), z, atol=1e-6)
    True
    """

    def __init__(self, size: int, hidden: int, *, odd: bool, generator: torch.Generator) -> None:
        """Draw two small nets that nearly leave everything as it is."""
        super().__init__()
        self.register_buffer("_moved", ((torch.arange(size) % 2 == 1) != odd).float(), persistent=False)
        self._moved: Tensor
        self.scale, self.shift = (_net(size, hidden, generator) for _ in range(2))

    def forward(self, z: Float[Tensor, "n d"]) -> Mapped:
        """Map latents to those of the base."""
        log_scale, shift = self._parts(z * (1 - self._moved))
        return Mapped(z + self._moved * ((z - shift) * torch.exp(-log_scale) - z), -log_scale.sum(1))

    def inverse(self, u: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Map latents of the base back."""
        log_scale, shift = self._parts(u * (1 - self._moved))
        return u + self._moved * (u * torch.exp(log_scale) + shift - u)

    def _parts(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        return self._moved * torch.tanh(self.scale(kept)), self.shift(kept)


class Couplings(nn.Module):
    """Layers that move the columns of odd and even number by turns; z goes through the first one first.

    Source: Dinh, Sohl-Dickstein, Bengio 2017, "Density estimation using Real NVP", equations 7 and 8.

    >>> found = Couplings(3, layers=8, hidden=64, seed=0)(torch.randn(5, 3))
    >>> found.value.shape, found.log_det.shape
    (torch.Size([5, 3]), torch.Size([5]))
    """

    def __init__(self, size: int, *, layers: int, hidden: int, seed: int) -> None:
        """Draw the layers from a generator with this seed."""
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.layers = nn.ModuleList(
            Coupling(size, hidden, odd=at % 2 == 1, generator=generator) for at in range(layers)
        )

    def forward(self, z: Float[Tensor, "n d"]) -> Mapped:
        """Map latents to those of the base."""
        total = z.new_zeros(len(z))
        with torch.autocast(z.device.type, enabled=False):
            for layer in self.layers:
                z, log_det = layer(z)
                total = total + log_det
        return Mapped(z, total)

    def inverse(self, u: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Map latents of the base back."""
        with torch.autocast(u.device.type, enabled=False):
            for layer in reversed(self.layers):
                u = layer.inverse(u)  # type: ignore[operator]
        return u


def _net(size: int, hidden: int, generator: torch.Generator) -> nn.Sequential:
    net = nn.Sequential(
        nn.Linear(size, hidden),
        nn.LeakyReLU(),
        nn.Linear(hidden, hidden),
        nn.LeakyReLU(),
        nn.Linear(hidden, size),
    )
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            fan_in = hidden if name.startswith(("2", "4")) else size
            bound = fan_in**-0.5 * (0.1 if name.startswith("4") else 1.0)
            parameter.copy_(bound * (2 * seeded_uniform(*parameter.shape, generator=generator) - 1))
    return net
