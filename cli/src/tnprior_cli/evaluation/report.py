"""All numbers of a run, as one report, and what the figures need besides."""

from dataclasses import dataclass, field
from typing import Any

from tnprior_cli.evaluation.bounds import likelihood_bounds
from tnprior_cli.evaluation.conditioned import ConditionedSamples, conditioned_samples
from tnprior_cli.evaluation.generated import requested_attributes
from tnprior_cli.evaluation.imputed import imputation
from tnprior_cli.evaluation.judge import accuracy_on_real, judge
from tnprior_cli.evaluation.likeness import inception_distance, likeness
from tnprior_cli.evaluation.subject import Subject
from tnprior_eval import Report
from tnprior_models import BoundsLikelihood, Imputes, Samples


@dataclass(frozen=True)
class Findings:
    """The numbers, and the objects that were generated for conditions on a few attributes."""

    report: Report = field(default_factory=Report)
    conditioned: tuple[ConditionedSamples, ...] = ()


def evaluate_run(subject: Subject) -> Findings:
    """Measures everything that the model can be asked for.

    Raises:
        CapabilityError: the best of several objects, of a model that reads no attributes.
    """
    _ = subject.on_request  # refuses before anything is measured
    report = Report()
    if isinstance(subject.model, BoundsLikelihood):
        subject.say("bounds on the likelihood of test images")
        for bound in likelihood_bounds(subject):
            report.add(bound)
    if isinstance(subject.model, Imputes) and subject.names:
        subject.say("filling in the labels of test images")
        report.add(imputation(subject))
    conditioned = _judged(subject, report) if isinstance(subject.model, Samples) else []
    return Findings(report, tuple(conditioned))


def _judged(subject: Subject, report: Report) -> list[ConditionedSamples]:
    """Adds the numbers that a classifier has to give."""
    classifier = judge(subject)
    real = classifier.judge(subject.test.x)
    report.add(accuracy_on_real(subject, classifier, real))
    subject.say("generating and judging")
    asked = requested_attributes(subject, classifier, real) if subject.names else []
    for result in (*asked, *likeness(subject, classifier, real)):
        report.add(result)
    conditioned = conditioned_samples(subject, classifier, real) if subject.names else []
    for item in conditioned:
        report.add(item.result)
    if subject.effort.inception is not None:
        subject.say("generating for the FID")
        report.add(inception_distance(subject, subject.effort.inception))
    return conditioned


def report_json(report: Report, command: str) -> dict[str, Any]:
    """The content of report.json: the numbers, how each was measured, the table, and the command that did it."""
    return {"command": command, **report.to_dict(), "table": [list(cells) for cells in report.table()]}
