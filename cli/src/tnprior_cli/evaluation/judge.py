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


def judge(subject: Subject) -> Classifier:
    """A classifier of all attributes, trained on every known label of the training split.

    It never sees the model, and the model never sees the labels that were hidden from it.
    """
    data = subject.train
    flip = mirrors(data) if subject.effort.flip is None else subject.effort.flip
    settings = TrainingSettings(steps=subject.effort.classifier_steps, flip=flip)
    classifier, record = cached_classifier(
        classifier_folder(),
        data.x,
        data.truth.codes,
        data.truth.observed,
        subject.label_counts,
        names=subject.names,
        settings=settings,
        device=str(pick_device(subject.device)),
        progress=lambda p: subject.say(
            f"classifier: step {p.step} of {p.steps}, accuracy {p.held_out_accuracy:.3f}"
        ),
    )
    subject.say(f"classifier: accuracy {record.accuracy:.3f} on {record.held_out} held-out training images")
    return classifier


def mirrors(data: Dataset) -> bool:
    """Whether a mirrored image keeps all its labels, as a photograph of a face does and a digit does not.

    So it is for CelebA, and for every data set whose attributes are all CelebA's.
    """
    known = {attribute.name for attribute in card("celeba").schema}
    return {attribute.name for attribute in data.schema} <= known


def accuracy_on_real(subject: Subject, classifier: Classifier, judged: Judgement) -> AccuracyResult:
    """How often the judge itself is right, on real test images."""
    truth = subject.test.truth
    metric = Accuracy(
        subject.names, label="classifier-accuracy", protocol=Protocol(extractor=classifier.extractor)
    )
    metric.update(judged.answers, truth.codes, truth.observed)
    return metric.compute()
