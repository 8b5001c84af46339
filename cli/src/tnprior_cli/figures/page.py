"""The page itself: everything on it as one HTML text that needs nothing besides."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from tnprior_cli.evaluation.report import Findings
from tnprior_cli.evaluation.subject import Subject
from tnprior_cli.figures.about import about
from tnprior_cli.figures.by_attribute import attribute_table
from tnprior_cli.figures.calibrated import reliability_diagram
from tnprior_cli.figures.curve import training_curve
from tnprior_cli.figures.exhibit import Exhibit
from tnprior_cli.figures.filled import filled_in
from tnprior_cli.figures.grids import sample_grid
from tnprior_cli.figures.headlines import headlines
from tnprior_cli.figures.latents import latent_space
from tnprior_cli.figures.subsets import subset_conditions
from tnprior_cli.figures.violated import violated_requests


def exhibits(subject: Subject, findings: Findings) -> tuple[Exhibit, ...]:
    """The figures that this model and its numbers allow, in the order of the page."""
    return tuple(_exhibits(subject, findings))


def page(
    subject: Subject, findings: Findings, content: Mapping[str, Any], figures: tuple[Exhibit, ...]
) -> str:
    """The whole page.

    Args:
        subject: the run.
        findings: its numbers.
        content: of report.json; table, command and versions come from there.
        figures: what to show besides the numbers.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("tnprior_cli.figures"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["drawn"] = Markup
    return environment.get_template("report.html").render(
        title=subject.run.path.resolve().name,
        description=subject.run.config.description,
        about=about(subject),
        headlines=headlines(findings.report),
        attributes=attribute_table(findings.report, subject.run.objects),
        exhibits=figures,
        columns=("number", "value", "95 % interval", "n", "how it was measured"),
        table=content["table"],
        command=content["command"],
        versions=content["versions"],
        date=datetime.now(UTC).date().isoformat(),
        example=subject.run.objects.example(),
        run=str(subject.run.path),
    )


def _exhibits(subject: Subject, findings: Findings) -> Iterator[Exhibit]:
    makers: tuple[Callable[[], Exhibit | None], ...] = (
        lambda: sample_grid(subject),
        lambda: violated_requests(findings.report),
        lambda: subset_conditions(findings.conditioned),
        lambda: latent_space(subject),
        lambda: filled_in(subject),
        lambda: reliability_diagram(findings.report),
        lambda: training_curve(subject.run),
    )
    for make in makers:
        exhibit = make()
        if exhibit is not None:
            yield exhibit
