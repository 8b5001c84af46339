"""The classifier that judges generated objects, trained on the real ones and kept for the next time."""

from tnprior_cli.build import pick_device
from tnprior_cli.evaluation.subject import Subject, classifier_folder
from tnprior_eval import AccuracyResult, Classifier, TrainingSettings, cached_classifier, evaluate_classifier


def judge(subject: Subject) -> Classifier:
    """A classifier of all attributes, trained on every known label of the training split.

    It never sees the model, and the model never sees the labels that were hidden from it.
    """
    data = subject.train
    settings = TrainingSettings(steps=subject.effort.classifier_steps)
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


def accuracy_on_real(subject: Subject, classifier: Classifier) -> AccuracyResult:
    """How often the judge itself is right, on real test images."""
    test = subject.test
    return evaluate_classifier(classifier, test.x, test.truth.codes, test.truth.observed)
