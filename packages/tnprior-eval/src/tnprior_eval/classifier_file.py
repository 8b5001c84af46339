"""A classifier on disk: safetensors with what it is and what it was trained on, never a pickle."""

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tnprior_eval.classifier import Classifier, ClassifierConfig
from tnprior_eval.classifier_training import (
    TrainingProgress,
    TrainingRecord,
    TrainingSettings,
    train_classifier,
    training_key,
)
from tnprior_eval.errors import ClassifierFileError, EvalError

METADATA = "tnprior_eval"
FORMAT = 1


def save_classifier(classifier: Classifier, record: TrainingRecord, path: Path) -> None:
    """Writes weights, shape and record to a temporary name beside `path` and renames it."""
    description = {"format": FORMAT, "config": asdict(classifier.config), "record": asdict(record)}
    metadata = {"format": "pt", METADATA: json.dumps(description)}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in classifier.state_dict().items()}
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        save_file(tensors, name, metadata=metadata)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def load_classifier(path: Path, *, device: str = "cpu") -> tuple[Classifier, TrainingRecord]:
    """Reads what `save_classifier` wrote.

    Raises:
        ClassifierFileError: when the file is missing, damaged, of another kind or of another version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(METADATA)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ClassifierFileError(f"cannot read a classifier from {path}: {error}") from error
    if text is None:
        raise ClassifierFileError(f"{path} holds tensors but no classifier of tnprior-eval")
    try:
        return _rebuild(json.loads(text), tensors, device)
    except (KeyError, TypeError, ValueError, RuntimeError, EvalError) as error:
        raise ClassifierFileError(
            f"{path} is not a classifier that this version can read ({error}); delete it and train again"
        ) from error


def _rebuild(
    description: dict[str, object], tensors: dict[str, Tensor], device: str
) -> tuple[Classifier, TrainingRecord]:
    if description["format"] != FORMAT:
        raise ValueError(f"expected format {FORMAT}, received {description['format']}")
    config, record = description["config"], description["record"]
    if not isinstance(config, dict) or not isinstance(record, dict):
        raise TypeError("expected objects under config and record")
    lists = {"names": tuple(config["names"]), "label_counts": tuple(config["label_counts"])}
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        classifier = Classifier(ClassifierConfig(**(config | lists)))
    classifier.load_state_dict(tensors)
    settings = TrainingSettings(**record["settings"])
    return classifier.eval().to(device), TrainingRecord(**(record | {"settings": settings}))


def cached_classifier(
    folder: Path,
    x: Tensor,
    codes: Tensor,
    observed: Tensor,
    label_counts: Sequence[int],
    *,
    names: Sequence[str] | None = None,
    settings: TrainingSettings | None = None,
    device: str = "cpu",
    progress: Callable[[TrainingProgress], None] | None = None,
) -> tuple[Classifier, TrainingRecord]:
    """The classifier that `train_classifier` would give: from the folder where it is, else trained and kept there.

    The file is named after `training_key`; a damaged one is replaced. Arguments as in `train_classifier`.

    >>> import torch
    >>> x = torch.randint(256, (40, 1, 8, 8), dtype=torch.uint8)
    >>> data = x, torch.arange(40)[:, None] % 2, torch.ones(40, 1, dtype=torch.bool), [2]
    >>> folder = Path(tempfile.mkdtemp())
    >>> first, record = cached_classifier(folder, *data, settings=TrainingSettings(steps=2))
    >>> again, _ = cached_classifier(folder, *data, settings=TrainingSettings(steps=2))
    >>> save_classifier(again, record, folder / "mine.safetensors")
    >>> bool((load_classifier(folder / "mine.safetensors")[0].answers(x) == first.answers(x)).all())
    True
    """
    settings = settings or TrainingSettings()
    key = training_key(x, codes, observed, label_counts, settings)
    path = folder / f"classifier-{key[:16]}.safetensors"
    try:
        classifier, record = load_classifier(path, device=device)
        if record.key == key and (names is None or classifier.config.names == tuple(names)):
            return classifier, record
    except ClassifierFileError:
        pass
    classifier, record = train_classifier(
        x, codes, observed, label_counts, names=names, settings=settings, device=device, progress=progress
    )
    folder.mkdir(parents=True, exist_ok=True)
    save_classifier(classifier, record, path)
    return classifier, record
