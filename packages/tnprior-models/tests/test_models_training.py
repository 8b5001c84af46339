"""The training loop against closed forms: order, updates, accumulation, clipping, schedules, averages."""

import importlib.util
import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim import SGD, Adam

from tnprior_models import (
    ModelError,
    Objective,
    load_weights,
)
from tnprior_models.training import (
    Callback,
    Cosine,
    Refit,
    StopReason,
    TensorData,
    Warmup,
    read_metrics,
)
from tnprior_models.training.average import exponential_average, warmed_decay
from tnprior_models.training.order import bounds, epoch_order


def _worker():
    path = Path(__file__).with_name("training_worker.py")
    spec = importlib.util.spec_from_file_location("training_worker", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


worker = _worker()


Line, Trace, numbers, train = worker.Line, worker.Trace, worker.numbers, worker.train_here


# ---------------------------------------------------------------- order and batches


@settings(max_examples=100)
@given(st.integers(0, 500), st.integers(1, 60))
def test_bounds_cover_evenly(count, parts):
    ranges = bounds(count, parts)
    assert [i for low, high in ranges for i in range(low, high)] == list(range(count))
    sizes = {high - low for low, high in ranges}
    assert max(sizes) - min(sizes) <= 1


def test_the_order_is_a_function_of_seed_and_epoch():
    torch.manual_seed(0)
    first = epoch_order(100, seed=3, epoch=7)
    torch.manual_seed(1)
    assert torch.equal(first, epoch_order(100, seed=3, epoch=7))
    assert sorted(first.tolist()) == list(range(100))
    for other in (epoch_order(100, 3, 8), epoch_order(100, 4, 7)):
        assert not torch.equal(first, other)


def test_every_example_is_seen_once_an_epoch_in_batches_of_even_size():
    seen = []

    def loss(batch):
        seen.append(batch[0].flatten().tolist())
        return {"loss": (model.w * batch[0]).mean()}

    model = Line(loss=loss)
    train(model, numbers(*range(11)), epochs=2, batch_size=4)
    assert [len(batch) for batch in seen] == [4, 4, 3] * 2
    for epoch in (seen[:3], seen[3:]):
        assert sorted(x for batch in epoch for x in batch) == list(range(11))
    assert seen[:3] != seen[3:]


def test_uint8_is_scaled_and_wrong_data_is_named():
    data = worker.make_data(4)
    x, _, _ = data.batch(torch.tensor([1, 3]), torch.device("cpu"))
    assert torch.equal(x, data.x[[1, 3]].cpu().float() / 255)
    with pytest.raises(ModelError, match=r"received x \(4, 1, 4, 4\), codes \(3, 1\)"):
        TensorData(data.x, data.codes[:3], data.observed[:3])
    with pytest.raises(ModelError, match=r"at least one example"):
        TensorData(data.x[:0], data.codes[:0], data.observed[:0])
    with pytest.raises(ModelError, match=r"codes as int64 and observed as bool, received torch.float32"):
        TensorData(data.x, data.codes.float(), data.observed)
    with pytest.raises(ModelError, match=r"x as uint8 or float, received torch.int64"):
        TensorData(data.x.long(), data.codes, data.observed)


# ---------------------------------------------------------------- updates


def test_gradient_descent_by_hand():
    trace = Trace()
    result = train(Line(rate=0.5), numbers(3.0, 5.0), trace, epochs=3, batch_size=2)
    w, expected = 1.0, []
    for _ in range(3):
        w -= 0.5 * (w - 4.0)
        expected.append(w)
    assert [float(w) for w in trace.weights] == expected
    assert (result.reason, result.epoch, result.step, result.best) == (StopReason.EPOCHS, 3, 3, None)


@pytest.mark.parametrize("parts", [2, 3, 7, 20])
def test_accumulation_is_the_whole_batch(parts):
    """20 examples in batches of 10, also in more parts than there are examples."""
    whole, split = worker.Plain(), worker.Plain()
    train(whole, worker.make_data(20), epochs=2, batch_size=10)
    train(split, worker.make_data(20), epochs=2, batch_size=10, accumulate=parts)
    for one, two in zip(whole.parameters(), split.parameters(), strict=True):
        assert torch.allclose(one, two, rtol=1e-4, atol=1e-6)


def test_accumulated_metrics_are_means_over_examples(tmp_path):
    """x = 0..10 in uneven batches and parts, w held: the mean of w x is exactly 5."""
    model = Line(rate=0.0, loss=lambda batch: {"loss": (model.w * batch[0]).mean(), "x": batch[0].mean()})
    train(model, numbers(*range(11)), epochs=1, batch_size=4, accumulate=3, directory=tmp_path)
    (entry,) = read_metrics(tmp_path / "metrics.jsonl")
    assert entry["line/x"] == pytest.approx(5.0, abs=1e-6)
    assert entry["line/loss"] == pytest.approx(5.0, abs=1e-6)
    assert (entry["epoch"], entry["step"]) == (1, 3)


def test_clipping_rescales_and_reports_the_norm_before(tmp_path):
    """The gradient is w - 4 = -3; clipped to norm 1 the update is +0.5."""
    trace = Trace()
    train(Line(), numbers(3.0, 5.0), trace, epochs=1, batch_size=2, clip_norm=1.0, directory=tmp_path)
    assert float(trace.weights[0]) == pytest.approx(1.5, abs=1e-6)
    assert read_metrics(tmp_path / "metrics.jsonl")[0]["line/grad_norm"] == pytest.approx(3.0)


def test_schedules_scale_the_rate_of_each_update(tmp_path):
    """Gradient 1 throughout: each update shows its own rate."""
    schedule = Warmup(3, Cosine(final=0.1))
    trace = Trace()
    model = Line(rate=0.2, loss=lambda batch: {"loss": model.w * batch[0].mean()})
    train(model, numbers(*[1.0] * 10), trace, epochs=2, batch_size=2, schedule=schedule, directory=tmp_path)
    rates = [float(a - b) for a, b in pairwise([torch.tensor(1.0).double(), *trace.weights])]
    expected = [(s + 1) / 3 for s in range(3)]
    expected += [0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * s / 7)) for s in range(7)]
    assert rates == pytest.approx([0.2 * factor for factor in expected], abs=1e-6)
    logged = [entry["line/learning_rate"] for entry in read_metrics(tmp_path / "metrics.jsonl")]
    assert logged == pytest.approx([0.2 * expected[4], 0.2 * expected[9]])


@settings(max_examples=50)
@given(st.integers(1, 50), st.integers(51, 200), st.floats(0, 1))
def test_cosine_agrees_with_torch(warmup, total, final):
    optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    ours = Warmup(warmup, Cosine(final))
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total - warmup, eta_min=final)
    for step in range(warmup, total):
        assert ours(step, total) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
        optimizer.step()
        theirs.step()


def test_objectives_step_in_turn_and_leave_the_others_alone():
    """The adversary's loss sends a gradient through the generator's weight, which must not keep it."""
    seen = []

    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.g = nn.Parameter(torch.tensor(1.0))
            self.d = nn.Parameter(torch.tensor(1.0))

        def record(self, name):
            def loss(batch):
                seen.append((name, self.g.requires_grad, self.d.requires_grad))
                return {"loss": self.g * self.d * batch[0].mean()}

            return loss

        def objectives(self):
            def sgd(groups):
                return SGD(groups, lr=0.1)

            return (
                Objective("critic", [self.d], self.record("critic"), sgd),
                Objective("generator", [self.g], self.record("generator"), sgd, every=3),
            )

    model = Pair()
    train(model, numbers(1.0), epochs=4, batch_size=1)
    critic, generator = ("critic", False, True), ("generator", True, False)
    assert seen == [critic, critic, critic, generator, critic]
    assert model.g.requires_grad
    assert model.d.requires_grad
    assert float(model.d.detach()) == pytest.approx(1 - 0.1 * 3 - 0.1 * (1 - 0.1 * 0.7))
    assert float(model.g.detach()) == pytest.approx(1 - 0.1 * 0.7)


def test_bf16_losses_and_float32_weights():
    seen = []

    def loss(batch):
        product = model.layer(batch[0])
        seen.append(product.dtype)
        return {"loss": product.float().square().mean()}

    model = Line(loss=loss)
    model.layer = nn.Linear(1, 1)
    model.objectives = lambda: (
        Objective("line", list(model.layer.parameters()), loss, lambda groups: Adam(groups, lr=0.1)),
    )
    train(model, numbers(1.0, 2.0), epochs=1, batch_size=2, bf16=True)
    assert seen == [torch.bfloat16]
    assert model.layer.weight.dtype == torch.float32


# ---------------------------------------------------------------- averages


def test_the_average_follows_its_formula(tmp_path):
    trace = Trace()
    train(Line(rate=0.1), numbers(4.0), trace, epochs=30, batch_size=1, ema_decay=0.8, directory=tmp_path)
    average = trace.weights[0]
    for update, weight in enumerate(trace.weights[1:], 1):
        d = min(0.8, (1 + update) / (10 + update))
        average = d * average + (1 - d) * weight
    model = Line()
    load_weights(tmp_path / "model.safetensors", model)
    assert float(model.w.detach()) == pytest.approx(float(average), abs=1e-5)
    assert float(model.w.detach()) != pytest.approx(float(trace.weights[-1]), abs=1e-2)


def test_integers_are_copied_and_statistics_averaged():
    """An average of 3 and 3 in floating point, truncated, can be 2."""
    model = nn.BatchNorm1d(1)
    model.register_buffer("order", torch.arange(5))
    average = exponential_average(model, 0.99)
    for update in range(8):
        model.running_mean.fill_(float(update))
        model.order.fill_(3 + update)
        model.num_batches_tracked.fill_(update)
        average.update_parameters(model)
        assert torch.equal(average.module.order, model.order)
        assert int(average.module.num_batches_tracked) == update
    mean = 0.0
    for update in range(1, 8):
        d = warmed_decay(0.99, update)
        mean = d * mean + (1 - d) * update
    assert float(average.module.running_mean) == pytest.approx(mean, rel=1e-5)


def test_a_refit_resets_optimiser_and_average(tmp_path):
    class Momentum(Line):
        def objectives(self):
            (plain,) = super().objectives()
            return (
                Objective("line", [self.w], plain.loss, lambda groups: SGD(groups, lr=0.1, momentum=0.9)),
            )

    def overwrite(run):
        with torch.no_grad():
            run.model.w.fill_(10.0)
        return [run.model.w]

    seen = []

    class Look(Callback):
        def before_epoch(self, run):
            seen.append((float(run.product.w.detach()), float(run.model.w.detach())))

    trace = Trace()
    callbacks = (Refit(overwrite, lambda epoch: epoch == 3), Look(), trace)
    train(Momentum(), numbers(0.0), *callbacks, epochs=4, batch_size=1, ema_decay=0.9, directory=tmp_path)
    assert seen[3] == (10.0, 10.0)
    assert float(trace.weights[3]) == pytest.approx(10.0 - 0.1 * 10.0)  # no momentum of the time before
