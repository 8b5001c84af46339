"""The chain folded in the middle: a message from each end, both moved over one site per round.

Half as many rounds as a scan from one end, each on twice the numbers: two cores get one message each, a device half
the launches. The message from the right is one from the left in the reversed chain, whose cores are transposed, so
that both are rows of one tensor, `lanes`, and one product moves both. Round i works on the pair of sites i and
K - 1 - i; in the middle of an odd chain both lanes meet the same site.

The backward pass lets the messages walk on, each over the half that the other one came from. Where they pass a site
they find what the other one left there, and with `L` from the left and `R` from the right

    d log F / d w[s] = <L, Q[s] R> / F        d log F / d Q[s] = w[s] L^T R^T / F.

Each walks no further than the last site of its half that wants a gradient: the posteriors of attributes that follow
the latents need one of the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from tnprior_core.scaled import reciprocal
from tnprior_core.scratch import Loan

__all__ = ["folded_log_mass"]

_BOTH = slice(0, 2)
"""Both lanes."""


def folded_log_mass(rows: Sequence[Tensor], cores: Sequence[Tensor], *, closed: bool) -> Tensor:
    """Return `log F` (B,) of rows (B, N_k) or (1, N_k) and cores (N_k, m_k, m_{k+1}); see `contract.log_mass`.

    >>> rows, cores = [torch.ones(2, 1)] * 3, [torch.full((1, 1, 1), 2.0)] * 3
    >>> folded_log_mass(rows, cores, closed=False).exp()
    tensor([8., 8.])
    """
    kernel: Kernel = _Ring() if closed else _Train()
    batch = next((row.shape[0] for row in rows if row.shape[0] != 1), 1)
    rank = max(max(core.shape[1:]) for core in cores)
    start = kernel.start(cores[0].shape[1], cores[-1].shape[2], rank, cores[0].detach()[:1, :1, :1])
    rows = [row if row.shape[0] == batch else row.expand(batch, -1) for row in rows]
    cores = _square(cores, rank)
    recorded = torch.is_grad_enabled() and any(x.requires_grad for x in (*rows, *cores))
    result: Tensor = _Folded.apply(kernel, recorded, start.expand(kernel.shape(batch, start)), *rows, *cores)
    return result


class Step(NamedTuple):
    """What passing a pair of sites gives: the messages behind it and the gradients."""

    lanes: Tensor
    row: Tensor | None
    core: Tensor | None


class Kernel(Protocol):
    """How the messages of a train or ring look and move; every tensor has the two lanes first."""

    def start(self, before: int, after: int, rank: int, like: Tensor) -> Tensor:
        """The messages at the ends, with a batch of one."""
        ...

    def shape(self, batch: int, start: Tensor) -> tuple[int, ...]:
        """The shape of the messages of a batch."""
        ...

    def advance(self, lanes: Tensor, row: Tensor, core: Tensor, out: Tensor) -> Tensor:
        """Move over a pair of sites, rows (2, N, B), cores (2, N, m, m); write where they are then to `out`."""
        ...

    def peak(self, lanes: Tensor) -> Tensor:
        """The largest entries (2, B)."""
        ...

    def scale(self, lanes: Tensor, peak: Tensor) -> Tensor:
        """Divide in place."""
        ...

    def meet(self, left: Tensor, right: Tensor) -> Tensor:
        """The mass (B,) of two messages, without their axis of lanes, that meet at a bond."""
        ...

    def passing(
        self, grad: Tensor, row: Tensor, core: Tensor, lanes: Tensor, met: Tensor, wants: tuple[bool, bool]
    ) -> Step:
        """Move `lanes`, both or one, back over their sites, on whose other sides are `met`.

        wants
            whether the gradients of rows and cores are wanted.
        """
        ...


class _Train:
    """Messages (2, m, B): the batch last, so that the products are wide and the sums over rows of numbers."""

    def start(self, before: int, after: int, rank: int, like: Tensor) -> Tensor:
        ends = [pad(like.new_ones(size, 1), (0, 0, 0, rank - size)) for size in (before, after)]
        return torch.stack(ends)

    def shape(self, batch: int, start: Tensor) -> tuple[int, ...]:
        return (2, start.shape[1], batch)

    def advance(self, lanes: Tensor, row: Tensor, core: Tensor, out: Tensor) -> Tensor:
        # Weighted first: site and bond are then summed by one product.
        weighted = row.unsqueeze(2) * lanes.unsqueeze(1)
        return torch.bmm(core.flatten(1, 2).mT, weighted.flatten(1, 2), out=out)

    def peak(self, lanes: Tensor) -> Tensor:
        return lanes.amax(1)

    def scale(self, lanes: Tensor, peak: Tensor) -> Tensor:
        return lanes.div_(peak.unsqueeze(1))

    def meet(self, left: Tensor, right: Tensor) -> Tensor:
        return (left * right).sum(0)

    def passing(
        self, grad: Tensor, row: Tensor, core: Tensor, lanes: Tensor, met: Tensor, wants: tuple[bool, bool]
    ) -> Step:
        # pulled[s, a] = sum_a' Q[s, a, a'] R[a'] serves both the next message and the gradient of the rows.
        pulled = torch.bmm(core.flatten(1, 2), lanes).unflatten(1, core.shape[1:3])
        behind = (pulled * row.unsqueeze(2)).sum(1)
        if not any(wants):
            return Step(behind, None, None)
        coefficient = grad * reciprocal((behind * met).sum(1, keepdim=True))
        row_grad = core_grad = None
        if wants[0]:
            row_grad = pulled.mul_(met.unsqueeze(1)).sum(2).mul_(coefficient)
        if wants[1]:
            weighted = row.unsqueeze(2) * (met * coefficient).unsqueeze(1)
            core_grad = torch.bmm(weighted.flatten(1, 2), lanes.mT).view_as(core)
        return Step(behind, row_grad, core_grad)


class _Ring:
    """Messages (2, B, r, m): matrices whose r rows are the closing index, r = m."""

    def start(self, before: int, after: int, rank: int, like: Tensor) -> Tensor:
        identity = torch.eye(before, dtype=like.dtype, device=like.device)
        return pad(identity, (0, rank - after, 0, rank - before)).expand(2, 1, rank, rank)

    def shape(self, batch: int, start: Tensor) -> tuple[int, ...]:
        return (2, batch, *start.shape[2:])

    def advance(self, lanes: Tensor, row: Tensor, core: Tensor, out: Tensor) -> Tensor:
        return torch.matmul(lanes, _transfers(row, core), out=out)

    def peak(self, lanes: Tensor) -> Tensor:
        return lanes.flatten(2).amax(2)

    def scale(self, lanes: Tensor, peak: Tensor) -> Tensor:
        return lanes.div_(peak[:, :, None, None])

    def meet(self, left: Tensor, right: Tensor) -> Tensor:
        return (left * right).sum((1, 2))

    def passing(
        self, grad: Tensor, row: Tensor, core: Tensor, lanes: Tensor, met: Tensor, wants: tuple[bool, bool]
    ) -> Step:
        behind = lanes @ _transfers(row, core).mT
        if not any(wants):
            return Step(behind, None, None)
        environment = (met.mT @ lanes).flatten(2)  # dF/dA, (2, B, m m)
        slope = torch.bmm(core.flatten(2), environment.mT)  # dF/dw, (2, N, B)
        coefficient = grad * reciprocal((slope * row).sum(1, keepdim=True))
        core_grad = torch.bmm(row * coefficient, environment).view_as(core) if wants[1] else None
        return Step(behind, slope.mul_(coefficient) if wants[0] else None, core_grad)


class _Folded(torch.autograd.Function):
    """Rows and cores come one by one, and so do their gradients, as views: autograd has no pairs to take apart."""

    @staticmethod
    def forward(ctx: Any, kernel: Kernel, recorded: bool, start: Tensor, *tensors: Tensor) -> Tensor:
        count = len(tensors) // 2
        rounds = -(-count // 2)
        rows, cores = _pairs(tensors[:count], transposed=False), _pairs(tensors[count:], transposed=True)
        # A way back needs the messages of all rounds, fresh memory for which costs nearly as much as the products.
        ctx.loan = Loan((rounds if recorded else 2, *start.shape), start)
        places, lanes, before, peaks = ctx.loan.tensor, start, start, []
        for at, (row, core) in enumerate(zip(rows, cores, strict=True)):
            before, lanes = lanes, kernel.advance(lanes, row, core, places[at % len(places)])
            peaks.append(_shrink(kernel, lanes))
        # In an odd chain the left message alone has passed the middle.
        right = lanes if count == 2 * rounds else before
        ctx.kernel, ctx.components = kernel, [core.shape[0] for core in tensors[count:]]
        if recorded:
            ctx.save_for_backward(*rows, *cores, start, places)
        logs = torch.stack(peaks).log()
        return kernel.meet(lanes[0], right[1]).log() + logs[:, 0].sum(0) + logs[: count - rounds, 1].sum(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        *pairs, start, places = ctx.saved_tensors
        rounds, count, kernel = len(places), len(ctx.components), ctx.kernel
        tables = pairs[:rounds], pairs[rounds:], [start, *places]
        needed = ctx.needs_input_grad[3:]
        wants = list(zip(needed[:count], needed[count:], strict=True))
        grads: list[Tensor | None] = [None] * (2 * count)
        lanes, walking, lasts = tables[2][count - rounds].flip(0), _BOTH, _last_rounds(wants)
        # Autocast is where `backward` is called, and a long product in bfloat16 is wrong.
        with torch.autocast(grad.device.type, enabled=False):
            for at in reversed(range(min(lasts), rounds)):
                still = slice(0 if at >= lasts[0] else 1, 2 if at >= lasts[1] else 1)
                if still != walking:
                    lanes, walking = lanes[still], still
                row, core, met = (table[at] if walking == _BOTH else table[at][walking] for table in tables)
                of_rows, of_cores = zip(*[wants[at], wants[-1 - at]][walking], strict=True)
                step = kernel.passing(grad, row, core, lanes, met, (any(of_rows), any(of_cores)))
                _leave(step, at, walking, ctx.components, grads)
                lanes = step.lanes
                _shrink(kernel, lanes)
        return None, None, None, *grads


def _leave(
    step: Step, at: int, walking: slice, components: Sequence[int], grads: list[Tensor | None]
) -> None:
    """Write the gradients of the sites that the lanes passed in round `at`: of all rows first, then of all cores.

    In the middle of an odd chain both lanes pass one site, and each has its gradient.
    """
    count = len(components)
    for place, lane in enumerate(range(2)[walking]):
        site = count - 1 - at if lane else at
        if step.row is not None:
            grads[site] = step.row[place, : components[site]].mT
        if step.core is not None:
            found = step.core[place, : components[site]]
            grads[count + site] = found.mT if lane else found


def _pairs(tensors: Sequence[Tensor], *, transposed: bool) -> list[Tensor]:
    """Stack the sites i and K - 1 - i: rows (B, N) as (2, N, B), cores (N, m, m) with the second one transposed."""
    rounds = -(-len(tensors) // 2)
    lanes = [
        (first if transposed else first.mT, second.mT)
        for first, second in zip(tensors[:rounds], tensors[: -rounds - 1 : -1], strict=True)
    ]
    if len({tensor.shape for tensor in tensors}) == 1:
        stacked = torch.stack([lane for pair in lanes for lane in pair])
        return list(stacked.unflatten(0, (rounds, 2)).unbind(0))
    return [torch.stack(_of_one_length(*pair)) for pair in lanes]


def _of_one_length(first: Tensor, second: Tensor) -> list[Tensor]:
    """Fill up the components of the site that has fewer with zeros; `pad` of torch 2.8 takes no empty batch."""
    length = max(len(first), len(second))
    return [
        x if len(x) == length else torch.cat([x, x.new_zeros(length - len(x), *x.shape[1:])])
        for x in (first, second)
    ]


def _square(cores: Sequence[Tensor], rank: int) -> list[Tensor]:
    """Fill up smaller bonds with zeros."""
    full = (rank, rank)
    return [
        core if core.shape[1:] == full else pad(core, (0, rank - core.shape[2], 0, rank - core.shape[1]))
        for core in cores
    ]


def _transfers(row: Tensor, core: Tensor) -> Tensor:
    """`A = sum_s w[s] Q[s]`, (2, B, m, m)."""
    matrices: Tensor = torch.bmm(row.mT, core.flatten(2)).unflatten(2, core.shape[2:])
    return matrices


def _shrink(kernel: Kernel, lanes: Tensor) -> Tensor:
    """`scaled.rescale` in place; returns the scale itself: one logarithm at the end serves all rounds."""
    peak = kernel.peak(lanes).clamp_min_(torch.finfo(lanes.dtype).tiny)
    kernel.scale(lanes, peak)
    return peak


def _last_rounds(wants: Sequence[tuple[bool, bool]]) -> tuple[int, int]:
    """The last round, counted from the ends of the chain, of each lane on its way back; the number of rounds if none.

    In an odd chain both lanes pass the site in the middle, and the first one has it.
    """
    rounds = -(-len(wants) // 2)
    halves = wants[:rounds], wants[: rounds - 1 : -1]
    first, second = (next((at for at, want in enumerate(half) if any(want)), rounds) for half in halves)
    return first, second
