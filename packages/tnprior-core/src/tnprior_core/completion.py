"""The most probable joint completion of categorical sites, exactly, by best-first search."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tnprior_core.errors import QueryError
from tnprior_core.knowledge import Exact
from tnprior_core.legs import LabelLegs

if TYPE_CHECKING:
    from tnprior_core.distributions.base import SiteDistribution

__all__ = ["Completion", "most_probable"]

Node = tuple[float, tuple[int, ...]]


class Completion(NamedTuple):
    """A joint completion and how good it can be shown to be.

    names
        the completed sites, in order.
    codes
        (*batch_shape, C) integer codes.
    log_prob
        (*batch_shape,) log-probability (nats) of the completion given what is known.
    bound
        (*batch_shape,) no completion is more probable than this; equal to log_prob when the search finished.
    """

    names: tuple[str, ...]
    codes: Int[Tensor, "*batch C"]
    log_prob: Float[Tensor, "*batch"]
    bound: Float[Tensor, "*batch"]


def most_probable(p: SiteDistribution, sites: Sequence[int], *, limit: int) -> Completion:
    """Search `argmax_y p(y | what is known)` over the categorical ones of `sites`, everything else summed out.

    Best-first: a partial assignment is worth its marginal probability, which no completion of it can exceed,
    so the first complete assignment taken from the queue is the best one. (Choosing the likeliest bond path,
    or one site after the other, is not: the sum over bonds does not commute with the maximum.)

    limit
        expansions per example, at least one; when they are used up the best partial assignment is completed
        greedily and `bound` says how much better another could be.

    Raises QueryError if no site is categorical or `limit` is below one, ImpossibleEvidenceError for evidence of
    probability zero.

    >>> from tnprior_core import Categorical, TensorTrainPrior
    >>> p = TensorTrainPrior([Categorical("a"), Categorical("b", ("x", "y", "z"))], rank=2)()
    >>> best = p.complete()
    >>> bool(best.log_prob == best.bound), best.names
    (True, ('a', 'b'))
    """
    wanted = [site for site in sites if isinstance(p.legs.where[site][0], LabelLegs)]
    if not wanted:
        raise QueryError("expected at least one categorical site to complete, received none")
    if limit < 1:
        raise QueryError(f"expected limit >= 1, received {limit}")
    with torch.no_grad():
        p._require_possible()
        base = p._known_mass()
        marginals = p.marginals([p.legs.sites[site].name for site in wanted])
        # The most certain sites first: fewer branches stay open.
        certainty = [float(m.probs.amax(-1).mean()) for m in marginals.values()]  # type: ignore[attr-defined]
        order = [site for _, site in sorted(zip(certainty, wanted, strict=True), key=lambda x: -x[0])]
        found = _search(p, order, base.tolist(), limit)
    back = [order.index(site) for site in wanted]
    codes = torch.tensor([[node[1][at] for at in back] for node, _ in found], dtype=torch.long)
    codes = codes.to(base.device)
    log_prob = base.new_tensor([-node[0] for node, _ in found])
    bound = base.new_tensor([bound for _, bound in found])
    names = tuple(p.legs.sites[site].name for site in wanted)
    shape = p.batch_shape
    return Completion(names, codes.view(*shape, len(names)), log_prob.view(shape), bound.view(shape))


def _search(
    p: SiteDistribution, order: Sequence[int], base: list[float], limit: int
) -> list[tuple[Node, float]]:
    queues: list[list[Node]] = [[(0.0, ())] for _ in base]
    done: dict[int, tuple[Node, float]] = {}
    bounds: dict[int, float] = {}
    spent = [0] * len(base)
    while len(done) < len(base):
        opened: list[tuple[int, Node]] = []
        for row, queue in enumerate(queues):
            if row in done:
                continue
            node = heapq.heappop(queue)
            if len(node[1]) == len(order):
                done[row] = (node, bounds.get(row, -node[0]))
                continue
            spent[row] += 1
            if spent[row] == limit:
                bounds[row] = -node[0]
            if spent[row] >= limit:
                queue.clear()
            opened.append((row, node))
        for row, child in _children(p, order, opened, base):
            heapq.heappush(queues[row], child)
    return [done[row] for row in range(len(base))]


def _children(
    p: SiteDistribution, order: Sequence[int], opened: Sequence[tuple[int, Node]], base: list[float]
) -> list[tuple[int, Node]]:
    grown = [
        (row, (*codes, code))
        for row, (_, codes) in opened
        for code in range(p.legs.sites[order[len(codes)]].states)
    ]
    if not grown:
        return []
    like = p._like()
    # Built on the CPU: on a device every single cell would be a kernel.
    table = torch.full((len(grown), len(p.legs.sites)), -1, dtype=torch.long, device="cpu")
    depths = torch.tensor([len(codes) for _, codes in grown], device="cpu")
    for depth in depths.unique().tolist():
        at = (depths == depth).nonzero()
        filled = [codes for _, codes in grown if len(codes) == depth]
        table[at, torch.tensor(order[:depth], device="cpu")] = torch.tensor(filled, device="cpu")
    known = (table >= 0).to(like.device)
    values = table.clamp_min(0).to(like)
    rows = torch.tensor([row for row, _ in grown], device=like.device)
    knowledge = p.knowledge.select(rows).with_exact(Exact(values, known, set(order)), len(grown))
    mass = p._mass(knowledge).tolist()
    return [
        (row, (base[row] - value, codes))
        for (row, codes), value in zip(grown, mass, strict=True)
        if value > -torch.inf
    ]
