"""The classifier that judges generated objects, trained on the real ones and kept for the next time."""

from collections.abc import Callable

from tnprior_cli.attributes import objects_of
from tnprior_cli.build import pick_device
from tnprior_cli.evaluation.subject import Subject, classifier_folder
from tnprior_data import AttributeTable, Dataset, card
from tnprior_eval import (
    Accuracy,
    AccuracyResult,
    Classifier,
    Judgement,
    Protocol,
    TrainingSettings,
    cached_classifier,
)

LARGE = 48  # pixels a side
JUDGE = 0  # its seed


def judge(subject: Subject) -> Classifier:
    """A classifier of all attributes, trained on every known label of the training split.

    It never sees the model, and the model never sees the labels that were hidden from it.
    """
    data, effort = subject.judged_train, subject.effort
    settings = classifier_settings(data, steps=effort.classifier_steps, flip=effort.flip)
    return trained_classifier(data, data.truth, settings, subject.device, subject.say)


def trained_classifier(
    data: Dataset, table: AttributeTable, settings: TrainingSettings, device: str, say: Callable[[str], None]
) -> Classifier:
    """A classifier of the images of `data`, trained on the known labels of a table of them and kept."""
    objects = objects_of(data)
    classifier, record = cached_classifier(
        classifier_folder(),
        data.x,
        table.codes,
        table.observed,
        objects.label_counts,
        names=objects.names,
        settings=settings,
        device=str(pick_device(device)),
        progress=lambda p: say(f"classifier: step {p.step} of {p.steps}, accuracy {p.held_out_accuracy:.3f}"),
    )
    say(f"classifier: accuracy {record.accuracy:.3f} on {record.held_out} held-out training images")
    return classifier


def classifier_settings(
    data: Dataset, *, steps: int | None = None, flip: bool | None = None, seed: int = JUDGE
) -> TrainingSettings:
    """How a classifier is trained: large images in smaller batches and fewer steps, within about four CPU minutes.

    Args:
        data: what it is trained on.
        steps: most training steps; None for what the size of the images asks for.
        flip: whether on mirrored images too; None: where the data are faces.
        seed: of the classifier; `JUDGE` is the judge's own.
    """
    large = max(data.shape[1:]) >= LARGE
    return TrainingSettings(
        steps=steps or (400 if large else 600),
        batch=128 if large else 256,
        flip=mirrors(data) if flip is None else flip,
        seed=seed,
    )


def mirrors(data: Dataset) -> bool:
    """Whether a mirrored image keeps all its labels, as a photograph of a face does and a digit does not.

    So it is for CelebA, and for every data set whose attributes are all CelebA's.
    """
    known = {attribute.name for attribute in card("celeba").schema}
    return {attribute.name for attribute in data.schema} <= known


def accuracy_on_real(subject: Subject, classifier: Classifier, judged: Judgement) -> AccuracyResult:
    """How often the judge itself is right, on real test images."""
    truth = subject.judged_test.truth
    metric = Accuracy(
        subject.judged.names, label="classifier-accuracy", protocol=Protocol(extractor=classifier.extractor)
    )
    metric.update(judged.answers, truth.codes, truth.observed)
    return metric.compute()
