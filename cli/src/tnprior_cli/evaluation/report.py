"""All numbers of a run, as one report."""

from typing import Any

from tnprior_cli.evaluation.bounds import image_bounds
from tnprior_cli.evaluation.generated import classifier_distance, inception_distance, requested_attributes
from tnprior_cli.evaluation.imputed import imputation
from tnprior_cli.evaluation.judge import accuracy_on_real, judge
from tnprior_cli.evaluation.subject import Subject
from tnprior_eval import Report
from tnprior_models import BoundsLikelihood, Imputes, Samples


def evaluate_run(subject: Subject) -> Report:
    """Measures everything that the model can be asked for."""
    report = Report()
    if isinstance(subject.model, BoundsLikelihood):
        subject.say("bounds on the likelihood of test images")
        report.add(image_bounds(subject))
    if isinstance(subject.model, Imputes):
        subject.say("filling in the labels of test images")
        report.add(imputation(subject))
    if isinstance(subject.model, Samples):
        classifier = judge(subject)
        report.add(accuracy_on_real(subject, classifier))
        subject.say("generating and judging")
        for result in requested_attributes(subject, classifier):
            report.add(result)
        report.add(classifier_distance(subject, classifier))
        if subject.effort.inception is not None:
            subject.say("generating for the FID")
            report.add(inception_distance(subject, subject.effort.inception))
    return report


def report_json(report: Report, command: str) -> dict[str, Any]:
    """The content of report.json: the numbers, how each was measured, the table, and the command that did it."""
    return {"command": command, **report.to_dict(), "table": [list(cells) for cells in report.table()]}
