"""The classifier that judges generated objects, trained on the real ones and kept for the next time."""

from tnprior_cli.build import pick_device
from tnprior_cli.evaluation.subject import Effort, Subject, classifier_folder
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
        settings=judge_settings(subject.effort, data),
        device=str(pick_device(subject.device)),
        progress=lambda p: subject.say(
            f"classifier: step {p.step} of {p.steps}, accuracy {p.held_out_accuracy:.3f}"
        ),
    )
    subject.say(f"classifier: accuracy {record.accuracy:.3f} on {record.held_out} held-out training images")
    return classifier


def judge_settings(effort: Effort, data: Dataset) -> TrainingSettings:
    """How the judge is trained: large images in smaller batches and fewer steps, within about four CPU minutes."""
    flip = mirrors(data) if effort.flip is None else effort.flip
    large = max(data.shape[1:]) >= LARGE
    steps = effort.classifier_steps or (400 if large else 600)
    return TrainingSettings(steps=steps, batch=128 if large else 256, flip=flip)


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
