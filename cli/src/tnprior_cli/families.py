"""From the settings of a model to a model: the only place that knows which networks a family has."""

import math
from collections.abc import Callable
from typing import Any

from torch import nn

from tnprior_cli.attributes import Objects
from tnprior_cli.config import GanSection, RunConfig
from tnprior_cli.errors import UsageError
from tnprior_cli.priors import build_prior
from tnprior_models import (
    CVAE,
    GAN,
    JMVAE,
    TELBO,
    VAE,
    Alignment,
    Bernoulli,
    ClippedWasserstein,
    ConvCritic,
    ConvDecoder,
    ConvEncoder,
    ConvFeatures,
    ConvGenerator,
    DecodedPrior,
    DenseCode,
    DenseHead,
    FineCritic,
    Game,
    ImplicitModel,
    JudgedLabels,
    LabelCode,
    LabelExperts,
    LabelGame,
    LabelledCode,
    MinMax,
    ModelError,
    MultimodalVAE,
    NonSaturating,
    Pathwise,
    PenalizedWasserstein,
    ReadLabels,
    Reinforce,
    ReparametrizedMeans,
    channel_norms,
    sample_norms,
    shuffled_doubling,
    transposed_doubling,
)
from tnprior_models import Gaussian as GaussianPixels

SLOPE = 2.0
"""Gradients with respect to images in [0, 1] are twice those in [-1, 1], where penalties are usually counted."""


def build_family(config: RunConfig, objects: Objects) -> nn.Module:
    """The model of a configuration, initialised from torch's global generator and the configuration's seed.

    Raises:
        UsageError: networks that cannot be made for such objects.
    """
    try:
        built: nn.Module = _FAMILIES[config.model.family](config, objects)
    except ModelError as error:
        raise UsageError(str(error)) from error
    return built


def compiled_parts(config: RunConfig) -> tuple[str, ...]:
    """The submodules that are worth compiling."""
    return _COMPILED[config.model.family]


def _vae(config: RunConfig, objects: Objects) -> VAE:
    encoder = ConvEncoder(objects.shape, config.model.latents, **_layers(config))
    return VAE(
        encoder,
        _decoder(config, objects, config.model.latents),
        build_prior(config, objects, encoder),
        information_weight=config.model.information_weight,
        attribute_lead=config.model.attribute_lead,
        attribute_lead_updates=config.model.attribute_lead_updates,
        prior_attribute_weight=config.prior.attribute_weight,
        **_common(config),
    )


def _cvae(config: RunConfig, objects: Objects) -> CVAE:
    size, hidden = config.model.latents, config.model.hidden
    labels = _label_count(objects)
    trunk = _trunk(config, objects)
    return CVAE(
        trunk,
        DenseHead(trunk.size, labels, hidden=hidden),
        LabelledCode(trunk.size, labels, latent_size=size, hidden=hidden),
        _decoder(config, objects, size + labels),
        build_prior(config, objects),
        **_common(config),
    )


def _jmvae(config: RunConfig, objects: Objects) -> MultimodalVAE:
    encoder = LabelCode(_label_count(objects), config.model.latents, hidden=config.model.hidden)
    weight = config.model.alignment_weight
    return _multimodal(config, objects, encoder, JMVAE() if weight is None else JMVAE(weight))


def _telbo(config: RunConfig, objects: Objects) -> MultimodalVAE:
    encoder = LabelExperts(_label_count(objects), config.model.latents, hidden=config.model.hidden)
    weight = config.model.alignment_weight
    return _multimodal(config, objects, encoder, TELBO() if weight is None else TELBO(weight))


def _multimodal(
    config: RunConfig, objects: Objects, label_encoder: nn.Module, alignment: Alignment
) -> MultimodalVAE:
    size, hidden = config.model.latents, config.model.hidden
    labels = _label_count(objects)
    trunk = _trunk(config, objects)
    sites = build_prior(config, objects).sites
    return MultimodalVAE(
        trunk,
        LabelledCode(trunk.size, labels, latent_size=size, hidden=hidden),
        DenseCode(trunk.size, latent_size=size, hidden=hidden),
        _decoder(config, objects, size),
        DecodedPrior(sites, DenseHead(size, labels, hidden=hidden), label_encoder),
        alignment=alignment,
        **_common(config),
    )


def _gan(config: RunConfig, objects: Objects) -> ImplicitModel:
    generator, critic = _PLAYERS[config.gan.networks](config, objects)
    prior = build_prior(config, objects)
    if config.fit is not None:  # the critic belongs to the prior that it was trained against
        return ImplicitModel(generator, prior)
    return GAN(
        generator,
        critic,
        prior,
        _GAMES[config.gan.game](config.gan, {"learning_rate": config.train.lr, **_pace(config.gan)}),
        _ESTIMATORS[config.gan.estimator](config.gan),
        labels=_label_game(config, objects),
        prior_learning_rate=config.train.prior_lr,
    )


def _label_game(config: RunConfig, objects: Objects) -> LabelGame:
    if config.gan.labels == "read":
        return ReadLabels(config.gan.label_weight)
    distance = config.gan.label_distance if config.gan.game == "wgan-gp" else None
    largest = math.prod(objects.shape) ** 0.5  # between two images with pixels in [0, 1]
    return JudgedLabels(distance=None if distance is None else distance * largest, matched=config.gan.matched)


def _trip_players(config: RunConfig, objects: Objects) -> tuple[nn.Module, nn.Module]:
    size, width, labels = config.model.latents, config.model.width, _label_count(objects)
    doubling = _DOUBLINGS[config.gan.doubling]
    return (
        ConvGenerator(objects.shape, latent_size=size, width=width, doubling=doubling),
        ConvCritic(objects.shape, labels=labels, width=width),
    )


def _fine_players(config: RunConfig, objects: Objects) -> tuple[nn.Module, nn.Module]:
    decoder = _decoder(config, objects, config.model.latents)
    critic = FineCritic(
        objects.shape, labels=_label_count(objects), width=config.model.width, compares=config.gan.compares
    )
    return nn.Sequential(decoder, nn.Sigmoid()), critic


def _trunk(config: RunConfig, objects: Objects) -> ConvFeatures:
    return ConvFeatures(objects.shape, **config.model.model_dump(include={"width", "normalization", "grid"}))


def _decoder(config: RunConfig, objects: Objects, inputs: int) -> ConvDecoder:
    return ConvDecoder(objects.shape, inputs, **_layers(config))


def _layers(config: RunConfig) -> dict[str, Any]:
    """What encoder and decoder are told alike."""
    return config.model.model_dump(include={"width", "hidden", "normalization", "spatial", "grid"})


def _label_count(objects: Objects) -> int:
    return sum(len(item.labels) for item in objects.attributes)


def _common(config: RunConfig) -> dict[str, Any]:
    """What every model with a likelihood is told."""
    return {
        "likelihood": _LIKELIHOODS[config.model.likelihood](),
        "attribute_weight": config.model.attribute_weight,
        "kl_weight": config.model.kl_weight,
        "kl_warmup": config.model.kl_warmup,
        "samples": config.model.samples,
        "learning_rate": config.train.lr,
        "prior_learning_rate": config.train.prior_lr,
    }


def _pace(gan: GanSection) -> dict[str, Any]:
    told = {"critic_steps": gan.critic_steps, "betas": gan.betas}
    return {name: value for name, value in told.items() if value is not None}


def _penalized(gan: GanSection, played: dict[str, Any]) -> PenalizedWasserstein:
    norms = {"sample": sample_norms, "channel": channel_norms}[gan.norm]
    told: dict[str, Any] = {} if gan.penalty is None else {"weight": gan.penalty}
    return PenalizedWasserstein(**played, **told, slope=SLOPE, norms=norms)


def _nonsaturating(gan: GanSection, played: dict[str, Any]) -> NonSaturating:
    return NonSaturating(**played, weight=(gan.penalty or 0.0) / SLOPE**2)


_FAMILIES: dict[str, Callable[[RunConfig, Objects], nn.Module]] = {
    "vae": _vae,
    "cvae": _cvae,
    "jmvae": _jmvae,
    "telbo": _telbo,
    "gan": _gan,
}
_COMPILED = {
    "vae": ("encoder", "decoder"),
    "cvae": ("trunk", "encoder", "decoder"),
    "jmvae": ("trunk", "decoder"),
    "telbo": ("trunk", "decoder"),
    "gan": ("generator", "critic"),
}
_LIKELIHOODS: dict[str, Any] = {"bernoulli": Bernoulli, "gaussian": GaussianPixels}
_GAMES: dict[str, Callable[[GanSection, dict[str, Any]], Game]] = {
    "wgan-gp": _penalized,
    "wgan": lambda gan, played: ClippedWasserstein(**played, clip=gan.clip),
    "minmax": lambda _, played: MinMax(**played),
    "nonsaturating": _nonsaturating,
}
_PLAYERS = {"trip": _trip_players, "fine": _fine_players}
_DOUBLINGS = {"transposed": transposed_doubling, "shuffled": shuffled_doubling}
_ESTIMATORS: dict[str, Any] = {
    "pathwise": lambda gan: Pathwise(floor=gan.floor),
    "means": lambda _: ReparametrizedMeans(),
    "reinforce": lambda _: Reinforce(),
}
