"""Small models of every family, by name: one line makes a family go through every suite."""

import torch

from tnprior_core import (
    Categorical,
    FactorRingPrior,
    FlowPrior,
    GaussianMixturePrior,
    StandardNormalPrior,
    TensorRingPrior,
    TensorTrainPrior,
)
from tnprior_core import Gaussian as Latent
from tnprior_models import (
    CVAE,
    GAN,
    JMVAE,
    TELBO,
    VAE,
    Bernoulli,
    ConvCritic,
    ConvDecoder,
    ConvEncoder,
    ConvFeatures,
    ConvGenerator,
    DecodedPrior,
    DenseCode,
    DenseHead,
    FineCritic,
    Gaussian,
    ImplicitModel,
    LabelCode,
    LabelExperts,
    LabelledCode,
    MultimodalVAE,
)

SHAPE, D, CELLS, LABELS = (1, 9, 8), 3, 5 * 4, 5


def sites(latents):
    codes = (Latent(f"z{i}", components=4) for i in range(latents))
    return [Categorical("hat", ("no", "yes")), *codes, Categorical("digit", ("a", "b", "c"))]


SITES = sites(D)


def vae(prior, likelihood=None, latents=D, spatial=False, **options):
    return VAE(
        ConvEncoder(SHAPE, latents, width=8, hidden=16, spatial=spatial),
        ConvDecoder(SHAPE, latents, width=8, hidden=16, spatial=spatial),
        prior,
        Bernoulli() if likelihood is None else likelihood,
        **options,
    )


def cvae(prior, likelihood=None, **options):
    trunk = ConvFeatures(SHAPE, width=8)
    return CVAE(
        trunk,
        DenseHead(trunk.size, LABELS, hidden=16),
        LabelledCode(trunk.size, LABELS, D, hidden=16),
        ConvDecoder(SHAPE, D + LABELS, width=8, hidden=16),
        prior,
        Bernoulli() if likelihood is None else likelihood,
        **options,
    )


def multimodal(label_encoder, alignment, likelihood=None, **options):
    trunk = ConvFeatures(SHAPE, width=8)
    return MultimodalVAE(
        trunk,
        LabelledCode(trunk.size, LABELS, D, hidden=16),
        DenseCode(trunk.size, D, hidden=16),
        ConvDecoder(SHAPE, D, width=8, hidden=16),
        DecodedPrior(SITES, DenseHead(D, LABELS, hidden=16), label_encoder),
        Bernoulli() if likelihood is None else likelihood,
        alignment,
        **options,
    )


MODELS = {
    "vae, train": lambda **o: vae(TensorTrainPrior(SITES, rank=3), **o),
    "vae, ring": lambda **o: vae(TensorRingPrior(SITES, rank=3), Gaussian(), **o),
    "vae, grid": lambda **o: vae(TensorRingPrior(sites(CELLS), rank=2), latents=CELLS, spatial=True, **o),
    "vae, mixture": lambda **o: vae(GaussianMixturePrior(SITES, components=5), **o),
    "vae, factor ring": lambda **o: vae(FactorRingPrior(SITES, components=4, points=3), **o),
    "plain vae": lambda **o: vae(StandardNormalPrior(SITES), **o),
    "cvae": lambda **o: cvae(StandardNormalPrior(SITES, rank=3), **o),
    "cvae, independent labels": lambda **o: cvae(StandardNormalPrior(SITES), Gaussian(), **o),
    "cvae, train": lambda **o: cvae(TensorTrainPrior(SITES, rank=3), **o),
    "cvae, mixture": lambda **o: cvae(GaussianMixturePrior(SITES, components=5), Gaussian(), **o),
    "cvae, flow": lambda **o: cvae(FlowPrior(TensorRingPrior(SITES, rank=3), layers=2, hidden=8), **o),
    "jmvae": lambda **o: multimodal(LabelCode(LABELS, D, hidden=16), JMVAE(), **o),
    "telbo": lambda **o: multimodal(LabelExperts(LABELS, D, hidden=16), TELBO(), Gaussian(), **o),
}


def gan(prior, critic=ConvCritic, **options):
    return GAN(ConvGenerator(SHAPE, D, width=4), critic(SHAPE, labels=LABELS, width=4, **options), prior)


TRAINED = {
    **MODELS,
    "gan, ring": lambda: gan(TensorRingPrior(SITES, rank=3)),
    "gan, normal": lambda: gan(StandardNormalPrior(SITES)),
    "gan, a critic that compares": lambda: gan(TensorTrainPrior(SITES, rank=3), FineCritic, compares=True),
}
SAMPLERS = {
    **TRAINED,
    "implicit, train": lambda: ImplicitModel(
        ConvGenerator(SHAPE, D, width=4), TensorTrainPrior(SITES, rank=3)
    ),
}


def built(makers, name, **options):
    """A model of that name, the same each time, in double precision."""
    torch.manual_seed(0)
    return makers[name](**options).double()
