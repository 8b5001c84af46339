"""From a configuration to its data, its model and its device."""

import torch
from torch import Tensor, nn

import tnprior_data
from tnprior_cli.attributes import Objects
from tnprior_cli.config import DataSection, RunConfig
from tnprior_cli.errors import UsageError
from tnprior_cli.families import build_family
from tnprior_cli.matched import matched
from tnprior_cli.rundir import RunDirectory
from tnprior_cli.subnormals import PROCESS
from tnprior_data import Dataset
from tnprior_models.checkpoint import load_weights

PROCESS.flush()


def build_data(config: DataSection, split: str) -> Dataset:
    """The split of a data set that a configuration names."""
    return tnprior_data.load(
        config.name,
        root=config.root,
        split=split,
        attributes=config.attributes,
        missing=config.missing,
        seed=config.seed,
        size=config.size,
        crop=config.crop,
    )


def build_model(config: RunConfig, objects: Objects) -> nn.Module:
    """The model of a configuration for such objects, freshly initialised from the configuration's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)
        return build_family(matched(config, objects), objects)


def load_model(run: RunDirectory, device: str) -> nn.Module:
    """The trained model of a run, ready to be asked.

    Raises:
        BadDataError: there are no weights yet.
        CheckpointError: the weights are damaged or of another model.
        UsageError: there is no such device.
    """
    place = pick_device(device)
    model = build_model(run.config, run.objects)
    load_weights(run.weights, model)
    return model.to(place).eval().requires_grad_(requires_grad=False)


def pick_device(name: str) -> torch.device:
    """`auto` takes a GPU if there is one.

    Raises:
        UsageError: the name is not of a device that is here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"unknown device {name!r}; expected auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"unknown device {name!r}; expected auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"device {name!r} is not there: {torch.cuda.device_count()} CUDA devices found")
    return device


def model_input(dataset: Dataset, rows: slice, model: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """x in [0, 1], codes and observed of some rows, where the model is."""
    home = next(model.parameters())
    x = dataset.x[rows].to(home.device).to(home.dtype) / 255
    return x, dataset.codes[rows].to(home.device), dataset.observed[rows].to(home.device)
