"""From names and numbers of a configuration to objects; the only place that knows which class a name means."""

from typing import Any

import torch
from torch import Tensor, nn

import tnprior_data
from tnprior_cli.attributes import Objects
from tnprior_cli.config import DataSection, RunConfig
from tnprior_cli.errors import UsageError
from tnprior_cli.rundir import RunDirectory
from tnprior_core import (
    Categorical,
    Gaussian,
    GaussianMixturePrior,
    NetworkPrior,
    StandardNormalPrior,
    TensorRingPrior,
    TensorTrainPrior,
    initialize_from_labels,
    interleaved_order,
    random_order,
)
from tnprior_data import Dataset
from tnprior_models import (
    CVAE,
    VAE,
    Bernoulli,
    ConvDecoder,
    ConvEncoder,
    ConvFeatures,
    DenseHead,
    LabelledCode,
)
from tnprior_models import Gaussian as GaussianPixels
from tnprior_models.checkpoint import load_weights


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
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        built: nn.Module = _FAMILIES[config.model.family](config, objects)
        return built


def compiled_parts(config: RunConfig) -> tuple[str, ...]:
    """The submodules that are worth compiling."""
    return {"vae": ("encoder", "decoder"), "cvae": ("trunk", "encoder", "decoder")}[config.model.family]


def build_prior(config: RunConfig, objects: Objects) -> Any:
    """The prior over `latents` Gaussian sites and one categorical site per attribute."""
    prior = config.prior
    latents = [Gaussian(f"z{i}", components=prior.components or 1) for i in range(config.model.latents)]
    attributes = [Categorical(a.name, a.labels) for a in objects.attributes]
    built = _PRIORS[prior.kind]([*latents, *attributes], config)
    if isinstance(built, NetworkPrior) and attributes and prior.start != "noise" and prior.spread is not None:
        initialize_from_labels(built, seed=config.seed, spread=prior.spread)
    return built


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


def _vae(config: RunConfig, objects: Objects) -> VAE:
    size, width, hidden = config.model.latents, config.model.width, config.model.hidden
    return VAE(
        ConvEncoder(objects.shape, latent_size=size, width=width, hidden=hidden),
        ConvDecoder(objects.shape, latent_size=size, width=width, hidden=hidden),
        build_prior(config, objects),
        information_weight=config.model.information_weight,
        **_common(config),
    )


def _cvae(config: RunConfig, objects: Objects) -> CVAE:
    size, width, hidden = config.model.latents, config.model.width, config.model.hidden
    labels = sum(len(item.labels) for item in objects.attributes)
    trunk = ConvFeatures(objects.shape, width=width)
    return CVAE(
        trunk,
        DenseHead(trunk.size, labels, hidden=hidden),
        LabelledCode(trunk.size, labels, latent_size=size, hidden=hidden),
        ConvDecoder(objects.shape, latent_size=size + labels, width=width, hidden=hidden),
        build_prior(config, objects),
        **_common(config),
    )


def _common(config: RunConfig) -> dict[str, Any]:
    """What every family of models is told."""
    return {
        "likelihood": _LIKELIHOODS[config.model.likelihood](),
        "attribute_weight": config.model.attribute_weight,
        "kl_weight": config.model.kl_weight,
        "samples": config.model.samples,
        "learning_rate": config.train.lr,
        "prior_learning_rate": config.train.prior_lr,
    }


_FAMILIES: dict[str, Any] = {"vae": _vae, "cvae": _cvae}
_LIKELIHOODS: dict[str, Any] = {"bernoulli": Bernoulli, "gaussian": GaussianPixels}
_PRIORS: dict[str, Any] = {
    "train": lambda sites, config: TensorTrainPrior(sites, config.prior.rank, **_layout(sites, config)),
    "ring": lambda sites, config: TensorRingPrior(sites, config.prior.rank, **_layout(sites, config)),
    "mixture": lambda sites, config: GaussianMixturePrior(sites, components=config.prior.components),
    "normal": lambda sites, config: StandardNormalPrior(sites, rank=config.prior.rank, seed=config.seed),
}


def _layout(sites: list[Any], config: RunConfig) -> dict[str, Any]:
    """The order of the sites, and the seed of their noise; `information` finds its order at the first refit."""
    orders = {
        None: interleaved_order(sites),
        "interleaved": interleaved_order(sites),
        "random": random_order(sites, seed=config.seed),
    }
    return {"order": orders.get(config.prior.order), "seed": config.seed}
