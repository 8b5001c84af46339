"""The exceptions of tnprior_models: one base type, named by what went wrong."""

from __future__ import annotations

from tnprior_core import TnpriorError

__all__ = ["CapabilityError", "ImageShapeError", "ModelError"]


class ModelError(TnpriorError):
    """Base of every error a user of tnprior_models can cause.

    >>> from tnprior_core import TnpriorError
    >>> issubclass(ModelError, TnpriorError)
    True
    """


class ImageShapeError(ModelError):
    """An image does not have the size or the number of channels that the network was built for.

    >>> from tnprior_models.nets import ConvEncoder
    >>> import torch
    >>> try:
    ...     ConvEncoder((1, 28, 28), latent_size=4)(torch.zeros(2, 1, 32, 32))
    ... except ImageShapeError as error:
    ...     print(error)
    expected images of shape (B, 1, 28, 28), received (2, 1, 32, 32); resize them or build another network
    """


class CapabilityError(ModelError):
    """A model was asked for something that its family cannot do; the message says what it can.

    >>> issubclass(CapabilityError, ModelError)
    True
    """
