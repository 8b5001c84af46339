"""Generative models with tensor-network priors: a model is a module that declares its objectives.

Nets know nothing of losses, losses are functions of tensors and distributions, and a model holds
both together with any prior of `tnprior_core`.
"""

from __future__ import annotations

from tnprior_models.errors import CapabilityError, ImageShapeError, ModelError
from tnprior_models.objective import Batch, Objective
from tnprior_models.protocols import (
    BoundsLikelihood,
    Decodes,
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

__all__ = [
    "Batch",
    "BoundsLikelihood",
    "CapabilityError",
    "Decodes",
    "Encodes",
    "HasPrior",
    "ImageShapeError",
    "Imputes",
    "ModelError",
    "Objective",
    "Reconstructs",
    "Sampled",
    "Samples",
    "Trains",
    "abilities",
    "require",
]
