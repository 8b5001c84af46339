"""Log densities of all components of many sites at once, in few passes over tables that are larger than a cache."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tnprior_core.normal import log_normal
from tnprior_core.scratch import Loan

__all__ = ["normal_rows"]


def normal_rows(values: Tensor, mean: Tensor, log_sigma: Tensor, *, batch_last: bool = False) -> Tensor:
    """Return `log N(v_bg; mu_gs, sigma_gs^2)` in nats, (G, B, N), of values (B, G) and components (G, N).

    With t the standardised values and g the gradient of the result, that of the means is `sum_b g t / sigma`, of log
    sigma `sum_b g (t^2 - 1)` and of the values `-sum_s g t / sigma`: t is all that is kept, in memory that is lent.

    batch_last
        examples, and not components, are next to each other in memory.

    >>> normal_rows(torch.zeros(3, 1), torch.zeros(1, 2), torch.zeros(1, 2))[0, 0]
    tensor([-0.9189, -0.9189])
    """
    rows: Tensor = _NormalRows.apply(values, mean, log_sigma, 2 if batch_last else 1, [])
    return rows.mT if batch_last else rows


class _NormalRows(torch.autograd.Function):
    """Rows (G, B, N) or (G, N, B), by which axis is the batch; backward has a graph where one is wanted.

    `kept` is an empty list, for what the way back needs: under transforms of `torch.func` no more than forward sees
    plain tensors.
    """

    @staticmethod
    def forward(values: Tensor, mean: Tensor, log_sigma: Tensor, batch: int, kept: list[Loan]) -> Tensor:
        count, components = mean.shape
        sizes = (count, len(values), components) if batch == 1 else (count, components, len(values))
        kept.append(Loan(sizes, mean))
        t = torch.sub(values.mT.unsqueeze(3 - batch), mean.unsqueeze(batch), out=kept[0].tensor)
        rows = t.mul_(torch.exp(-log_sigma).unsqueeze(batch)).square()
        peak = log_normal(mean, mean, log_sigma).unsqueeze(batch)
        return torch.add(peak, rows, alpha=-0.5, out=rows)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.batch, ctx.kept = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        values, mean, log_sigma = ctx.saved_tensors
        batch, (of_values, of_mean, of_sigma, *_) = ctx.batch, ctx.needs_input_grad
        if torch.is_grad_enabled():
            rows = log_normal(
                values.mT.unsqueeze(3 - batch), mean.unsqueeze(batch), log_sigma.unsqueeze(batch)
            )
            wanted = [
                x for x, want in zip((values, mean, log_sigma), ctx.needs_input_grad, strict=False) if want
            ]
            found = iter(torch.autograd.grad(rows, wanted, grad, create_graph=True))
            return *(next(found) if want else None for want in (of_values, of_mean, of_sigma)), None, None
        standard, precision = ctx.kept[0].tensor, torch.exp(-log_sigma)
        loan = Loan(standard.shape, standard)
        slope = torch.mul(grad, standard, out=loan.tensor)
        first = second = third = None
        if of_values:
            with torch.autocast(grad.device.type, enabled=False):
                pulled = slope @ precision.unsqueeze(2) if batch == 1 else (precision.unsqueeze(1) @ slope).mT
            first = -pulled.squeeze(2).mT
        if of_mean:
            second = slope.sum(batch) * precision
        if of_sigma:
            third = slope.mul_(standard).sum(batch) - grad.sum(batch)
        return first, second, third, None, None
