"""Losses: pure functions, tensors and distributions in, named terms out (nats per example)."""

from tnprior_models.losses.adversarial import (
    classifying_loss,
    minmax_cost,
    nonsaturating_cost,
    wasserstein_cost,
    wasserstein_loss,
)
from tnprior_models.losses.conditional_bound import conditional_bound
from tnprior_models.losses.gradient_penalty import (
    channel_norms,
    gradient_penalty,
    sample_norms,
    zero_centred_penalty,
)
from tnprior_models.losses.importance import importance_bound
from tnprior_models.losses.joint_bound import joint_bound
from tnprior_models.losses.label_information import label_information
from tnprior_models.losses.multimodal_bound import encoder_divergence, frozen_bound, multimodal_bound
from tnprior_models.losses.score_function import leave_one_out, score_function
from tnprior_models.losses.split_bound import split_bound

__all__ = [
    "channel_norms",
    "classifying_loss",
    "conditional_bound",
    "encoder_divergence",
    "frozen_bound",
    "gradient_penalty",
    "importance_bound",
    "joint_bound",
    "label_information",
    "leave_one_out",
    "minmax_cost",
    "multimodal_bound",
    "nonsaturating_cost",
    "sample_norms",
    "score_function",
    "split_bound",
    "wasserstein_cost",
    "wasserstein_loss",
    "zero_centred_penalty",
]
