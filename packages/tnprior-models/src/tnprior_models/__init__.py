"""Generative models with tensor-network priors: a model is a module that declares its objectives.

Nets know nothing of losses, losses are functions of tensors and distributions, and a model holds
both together with any prior of `tnprior_core`.
"""

from __future__ import annotations

from tnprior_models.checkpoint import (
    CheckpointError,
    load_training_state,
    load_weights,
    read_metadata,
    save_training_state,
    save_weights,
)
from tnprior_models.cvae import CVAE
from tnprior_models.errors import CapabilityError, ImageShapeError, ModelError
from tnprior_models.likelihoods import Bernoulli, Gaussian, ImageLikelihood
from tnprior_models.losses import (
    conditional_bound,
    importance_bound,
    joint_bound,
    label_information,
    split_bound,
)
from tnprior_models.nets import ConvDecoder, ConvEncoder, ConvFeatures, DenseHead, LabelledCode
from tnprior_models.objective import Batch, Objective
from tnprior_models.protocols import (
    BoundsLikelihood,
    Decodes,
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
    "VAE",
    "Batch",
    "Bernoulli",
    "BoundsLikelihood",
    "Callback",
    "CapabilityError",
    "CheckpointError",
    "ConvDecoder",
    "ConvEncoder",
    "ConvFeatures",
    "Decodes",
    "DenseHead",
    "Draws",
    "Encodes",
    "Fitted",
    "Gaussian",
    "HasPrior",
    "ImageLikelihood",
    "ImageShapeError",
    "Imputes",
    "LabelledCode",
    "ModelError",
    "NonFiniteLossError",
    "Objective",
    "Polish",
    "Reconstructs",
    "RefitSchedule",
    "Sampled",
    "Samples",
    "TrainConfig",
    "TrainResult",
    "Trainer",
    "TrainingInterrupted",
    "Trains",
    "abilities",
    "conditional_bound",
    "encode_dataset",
    "importance_bound",
    "joint_bound",
    "label_information",
    "launch",
    "load_training_state",
    "load_weights",
    "prior_bound",
    "process_group",
    "read_metadata",
    "refit_prior",
    "require",
    "save_training_state",
    "save_weights",
    "split_bound",
]
