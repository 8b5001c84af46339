"""The gradient of an expected log-probability of labels, q(y) factorised: one attribute at a time summed exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tnprior_core import Categorical
from tnprior_models.joint_density import log_joint_and_latent
from tnprior_models.layout import SiteLayout

__all__ = ["ExpectedJoint", "expected_log_joint", "expected_log_labels"]

Others = Callable[[Tensor, Tensor, Tensor], Mapping[str, Any]]


class ExpectedJoint(NamedTuple):
    """Estimates (S, B) of E_q[log p(z, y)] and of E_q[log p(z)], nats."""

    joint: Tensor
    latent: Tensor


def expected_log_labels(
    labels: Any,
    sites: Sequence[Categorical],
    log_q: Sequence[Float[Tensor, "B _"]],
    codes: Int[Tensor, "S B A"],
    free: Bool[Tensor, "B A"],
) -> Float[Tensor, "S B"]:
    """An unbiased estimate of `E_q[log p(y)]` whose gradient is unbiased too, for p and for q.

    The value is log p(y_s) at the drawn labels. The gradient for q_a sums over the labels of attribute a
    exactly and takes the other attributes as drawn: `sum_c grad q_a(c) log p(y_a = c | y_-a)`; with one
    attribute that is the exact gradient. Source: Titsias and Lázaro-Gredilla 2015, local expectation
    gradients.

    Args:
        labels: p(y), a distribution over `sites`.
        sites: the attributes.
        log_q: log q(y_a|x) of each attribute.
        codes: S completed tables; free entries are draws of q.
        free: which entries were drawn.

    >>> from tnprior_core import StandardNormalPrior
    >>> hat = Categorical("hat")
    >>> q = torch.tensor([[0.3, 0.7]]).log().requires_grad_()
    >>> p = StandardNormalPrior([hat]).labels()
    >>> expected_log_labels(p, [hat], [q], torch.ones(1, 1, 1).long(), torch.ones(1, 1).bool())
    tensor([[-0.6931]], grad_fn=<AddBackward0>)
    """
    log_p: Tensor = labels.log_prob(codes.to(log_q[0].dtype))
    if not torch.is_grad_enabled():
        return log_p

    def others(draw: Tensor, row: Tensor, known: Tensor) -> Mapping[str, Any]:
        found: Mapping[str, Any] = labels.observe(codes[draw, row].to(log_q[0].dtype), known).marginals()
        return found

    return log_p + _pull(others, sites, log_q, codes, free, torch.zeros_like(log_p))


def expected_log_joint(
    distribution: Any,
    layout: SiteLayout,
    log_q: Sequence[Float[Tensor, "B _"]],
    z: Float[Tensor, "S B d"],
    codes: Int[Tensor, "S B A"],
    free: Bool[Tensor, "B A"],
) -> ExpectedJoint:
    """An unbiased estimate of `E_q[log p(z, y)]`, and of its part `E_q[log p(z)]`, at drawn codes and labels.

    The gradients for p and, at fixed labels, for z are unbiased. That for q_a sums over the labels of attribute a
    exactly, the code and the other attributes as drawn: `sum_c grad q_a(c) log p(y_a = c | z_s, y_-a)`. How z
    itself depends on the labels it was encoded with is no part of it.

    Args:
        distribution: p(z, y).
        layout: where latents and attributes stand among its sites.
        log_q: log q(y_a|x) of each attribute.
        z: the code that was drawn with each table.
        codes: S completed tables; free entries are draws of q.
        free: which entries were drawn.

    >>> from tnprior_core import Gaussian, StandardNormalPrior
    >>> prior = StandardNormalPrior([Gaussian("z0"), Categorical("hat")])
    >>> q = [torch.tensor([[0.3, 0.7]]).log().requires_grad_()]
    >>> one, layout = torch.ones(1, 1, 1).long(), SiteLayout.of(prior)
    >>> expected_log_joint(prior(), layout, q, torch.zeros(1, 1, 1), one, one[0] > 0).joint
    tensor([[-1.6121]], grad_fn=<AddBackward0>)
    """
    joint, latent = log_joint_and_latent(
        distribution, layout, z, codes, torch.ones_like(codes, dtype=torch.bool)
    )
    if not torch.is_grad_enabled():
        return ExpectedJoint(joint, latent)
    names, codes_of_z = [site.name for site in layout.categorical], z.detach()

    def others(draw: Tensor, row: Tensor, known: Tensor) -> Mapping[str, Any]:
        values = layout.join(codes_of_z[draw, row], codes[draw, row])
        given = distribution.observe(values, layout.mask(codes_of_z[draw, row], known))
        found: Mapping[str, Any] = given.marginals(names)
        return found

    pull = _pull(others, layout.categorical, log_q, codes, free, torch.zeros_like(joint))
    return ExpectedJoint(joint + pull, latent)


def _pull(
    others: Others,
    sites: Sequence[Categorical],
    log_q: Sequence[Tensor],
    codes: Tensor,
    free: Tensor,
    pull: Tensor,
) -> Tensor:
    """Zeros (S, B) whose gradient for q is that of the sums over single attributes.

    `others(draw, row, known)` gives the marginals of the attributes that are not `known`, given those that are.
    """
    draw, row, attribute = free.expand(codes.shape).nonzero(as_tuple=True)
    if len(draw) == 0:
        return pull
    known = torch.ones(len(draw), len(sites), dtype=torch.bool, device=codes.device)
    known[torch.arange(len(draw), device=codes.device), attribute] = False
    marginals = others(draw, row, known)
    for at, site in enumerate(sites):
        here = attribute == at
        weight = marginals[site.name].probs[here].clamp_min(torch.finfo(pull.dtype).tiny).log()
        q = log_q[at][row[here]].exp()
        gain = ((q - q.detach()) * weight).sum(-1)
        pull = pull.index_put((draw[here], row[here]), gain, accumulate=True)
    return pull
