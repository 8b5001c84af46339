"""Logs, sample grids, compiled and deterministic training."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from einops import rearrange

from tnprior_models import ModelError, TrainConfig, Trainer, load_weights
from tnprior_models.training import (
    Callback,
    MetricsLog,
    SampleGrids,
    TensorBoardLog,
    TensorData,
    environment,
    image_grid,
    read_metrics,
)


def _worker():
    path = Path(__file__).with_name("training_worker.py")
    spec = importlib.util.spec_from_file_location("training_worker", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


worker = _worker()


def trainer(directory, *callbacks, model=None, **settings):
    config = TrainConfig(**{"epochs": 3, "batch_size": 25, **settings})
    return Trainer(model or worker.Tiny(), config, worker.make_data(), directory, callbacks)


def test_metrics_are_json_lines_for_any_reader(tmp_path):
    trainer(tmp_path).fit()
    entries = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert entries == read_metrics(tmp_path / "metrics.jsonl")
    assert [(entry["epoch"], entry["step"]) for entry in entries] == [(1, 2), (2, 4), (3, 6)]
    assert set(entries[0]) >= {
        "seconds",
        "fit/loss",
        "fit/error",
        "fit/grad_norm",
        "fit/learning_rate",
        "critic/loss",
    }


def test_a_log_elsewhere_and_one_that_is_damaged(tmp_path):
    trainer(None, MetricsLog(tmp_path / "log" / "numbers.jsonl")).fit()
    path = tmp_path / "log" / "numbers.jsonl"
    assert len(read_metrics(path)) == 3
    with path.open("a") as file:
        file.write('{"epoch": 4, "st')
    assert len(read_metrics(path)) == 3
    path.write_text("{}\nnonsense\n")
    with pytest.raises(
        ModelError, match=r"numbers.jsonl, line 2: expected a JSON object, received 'nonsense'"
    ):
        read_metrics(path)
    with pytest.raises(ModelError, match="cannot read"):
        read_metrics(tmp_path / "none.jsonl")
    with pytest.raises(ModelError, match="expected a path, because the run has no directory"):
        trainer(None, MetricsLog()).fit()


def test_numbers_that_are_not_finite_are_null(tmp_path):
    class Undefined(Callback):
        def after_epoch(self, run):
            run.metrics["ratio"] = float("nan")

    log = MetricsLog(tmp_path / "numbers.jsonl")
    trainer(None, Undefined(), log).fit()
    assert [entry["ratio"] for entry in read_metrics(tmp_path / "numbers.jsonl")] == [None, None, None]


def test_sample_grids_use_the_same_noise_and_leave_the_run_alone(tmp_path):
    drawn, modes, written = [], [], {}

    def draw(model):
        modes.append(model.training)
        noise = torch.rand(5, 1, 2, 2, device=next(model.parameters()).device)
        drawn.append(noise)
        return noise

    def write(path, grid):
        written[path] = grid

    model, plain = worker.Tiny(), worker.Tiny()
    model.decoder.eval()  # modes are put back one by one
    plain.decoder.eval()
    trainer(tmp_path, SampleGrids(draw, write, every=2, columns=3), model=model, epochs=4).fit()
    trainer(None, model=plain, epochs=4).fit()
    assert [path.relative_to(tmp_path).as_posix() for path in written] == [
        "samples/epoch-0002.png",
        "samples/epoch-0004.png",
    ]
    assert torch.equal(drawn[0], drawn[1])
    assert modes == [False, False]
    assert model.training
    assert not model.decoder.training
    for one, two in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one, two)
    (grid, _) = written.values()
    assert grid.shape == (1, 4, 6)
    assert torch.equal(grid[:, :2, 2:4], drawn[0][1])
    assert not grid[:, 2:, 4:].any()
    with pytest.raises(ModelError, match="every and columns of 1 or more, received 0, 8"):
        SampleGrids(draw, write, every=0)


def test_a_grid_reads_row_by_row():
    images = torch.rand(6, 3, 4, 5)
    assert torch.equal(image_grid(images, 2), rearrange(images, "(r c) d h w -> d (r h) (c w)", r=3))


def test_tensorboard_has_every_number_once_however_often_resumed(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    trainer(tmp_path, TensorBoardLog(), epochs=1).fit()
    trainer(tmp_path, TensorBoardLog()).resume()
    reader = events.EventAccumulator(str(tmp_path / "tensorboard"))
    reader.Reload()
    metrics = read_metrics(tmp_path / "metrics.jsonl")
    for name in ("fit/loss", "critic/learning_rate"):
        scalars = reader.Scalars(name)
        assert [scalar.step for scalar in scalars] == [2, 4, 6]
        assert [scalar.value for scalar in scalars] == pytest.approx([entry[name] for entry in metrics])


def test_without_tensorboard_the_error_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ModelError, match=r"pip install 'tnprior-models\[tensorboard\]'"):
        TensorBoardLog()


# torch.compile looks at .grad of every tensor it meets
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize(
    "settings", [{"compile_loss": True}, {"compile_modules": ("encoder", "decoder")}], ids=["loss", "modules"]
)
def test_compiled_training_is_the_same_training(tmp_path, settings):
    """The names of the weights are those of the bare model, and it is left as it was found."""
    plain, compiled = worker.Plain(), worker.Plain()
    trainer(None, model=plain).fit()
    trainer(tmp_path, model=compiled, compile_backend="eager", ema_decay=0.9, **settings).fit()
    for one, two in zip(plain.parameters(), compiled.parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-6)
    load_weights(tmp_path / "model.safetensors", worker.Plain())
    assert compiled.encoder._compiled_call_impl is None
    again = trainer(tmp_path, model=worker.Plain(), ema_decay=0.9, epochs=4).resume()
    assert again.step == 8


def test_deterministic_algorithms_only_inside_the_run():
    seen = []

    class Look(Callback):
        def after_step(self, run):
            seen.append(torch.are_deterministic_algorithms_enabled())

    trainer(None, Look(), deterministic=True, epochs=1).fit()
    assert seen == [True, True]
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_environment_is_plain_json():
    facts = environment("cpu", seed=11, world=2)
    assert json.loads(json.dumps(facts)) == facts
    assert (facts["seed"], facts["processes"], facts["device"]["type"]) == (11, 2, "cpu")
    assert {"python", "torch", "safetensors", "tnprior-models"} <= facts["versions"].keys()


@pytest.mark.gpu
def test_training_on_a_gpu_resumes_and_agrees_with_the_cpu(tmp_path):
    """Without noise, CPU and GPU train alike; batches come from data on the device."""
    cpu, gpu = worker.Plain(), worker.Plain()
    trainer(None, model=cpu).fit()
    config = TrainConfig(epochs=2, batch_size=25)
    Trainer(gpu, config, worker.make_data(), tmp_path, device="cuda").fit()
    config = TrainConfig(epochs=3, batch_size=25)
    resumed = Trainer(worker.Plain(seed=5), config, worker.make_data(), tmp_path, device="cuda")
    assert resumed.data.x.device.type == "cuda"
    resumed.resume()
    for one, two in zip(cpu.parameters(), resumed.model.parameters(), strict=True):
        assert torch.allclose(one, two.cpu(), rtol=1e-3, atol=1e-5)


@pytest.mark.gpu
def test_batches_of_data_on_a_gpu_are_there_when_a_trainer_on_the_cpu_reads_them():
    here = worker.make_data()
    there = TensorData(here.x.cuda(), here.codes.cuda(), here.observed.cuda())
    assert there.near(torch.device("cuda")) is there
    indices, cpu = torch.tensor([3, 0, 7]), torch.device("cpu")
    for found, expected in zip(there.batch(indices, cpu), here.batch(indices, cpu), strict=True):
        assert torch.equal(found, expected)
