"""Losses: pure functions, tensors and distributions in, named terms out (nats per example)."""

from tnprior_models.losses.conditional_bound import conditional_bound
from tnprior_models.losses.importance import importance_bound
from tnprior_models.losses.joint_bound import joint_bound
from tnprior_models.losses.label_information import label_information
from tnprior_models.losses.split_bound import split_bound

__all__ = ["conditional_bound", "importance_bound", "joint_bound", "label_information", "split_bound"]
