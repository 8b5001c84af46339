"""The classifier that judges generated objects, trained on the real ones and kept for the next time."""

from tnprior_cli.build import pick_device
from tnprior_cli.evaluation.subject import Subject, classifier_folder
from tnprior_data import Dataset, card
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
    data = subject.judged_train
    classifier, record = cached_classifier(
        classifier_folder(),
        data.x,
        data.truth.codes,
        data.truth.observed,
        subject.judged.label_counts,
        names=subject.judged.names,
        settings=classifier_settings(data, steps=subject.effort.classifier_steps, flip=subject.effort.flip),
        device=str(pick_device(subject.device)),
        progress=lambda p: subject.say(
            f"classifier: step {p.step} of {p.steps}, accuracy {p.held_out_accuracy:.3f}"
        ),
    )
    subject.say(f"classifier: accuracy {record.accuracy:.3f} on {record.held_out} held-out training images")
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
