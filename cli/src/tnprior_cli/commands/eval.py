"""`tnp eval`: how good a run is, with intervals and protocols."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tnprior_cli.completion import complete_given
from tnprior_cli.options import BestOf, Device, Json, Run, Seed, speaks
from tnprior_cli.output import Output

if TYPE_CHECKING:
    from tnprior_cli.evaluation.report import Findings
    from tnprior_cli.evaluation.subject import Effort, Subject

BOUNDED = 500
Number = Annotated[
    int, typer.Option("-n", "--number", min=2, help="Objects to generate per kind of condition.")
]
Bounded = Annotated[
    int | None,
    typer.Option("--bounded", min=1, help="Test objects whose likelihood is bounded; default 500."),
]
Importance = Annotated[int, typer.Option("-k", "--importance", min=1, help="Samples of the IWAE bound.")]
Steps = Annotated[
    int | None,
    typer.Option(
        "--classifier-steps",
        min=1,
        help="Most training steps of the classifier; default by size of the images.",
    ),
]
Inception = Annotated[
    str | None,
    typer.Option("--inception-weights", metavar="FILE|download", help="Also the FID, with these weights."),
]
Require = Annotated[
    list[str] | None,
    typer.Option("--require", metavar="NAME<NUMBER", help="Exit with code 5 unless it holds. Repeatable."),
]
Given = Annotated[
    list[str] | None,
    typer.Option(
        "--given",
        metavar="NAME=VALUE,...",
        help="A condition to look at closely: samples, hit rate, variety of the rest. Repeatable: one row each.",
        autocompletion=complete_given,
    ),
]
Flip = Annotated[
    bool | None,
    typer.Option(
        "--flip/--no-flip",
        help="Whether a mirrored image keeps its labels; by default so for photographs of faces only.",
    ),
]
NoFigures = Annotated[
    bool, typer.Option("--no-figures", help="Only the numbers in the page, no drawings and no images.")
]
Out = Annotated[
    Path | None,
    typer.Option(
        "-o", "--out", help="Report to write, and a page (.html) beside it; default RUN/report.json."
    ),
]


@speaks
def evaluate(
    output: Output,
    run: Run,
    number: Number = 1000,
    bounded: Bounded = BOUNDED,
    importance: Importance = 50,
    classifier_steps: Steps = None,
    inception_weights: Inception = None,
    require: Require = None,
    given: Given = None,
    best_of: BestOf = 1,
    flip: Flip = None,
    no_figures: NoFigures = False,
    out: Out = None,
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Measure a run and write report.json and report.html: numbers with intervals, figures, how it was done."""
    from tnprior_cli.rundir import REPORT, open_run
    from tnprior_cli.thresholds import check_thresholds, parse_threshold, require_measurable

    described = open_run(run)
    thresholds = [parse_threshold(text) for text in require or []]
    require_measurable(thresholds, fid=inception_weights is not None)
    described.weights.stat()
    target = _json_path(out or run / REPORT)

    from tnprior_cli.evaluation.report import evaluate_run, report_json
    from tnprior_cli.evaluation.subject import Effort, Subject
    from tnprior_cli.evaluation.subsets import read_conditions

    conditions = read_conditions(given or [], described.objects.schema())
    effort = Effort(
        number, bounded, importance, classifier_steps, inception_weights, seed, flip, conditions, best_of
    )
    subject = Subject(described, effort, device, output.say)
    findings = evaluate_run(subject)
    content = report_json(findings.report, _command(run, effort, given or []))
    wrote = _write(subject, findings, content, target, drawn=not no_figures)
    columns = ("number", "value", "95 % interval", "n", "how it was measured")
    shown = len(columns) if output.verbose else len(columns) - 1
    output.table(columns[:shown], [cells[:shown] for cells in content["table"]], title=str(run))
    if json:
        output.json(content)
    output.done(wrote, [f"tnp sample {run}{described.objects.example()} -n 64"])
    check_thresholds(thresholds, findings.report.values())


def _json_path(path: Path) -> Path:
    """The report's place, which leaves the one with `.html` to the page."""
    from tnprior_cli.errors import UsageError

    if path.suffix.lower() == ".html":
        raise UsageError(
            f"-o {path}: name the report, as in {path.with_suffix('.json')}; the page comes beside it"
        )
    return path


def _write(
    subject: "Subject", findings: "Findings", content: dict[str, Any], target: Path, *, drawn: bool
) -> list[Path]:
    """Writes report, page and model card; nothing before all of the page is there."""
    from tnprior_cli.atomic import write_text
    from tnprior_cli.figures.page import exhibits, page
    from tnprior_cli.rundir import CARD
    from tnprior_cli.runfiles import write_card, write_json

    subject.say("writing the page")
    text = page(subject, findings, content, exhibits(subject, findings) if drawn else ())
    write_json(content, target)
    write_text(target.with_suffix(".html"), text)
    write_card(subject.run)
    return [target, target.with_suffix(".html"), subject.run.path / CARD]


def _command(run: Path, effort: "Effort", given: list[str]) -> str:
    """The command line that measures the same again."""
    words = [f"tnp eval {run} -n {effort.generated} -k {effort.k} --seed {effort.seed}"]
    words += [] if effort.bounded == BOUNDED else [f"--bounded {effort.bounded}"]
    words += [] if effort.classifier_steps is None else [f"--classifier-steps {effort.classifier_steps}"]
    words += [] if effort.flip is None else ["--flip" if effort.flip else "--no-flip"]
    words += [] if effort.inception is None else [f"--inception-weights {quote(effort.inception)}"]
    words += [] if effort.best_of == 1 else [f"--best-of {effort.best_of}"]
    return " ".join([*words, *(f"--given {quote(text)}" for text in given)])
