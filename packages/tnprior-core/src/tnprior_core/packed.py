"""The chain contracted by machine code: each thread takes a share of the batch through all sites and back.

Several examples are one vector of the processor, so every entry of a message is a vector, and products of matrices of
rank 20 take half of what a batch of them takes in a library. Where a message from the right meets one from
the left, with `L` and `R` for the two and `F` for the mass,

    d log F / d w[s] = <L, Q[s] R> / F        d log F / d Q[s] = w[s] L^T R^T / F.

The same sums as in `folded`, in another order: results agree to rounding, not to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tnprior_core.compiled import array
from tnprior_core.parts import in_threads, shares
from tnprior_core.scratch import Loan, empty, lent

__all__ = ["Chain", "Gradients", "packed_log_mass"]


def packed_log_mass(
    loops: ModuleType, rows: Sequence[Tensor], cores: Sequence[Tensor], *, closed: bool
) -> Tensor:
    """Return `log F` (B,) of rows (B, N_k) or (1, N_k) and cores (N_k, m_k, m_{k+1}); see `contract.log_mass`.

    loops
        the module `chain_loops`, which takes numba to import.
    """
    batch = next((row.shape[0] for row in rows if row.shape[0] != 1), 1)
    rows = [row if row.shape[0] == batch else row.expand(batch, -1) for row in rows]
    recorded = torch.is_grad_enabled() and any(x.requires_grad for x in (*rows, *cores))
    result: Tensor = _Packed.apply(loops, closed, recorded, *rows, *cores)
    return result


class Chain(NamedTuple):
    """What loops read, and their scales: one-dimensional arrays, here by their axes.

    S counts the components of all sites, each filled up to a multiple of four, m is the rank, likewise, and n the
    numbers of a vector.
    """

    rows: Any
    """(S, width)"""
    cores: Any
    """(S, m, m)"""
    starts: Any
    """(K,) where the components of each site begin."""
    counts: Any
    """(K,) and how many there are, without those that fill up."""
    width: int
    """The batch, filled up to whole pairs of vectors."""
    used: int
    """Vectors with examples in them."""
    rank: int
    kept: Any
    """The messages for the way back: of a train (K, width / n, m, n), of a ring (segments, width / n, m, m, n)."""
    peaks: Any
    """(K, width), the scales of the messages."""
    work: Any
    """Memory."""


class Gradients(NamedTuple):
    """What the way back reads and writes, as in `Chain`."""

    mass: Any
    """(width,), the gradient of `log F`."""
    row_wanted: Any
    """(K,)"""
    core_wanted: Any
    """(K,)"""
    rows: Any
    """(S, width)"""
    cores: Any
    """(S, m, m), of a share."""


class _Layout:
    """Where the sites are in packed rows (S, width) and cores (S, m, m)."""

    def __init__(self, loops: ModuleType, rows: Sequence[Tensor], cores: Sequence[Tensor]) -> None:
        self.shapes, self.batch = [core.shape for core in cores], len(rows[0])
        self.rank = _filled(max(max(shape[1:]) for shape in self.shapes), loops.ROWS)
        self.vector = loops.BYTES // rows[0].element_size()
        self.width = _filled(self.batch, 2 * self.vector)
        self.filled = [_filled(shape[0], loops.ROWS) for shape in self.shapes]
        self.regular = len(set(self.shapes)) == 1

    def pack(self, rows: Sequence[Tensor], cores: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The rows (B, N_k) and cores (N_k, m_k, m_{k+1}) of all sites, each as one tensor."""
        packed = (
            rows[0].new_empty(sum(self.filled), self.width),
            cores[0].new_empty(sum(self.filled), self.rank, self.rank),
        )
        for whole, views, tensors in zip(packed, (self.rows, self.cores), (rows, cores), strict=True):
            array(whole)[:] = 0  # what fills up
            torch._foreach_copy_(list(views(whole)), list(tensors))
        return packed

    def rows(self, packed: Tensor) -> Sequence[Tensor]:
        """The rows (B, N_k) within."""
        return self._sites(packed[:, : self.batch].mT, 1)

    def cores(self, packed: Tensor) -> Sequence[Tensor]:
        """The cores (N_k, m_k, m_{k+1}) within."""
        return [
            site if site.shape == shape else site[:, : shape[1], : shape[2]]
            for site, shape in zip(self._sites(packed, 0), self.shapes, strict=True)
        ]

    def chain(self, rows: Tensor, cores: Tensor, kept: Tensor, peaks: Tensor) -> Chain:
        """What loops read, without memory for their work."""
        counts = numpy.array([shape[0] for shape in self.shapes])
        starts = numpy.cumsum(self.filled) - self.filled
        used, none = -(-self.batch // self.vector), _flat(rows[:0])
        sizes = self.width, used, self.rank
        return Chain(_flat(rows), _flat(cores), starts, counts, *sizes, _flat(kept), _flat(peaks), none)

    def shares(self) -> list[slice]:
        """Pairs for each thread; the shorter share comes first, for the last pair may be of one vector."""
        pairs = self.width // (2 * self.vector)
        parts = shares(pairs, least=1, most=max(pairs, 1), grain=1, device=torch.device("cpu"))
        return [slice(pairs - part.stop, pairs - part.start) for part in reversed(parts)]

    def _sites(self, packed: Tensor, axis: int) -> Sequence[Tensor]:
        if self.regular:
            parts = packed.unflatten(axis, (len(self.shapes), -1))
            sites: Sequence[Tensor] = parts.narrow(axis + 1, 0, self.shapes[0][0]).unbind(axis)
            return sites
        return [
            part.narrow(axis, 0, shape[0])
            for part, shape in zip(packed.split(self.filled, axis), self.shapes, strict=True)
        ]


class _Packed(torch.autograd.Function):
    """Zeros, sums and logarithms are numpy's, which does them in this thread.

    Where torch shares an operation among its threads, every logarithm for one, those are busy for milliseconds more.
    """

    @staticmethod
    def forward(ctx: Any, loops: ModuleType, closed: bool, recorded: bool, *tensors: Tensor) -> Tensor:
        sites = len(tensors) // 2
        layout = _Layout(loops, tensors[:sites], tensors[sites:])
        rows, cores = layout.pack(tensors[:sites], tensors[sites:])
        kept = (-(-sites // loops.SEGMENT), layout.rank**2) if closed else (sites, layout.rank)
        loan = Loan((kept[0], layout.width * kept[1]) if recorded else (0,), rows)
        peaks, mass = rows.new_empty(sites, layout.width), rows.new_empty(layout.width)
        chain = layout.chain(rows, cores, loan.tensor, peaks)
        walk = loops.ring_forward if closed else loops.train_forward

        def share(part: slice) -> None:
            with _work(loops, chain, closed) as mine:
                walk(mine, _flat(mass), part.start, part.stop)

        in_threads(share, layout.shares(), rows.device)
        ctx.loops, ctx.closed, ctx.layout, ctx.loan = loops, closed, layout, loan
        if recorded:
            ctx.save_for_backward(rows, cores, loan.tensor, peaks)
        with numpy.errstate(divide="ignore"):
            logs = numpy.log(array(mass)[: layout.batch]) + numpy.log(array(peaks)[:, : layout.batch]).sum(0)
        return torch.from_numpy(logs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, cores, kept, peaks = ctx.saved_tensors
        layout, loops, needed = ctx.layout, ctx.loops, ctx.needs_input_grad[3:]
        chain, parts = layout.chain(rows, cores, kept, peaks), layout.shares()
        row_wanted, core_wanted = numpy.array(needed).reshape(2, -1)
        # Of posteriors, say, no core wants a gradient.
        size = len(cores) if core_wanted.any() else 0
        row_grads, core_grads = torch.empty_like(rows), Loan((len(parts), size, *cores.shape[1:]), cores)
        own = {part.start: grads for part, grads in zip(parts, core_grads.tensor, strict=True)}
        weights = grad.new_zeros(layout.width)
        weights[: layout.batch] = grad
        walk = loops.ring_backward if ctx.closed else loops.train_backward

        def share(part: slice) -> None:
            found = _flat(row_grads), _flat(own[part.start])
            with _work(loops, chain, ctx.closed) as mine:
                walk(mine, Gradients(_flat(weights), row_wanted, core_wanted, *found), part.start, part.stop)

        in_threads(share, parts, rows.device)
        summed = torch.from_numpy(array(core_grads.tensor).sum(0))
        found = [*layout.rows(row_grads), *(layout.cores(summed) if size else [None] * len(core_wanted))]
        return None, None, None, *(x if want else None for x, want in zip(found, needed, strict=True))


@contextmanager
def _work(loops: ModuleType, chain: Chain, closed: bool) -> Iterator[Chain]:
    """The chain with memory for a share of a ring, lent until the end."""
    size = loops.WORK * chain.rank**2 * loops.BYTES // chain.rows.itemsize if closed else 0
    with lent():
        memory = empty("walk", (size,), torch.from_numpy(chain.rows).dtype, torch.device("cpu"))
        yield chain._replace(work=array(memory))


def _filled(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def _flat(tensor: Tensor) -> Any:
    return array(tensor.view(-1))
