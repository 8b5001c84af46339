"""Generative models with tensor-network priors: a model is a module that declares its objectives.

Nets know nothing of losses, losses are functions of tensors and distributions, and a model holds
both together with any prior of `tnprior_core`.
"""

from __future__ import annotations

from tnprior_models.alignments import JMVAE, TELBO, Alignment, Encodings
from tnprior_models.checkpoint import (
    CheckpointError,
    load_training_state,
    load_weights,
    read_metadata,
    save_training_state,
    save_weights,
)
from tnprior_models.cvae import CVAE
from tnprior_models.decoded_distribution import DecodedDistribution
from tnprior_models.decoded_prior import DecodedPrior
from tnprior_models.errors import CapabilityError, ImageShapeError, ModelError
from tnprior_models.estimators import Estimated, Estimator, Pathwise, Reinforce, ReparametrizedMeans
from tnprior_models.games import ClippedWasserstein, Game, MinMax, NonSaturating, PenalizedWasserstein
from tnprior_models.gan import GAN
from tnprior_models.likelihoods import Bernoulli, Gaussian, ImageLikelihood
from tnprior_models.losses import (
    channel_norms,
    conditional_bound,
    encoder_divergence,
    frozen_bound,
    gradient_penalty,
    importance_bound,
    joint_bound,
    label_information,
    multimodal_bound,
    sample_norms,
    score_function,
    split_bound,
)
from tnprior_models.multimodal import MultimodalVAE
from tnprior_models.nets import (
    ConvCritic,
    ConvDecoder,
    ConvEncoder,
    ConvFeatures,
    ConvGenerator,
    DenseCode,
    DenseCritic,
    DenseGenerator,
    DenseHead,
    LabelCode,
    LabelExperts,
    LabelledCode,
)
from tnprior_models.objective import Batch, Objective
from tnprior_models.protocols import (
    BoundsLikelihood,
    Decodes,
    DecodesValues,
    Draws,
    Encodes,
    HasPrior,
    Imputes,
    Reconstructs,
    Sampled,
    Samples,
    Trains,
    abilities,
    require,
)
from tnprior_models.refit import Fitted, Polish, RefitSchedule, encode_dataset, prior_bound, refit_prior
from tnprior_models.training import (
    Callback,
    NonFiniteLossError,
    TrainConfig,
    Trainer,
    TrainingInterrupted,
    TrainResult,
    launch,
    process_group,
)
from tnprior_models.vae import VAE

__all__ = [
    "CVAE",
    "GAN",
    "JMVAE",
    "TELBO",
    "VAE",
    "Alignment",
    "Batch",
    "Bernoulli",
    "BoundsLikelihood",
    "Callback",
    "CapabilityError",
    "CheckpointError",
    "ClippedWasserstein",
    "ConvCritic",
    "ConvDecoder",
    "ConvEncoder",
    "ConvFeatures",
    "ConvGenerator",
    "DecodedDistribution",
    "DecodedPrior",
    "Decodes",
    "DecodesValues",
    "DenseCode",
    "DenseCritic",
    "DenseGenerator",
    "DenseHead",
    "Draws",
    "Encodes",
    "Encodings",
    "Estimated",
    "Estimator",
    "Fitted",
    "Game",
    "Gaussian",
    "HasPrior",
    "ImageLikelihood",
    "ImageShapeError",
    "Imputes",
    "LabelCode",
    "LabelExperts",
    "LabelledCode",
    "MinMax",
    "ModelError",
    "MultimodalVAE",
    "NonFiniteLossError",
    "NonSaturating",
    "Objective",
    "Pathwise",
    "PenalizedWasserstein",
    "Polish",
    "Reconstructs",
    "RefitSchedule",
    "Reinforce",
    "ReparametrizedMeans",
    "Sampled",
    "Samples",
    "TrainConfig",
    "TrainResult",
    "Trainer",
    "TrainingInterrupted",
    "Trains",
    "abilities",
    "channel_norms",
    "conditional_bound",
    "encode_dataset",
    "encoder_divergence",
    "frozen_bound",
    "gradient_penalty",
    "importance_bound",
    "joint_bound",
    "label_information",
    "launch",
    "load_training_state",
    "load_weights",
    "multimodal_bound",
    "prior_bound",
    "process_group",
    "read_metadata",
    "refit_prior",
    "require",
    "sample_norms",
    "save_training_state",
    "save_weights",
    "score_function",
    "split_bound",
]
