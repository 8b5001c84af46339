"""Networks of a trained run that go on under another prior, and the names that they have there."""

from collections.abc import Mapping

from torch import Tensor, nn

from tnprior_models import CheckpointError

PRIOR = "prior."

_SAME = {"": ""}
# A code of the image alone: the trunk and the head behind it are the convolutions and dense layers of an encoder.
_IMAGES = {
    "trunk.": "encoder.",
    "image_encoder.head.": "encoder.",
    "decoder.": "decoder.",
    "likelihood.": "likelihood.",
}
_KEPT: Mapping[str, Mapping[str, str]] = {
    "vae": _SAME,
    "cvae": _SAME,
    "jmvae": _IMAGES,
    "telbo": _IMAGES,
    "gan": {"generator.": "generator."},
}
"""Of each family, the beginnings of names that stay, and what they become in the model that is fitted."""


def carry_networks(family: str, trained: nn.Module, model: nn.Module) -> None:
    """Copies the networks of a trained model of a family into a model with another prior, whose prior is left alone.

    Raises:
        CheckpointError: a network of `model` has no counterpart of its shape, or one that is kept has no place.
    """
    own = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(PRIOR)}
    kept = _renamed(_KEPT[family], trained.state_dict())
    wrong = sorted(
        name
        for name in {*own, *kept}
        if name not in own or name not in kept or own[name].shape != kept[name].shape
    )
    if wrong:
        raise CheckpointError(
            f"expected the networks of the {family} in its place, each of its shape; received others for "
            f"{', '.join(wrong[:4])}; fit the prior with the version of tnprior that trained the run"
        )
    model.load_state_dict({**model.state_dict(), **kept})


def _renamed(places: Mapping[str, str], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        after + name.removeprefix(before): tensor
        for before, after in places.items()
        for name, tensor in tensors.items()
        if name.startswith(before) and not name.startswith(PRIOR)
    }
