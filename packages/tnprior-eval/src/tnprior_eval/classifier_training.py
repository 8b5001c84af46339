"""Training of the judge: seeded, on the observed labels, stopped by a part held out."""

import copy
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from tnprior_eval.accuracy import Accuracy, AccuracyResult
from tnprior_eval.checks import check_code_range, check_codes, check_images, check_mask, check_same_length
from tnprior_eval.classifier import Classifier, ClassifierConfig, classifier_config
from tnprior_eval.classifier_batches import LabelledImages, shuffled_batches, split_held_out
from tnprior_eval.errors import EvalError
from tnprior_eval.estimate import Interval
from tnprior_eval.protocol import Protocol

ARCHITECTURE = 1  # raised when the same settings would give another network


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides what comes out, besides the data.

    Args:
        steps: most optimiser steps; the learning rate rises and falls once over them.
        batch: images per step (never more than a quarter of the data).
        learning_rate: highest learning rate (AdamW).
        weight_decay: decoupled weight decay.
        flip: whether a mirrored image keeps its labels (wrong for digits, right for faces): images are then
            mirrored at random, and the classifier judges each together with its mirror image.
        held_out: share of the data kept for early stopping and for the recorded accuracy.
        checks: how often over the run the held-out part is looked at.
        patience: checks without a lower held-out loss after which training stops.
        seed: of initial weights, held-out part, order, shifts and flips.
    """

    steps: int = 500
    batch: int = 256
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    flip: bool = False
    held_out: float = 0.1
    checks: int = 12
    patience: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.steps, self.batch, self.checks, self.patience) < 1 or not 0 < self.held_out < 1:
            raise EvalError(
                "expected at least one step, image, check and check of patience, and a held-out share between "
                f"0 and 1, received {self}"
            )


class TrainingProgress(NamedTuple):
    """What the progress callable is told at each check: losses in nats per observed label."""

    step: int
    steps: int
    loss: float
    held_out_loss: float
    held_out_accuracy: float


@dataclass(frozen=True)
class TrainingRecord:
    """Where a classifier comes from.

    Args:
        key: `training_key` of data and settings.
        settings: the settings.
        steps_run: steps until it stopped.
        trained_on, held_out: number of images.
        accuracy, low, high: accuracy on the observed labels of the held-out images with its 95 % interval.
        attributes: the same accuracy by attribute.
    """

    key: str
    settings: TrainingSettings
    steps_run: int
    trained_on: int
    held_out: int
    accuracy: float
    low: float
    high: float
    attributes: dict[str, float]


def training_key(
    x: Tensor, codes: Tensor, observed: Tensor, label_counts: Sequence[int], settings: TrainingSettings
) -> str:
    """SHA-256 of images, observed labels and settings: the same key, the same classifier (up to rounding).

    >>> x, codes = torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([[0], [1]])
    >>> few, many = (
    ...     training_key(x, codes, codes >= 0, [2], TrainingSettings(steps=steps)) for steps in (10, 20)
    ... )
    >>> len(few), few == many
    (64, False)
    """
    head = {
        "architecture": ARCHITECTURE,
        "shape": list(x.shape),
        "labels": list(label_counts),
        **asdict(settings),
    }
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    for table in (x, torch.where(observed, codes, 0).to(torch.int64), observed):
        digest.update(table.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def train_classifier(
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
    """Trains a classifier on the observed labels; masked cross-entropy, random shifts, early stopping.

    The same arguments give the same weights on the same machine with the same number of threads; the global
    random state is left alone.

    Args:
        x: uint8 (n, C, H, W), C 1 or 3, H and W at least 8.
        codes: integer codes (n, A); ignored where not observed.
        observed: bool (n, A).
        label_counts, names: number of labels and name of each attribute.
        settings: see `TrainingSettings`.
        device: where to train; the classifier stays there.
        progress: called at each check.

    Returns:
        the classifier with the lowest held-out loss, and its record.

    Raises:
        EvalError: for other tensors (`ShapeError`), too few images or labels, a run that diverged.

    >>> x = torch.randint(256, (40, 1, 8, 8), dtype=torch.uint8)
    >>> codes, observed = torch.arange(40)[:, None] % 2, torch.ones(40, 1, dtype=torch.bool)
    >>> classifier, _ = train_classifier(x, codes, observed, [2], settings=TrainingSettings(steps=2))
    >>> evaluate_classifier(classifier, x, codes, observed).samples
    40
    """
    settings = settings or TrainingSettings()
    _check(x, codes, observed, label_counts)
    generator = torch.Generator().manual_seed(settings.seed)
    data = LabelledImages(x.cpu(), codes.cpu().long(), observed.cpu())
    train, held_out = _parts(data, settings, generator)
    config = classifier_config(x, label_counts, names, mirror=settings.flip)
    classifier = _fresh(train.x, config, settings.seed).to(device)
    with torch.backends.cudnn.flags(enabled=True, deterministic=True):
        steps_run = _fit(classifier, train, held_out, settings, generator, progress)
    key = training_key(x, codes, observed, label_counts, settings)
    result = evaluate_classifier(classifier, *held_out)
    return classifier, _record(key, settings, steps_run, len(train.x), len(held_out.x), result)


def evaluate_classifier(
    classifier: Classifier, x: Tensor, codes: Tensor, observed: Tensor, *, label: str = "classifier-accuracy"
) -> AccuracyResult:
    """The judge's own accuracy on real images with known labels; arguments as in `train_classifier`."""
    metric = Accuracy(classifier.config.names, label=label, protocol=Protocol(extractor=classifier.extractor))
    metric.update(classifier.answers(x), codes.cpu(), observed.cpu())
    return metric.compute()


def _parts(
    data: LabelledImages, settings: TrainingSettings, generator: torch.Generator
) -> tuple[LabelledImages, LabelledImages]:
    train, held_out = split_held_out(data, settings.held_out, generator)
    if not (bool(train.observed.any()) and bool(held_out.observed.any())):
        raise EvalError(
            f"expected labels in a held-out share of {settings.held_out} and in the rest, received none"
        )
    return train, held_out


def _fresh(x: Tensor, config: ClassifierConfig, seed: int) -> Classifier:
    """A classifier with seeded weights that scales its input by mean and deviation of these images."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)  # `torch.manual_seed` seeds those of all devices
        classifier = Classifier(config)
    pixels = x[:10_000].float()
    classifier.mean.copy_(pixels.mean(dim=(0, 2, 3), keepdim=True)[0])
    classifier.deviation.copy_(pixels.std(dim=(0, 2, 3), keepdim=True)[0].clamp(min=1.0))
    return classifier


def _record(
    key: str,
    settings: TrainingSettings,
    steps_run: int,
    trained_on: int,
    held_out: int,
    result: AccuracyResult,
) -> TrainingRecord:
    interval = result.overall.interval or Interval(0.0, 1.0, 0.95, "none")
    return TrainingRecord(
        key=key,
        settings=settings,
        steps_run=steps_run,
        trained_on=trained_on,
        held_out=held_out,
        accuracy=result.overall.value,
        low=interval.low,
        high=interval.high,
        attributes={name: item.value for name, item in result.attributes.items()},
    )


def _check(x: Tensor, codes: Tensor, observed: Tensor, label_counts: Sequence[int]) -> None:
    check_images("images", x)
    check_codes("codes", codes, len(label_counts))
    check_mask("observed", observed, len(label_counts))
    n = check_same_length(x=x, codes=codes, observed=observed)
    check_code_range("codes", codes, observed, label_counts)
    if n < 20 or not bool(observed.any()):
        raise EvalError(
            f"expected at least 20 images and one observed label to train a classifier, received {n} images "
            f"with {int(observed.sum())} labels"
        )


def _fit(
    classifier: Classifier,
    train: LabelledImages,
    held_out: LabelledImages,
    settings: TrainingSettings,
    generator: torch.Generator,
    progress: Callable[[TrainingProgress], None] | None,
) -> int:
    """Trains in place, leaves the weights of the best check, returns the number of steps."""
    optimizer = torch.optim.AdamW(
        classifier.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    rate = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.steps + 1
    )
    batches = shuffled_batches(train, settings.batch, flip=settings.flip, generator=generator)
    every = max(1, settings.steps // settings.checks)
    best, best_state, best_step, step = math.inf, classifier.state_dict(), 0, 0
    losses: list[float] = []
    for step, batch in zip(range(1, settings.steps + 1), batches, strict=False):
        losses.append(_step(classifier, batch, optimizer))
        rate.step()
        if step % every and step < settings.steps:
            continue
        loss, accuracy = _held_out_scores(classifier, held_out)
        if progress is not None:
            progress(TrainingProgress(step, settings.steps, math.fsum(losses) / len(losses), loss, accuracy))
        losses.clear()
        if loss < best:
            best, best_state, best_step = loss, copy.deepcopy(classifier.state_dict()), step
        if step - best_step >= settings.patience * every:
            break
    if not best_step:
        raise EvalError(f"the classifier diverged; lower the learning rate of {settings.learning_rate}")
    classifier.load_state_dict(best_state)
    classifier.eval()
    return step


def _step(classifier: Classifier, batch: LabelledImages, optimizer: torch.optim.Optimizer) -> float:
    classifier.train()
    device = classifier.mean.device
    loss = masked_cross_entropy(
        classifier(batch.x.to(device)), batch.codes.to(device), batch.observed.to(device)
    )
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def masked_cross_entropy(
    logits: Sequence[Float[Tensor, "n _"]], codes: Int[Tensor, "n A"], observed: Bool[Tensor, "n A"]
) -> Float[Tensor, ""]:
    """Mean cross-entropy over the observed (sample, attribute) pairs, nats; 0 when there are none.

    Args:
        logits: for each attribute (n, C_a).
        codes: integer codes (n, A); ignored where not observed.
        observed: bool (n, A).
    """
    safe = torch.where(observed, codes, 0)
    columns = [F.cross_entropy(table, safe[:, a], reduction="none") for a, table in enumerate(logits)]
    return (torch.stack(columns, dim=1) * observed).sum() / observed.sum().clamp(min=1)


def _held_out_scores(classifier: Classifier, held_out: LabelledImages) -> tuple[float, float]:
    tables = classifier.probabilities(held_out.x)
    logs = [table.clamp(min=1e-30).log() for table in tables]
    loss = float(masked_cross_entropy(logs, held_out.codes, held_out.observed))
    answers = torch.stack([table.argmax(dim=1) for table in tables], dim=1)
    right = ((answers == held_out.codes) & held_out.observed).sum() / held_out.observed.sum().clamp(min=1)
    return loss, float(right)
