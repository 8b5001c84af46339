"""How much of the labels that a model draws its own encoder reads back from what the decoder drew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call

__all__ = ["fixed", "label_information"]


def label_information(
    z: Float[Tensor, "n d"],
    codes: Int[Tensor, "n A"],
    *,
    decode: Callable[[Tensor], Tensor],
    encode: Callable[[Tensor], Any],
    log_labels: Callable[[Tensor, Tensor], Tensor],
) -> Float[Tensor, ""]:
    """`E_{p(z, y)} E_{q(z'|x(z))} log p(y | z')`, with `x(z)` the decoded mean: nats per object, at most 0.

    Plus the entropy of y it bounds the mutual information of the labels and what is generated for them from
    below. The bound of a variational autoencoder decodes the codes of real objects alone; where the prior
    puts mass and the encoder little, nobody ever told the decoder to show the label. This term does.

    Only `decode` is meant to learn from it: an encoder and a prior that moved too could agree on marks that
    nobody else can read, so hand them over with their parameters `fixed`.

    Args:
        z, codes: a joint sample of the prior.
        decode: codes -> objects, (n, ...).
        encode: objects -> q(z'|x), with `rsample`.
        log_labels: `(z', codes) -> log p(y | z')`, (n,).

    Source: the bound of InfoGAN (Chen et al. 2016), equation 5, for labels of a learned joint prior.

    >>> import torch
    >>> from torch.distributions import Independent, Normal
    >>> z, codes = torch.tensor([[-2.0], [2.0]]), torch.tensor([[0], [1]])
    >>> q = lambda x: Independent(Normal(x, 0.1), 1)
    >>> sign = lambda z, codes: nn.functional.logsigmoid(z * (2 * codes - 1))[:, 0]
    >>> bool(label_information(z, codes, decode=lambda z: z, encode=q, log_labels=sign) > -0.3)
    True
    """
    again = encode(decode(z)).rsample()
    return log_labels(again, codes).mean()


def fixed(module: nn.Module) -> Callable[..., Any]:
    """The module as a function whose gradients reach its inputs and not its parameters.

    >>> import torch
    >>> layer, x = nn.Linear(1, 1), torch.ones(1, 1, requires_grad=True)
    >>> fixed(layer)(x).sum().backward()
    >>> layer.weight.grad is None, x.grad is None
    (True, False)
    """
    state = {name: tensor.detach() for name, tensor in module.named_parameters()}
    return lambda *inputs: functional_call(module, state, inputs)
