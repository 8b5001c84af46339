"""A model's weights in one safetensors file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from tnprior_models.checkpoint.atomic import replace_file
from tnprior_models.checkpoint.errors import CheckpointError
from tnprior_models.checkpoint.tensor_file import decode, encode, read_bytes, read_header
from tnprior_models.errors import ModelError

_KIND = "weights"
_COMPILED = "_orig_mod."
_SHOWN = 4


def save_weights(path: str | Path, model: nn.Module, metadata: Mapping[str, Any] | None = None) -> Path:
    """Write the parameters and buffers of `model`, and `metadata` (plain JSON), to `path` at once.

    Names are those of the bare model, whether it is compiled, averaged or distributed.

    Raises:
        ModelError: the file cannot be written (the old one is then intact), the metadata is not JSON, or the
            model keeps state that is no tensor.

    >>> import tempfile, torch
    >>> path = save_weights(f"{tempfile.mkdtemp()}/model.safetensors", torch.nn.Linear(2, 1), {"rank": 8})
    >>> load_weights(path, torch.nn.Linear(2, 1)) == read_metadata(path) == {"rank": 8}
    True
    """
    path = Path(path)
    replace_file(path, encode(weights_of(model), _KIND, dict(metadata or {})))
    return path


def load_weights(path: str | Path, model: nn.Module) -> dict[str, Any]:
    """Copy the weights in `path` into `model`, in place, and return the metadata stored with them.

    Raises:
        CheckpointError: absent or damaged file, or weights of another model (names or shapes differ); the
            model is unchanged then.
    """
    path = Path(path)
    tensors, metadata = decode(read_bytes(path), _KIND, path)
    copy_weights(tensors, model, str(path))
    return metadata


def read_metadata(path: str | Path) -> dict[str, Any]:
    """The metadata of a file of weights, without reading the weights.

    Raises:
        CheckpointError: absent or damaged file.
    """
    return read_header(Path(path), _KIND)


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers under the names of the bare model.

    Raises:
        ModelError: an entry of the state dict is no tensor.
    """
    state = bare(model).state_dict()
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise ModelError(f"the model's state {name!r} is a {type(value).__name__}, expected a tensor")
    return {name.replace(_COMPILED, ""): value for name, value in state.items()}


def copy_weights(tensors: Mapping[str, Tensor], model: nn.Module, source: str) -> None:
    """Copy `tensors` into `model` if names and shapes agree; `source` names them in the error.

    Raises:
        CheckpointError: they do not agree; the model is unchanged.
    """
    own = bare(model).state_dict()
    expected = {name.replace(_COMPILED, ""): name for name in own}
    problems = [
        *(f"missing {name}" for name in expected if name not in tensors),
        *(f"unexpected {name}" for name in tensors if name not in expected),
        *(
            f"{name} has shape {tuple(tensors[name].shape)}, expected {tuple(own[key].shape)}"
            for name, key in expected.items()
            if name in tensors and tensors[name].shape != own[key].shape
        ),
    ]
    if problems:
        more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise CheckpointError(
            f"{source} holds the weights of another model: {'; '.join(problems[:_SHOWN])}{more}. "
            "Build the model with the settings it was trained with"
        )
    bare(model).load_state_dict({key: tensors[name] for name, key in expected.items()})


def bare(model: nn.Module) -> nn.Module:
    """The model inside an averaged or distributed one."""
    while isinstance(model, AveragedModel | DistributedDataParallel):
        model = model.module
    return model
