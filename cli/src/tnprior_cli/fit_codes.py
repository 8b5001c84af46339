"""What a prior is fitted to: codes of real objects where a model has an encoder, else of objects that it generates."""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from tnprior_cli.attributes import Objects, objects_of
from tnprior_cli.config import RunConfig
from tnprior_cli.evaluation.judge import JUDGE, classifier_settings, trained_classifier
from tnprior_cli.training import split_validation
from tnprior_data import Dataset
from tnprior_eval import quantize
from tnprior_models import Codes, LabelReader, encode_dataset, read_generated

GENERATED = 100_000
"""Objects that a model without an encoder generates to be fitted to."""

Say = Callable[[str], None]


class FitCodes(NamedTuple):
    """Codes to fit to, and codes by which the best moment of the fit is chosen, if there are any."""

    training: Codes
    held: Codes | None


def encoded(model: Any, data: Dataset, config: RunConfig, limit: int | None) -> FitCodes:
    """Of the training split's objects, those of `train.validation` held out."""
    training, validation = split_validation(data, config)
    held = None
    if validation is not None:
        held = encode_dataset(model, validation.x, validation.codes, validation.observed, limit=None)
    x, codes, observed = training.x, training.codes, training.observed
    return FitCodes(encode_dataset(model, x, codes, observed, limit=limit, seed=config.seed), held)


def generated(
    model: Any, data: Dataset, config: RunConfig, limit: int | None, device: str, say: Say
) -> FitCodes:
    """Of objects that a trained model generates, their labels read off them; a tenth as many more are held out."""
    count = count_generated(limit)
    total = count + max(1, count // 10)
    codes = read_generated(model, label_reader(data, config.seed, device, say), total, seed=config.seed)
    absent = never_seen(codes, objects_of(data))
    if absent:
        say(
            f"the model never generates {', '.join(absent)}; requests for it will be answered with something else"
        )
    return FitCodes(codes.rows(slice(count)), codes.rows(slice(count, None)))


def never_seen(codes: Codes, objects: Objects) -> list[str]:
    """The labels that no object has, as `attribute=label`."""
    return [
        f"{attribute.name}={label}"
        for column, attribute in zip(codes.codes.mT, objects.attributes, strict=True)
        for code, label in enumerate(attribute.labels)
        if not bool((column == code).any())
    ]


def count_generated(limit: int | None) -> int:
    """How many generated objects are fitted to."""
    return GENERATED if limit is None else limit


def label_reader(data: Dataset, seed: int, device: str, say: Say) -> LabelReader:
    """A classifier that learns from the labels that are observed, and is not the judge of `tnp eval`."""
    say("labels are read off generated objects")
    settings = classifier_settings(data, seed=JUDGE + 1 + seed)
    classifier = trained_classifier(data, data.table, settings, device, say)

    def read(x: Tensor) -> Tensor:
        return classifier.answers(quantize(x))

    return read
