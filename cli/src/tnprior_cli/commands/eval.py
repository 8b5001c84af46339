"""`tnp eval`: how good a run is, with intervals and protocols."""

from pathlib import Path
from typing import Annotated

import typer

from tnprior_cli.options import Device, Json, Run, Seed, speaks
from tnprior_cli.output import Output

Number = Annotated[
    int, typer.Option("-n", "--number", min=2, help="Objects to generate per kind of condition.")
]
Bounded = Annotated[
    int | None,
    typer.Option("--bounded", min=1, help="Test objects whose likelihood is bounded; default 500."),
]
Importance = Annotated[int, typer.Option("-k", "--importance", min=1, help="Samples of the IWAE bound.")]
Steps = Annotated[
    int, typer.Option("--classifier-steps", min=1, help="Most training steps of the classifier.")
]
Inception = Annotated[
    str | None,
    typer.Option("--inception-weights", metavar="FILE|download", help="Also the FID, with these weights."),
]
Require = Annotated[
    list[str] | None,
    typer.Option("--require", metavar="NAME<NUMBER", help="Exit with code 5 unless it holds. Repeatable."),
]
Out = Annotated[Path | None, typer.Option("-o", "--out", help="Report to write; default RUN/report.json.")]


@speaks
def evaluate(
    output: Output,
    run: Run,
    number: Number = 1000,
    bounded: Bounded = 500,
    importance: Importance = 50,
    classifier_steps: Steps = 600,
    inception_weights: Inception = None,
    require: Require = None,
    out: Out = None,
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Measure a run: bounds, generated attributes, imputation, calibration, Fréchet distance."""
    from tnprior_cli.rundir import REPORT, open_run
    from tnprior_cli.thresholds import check_thresholds, parse_threshold, require_measurable

    described = open_run(run)
    thresholds = [parse_threshold(text) for text in require or []]
    require_measurable(thresholds, fid=inception_weights is not None)
    described.weights.stat()

    from tnprior_cli.evaluation.report import evaluate_run, report_json
    from tnprior_cli.evaluation.subject import Effort, Subject
    from tnprior_cli.runfiles import write_card, write_json

    effort = Effort(number, bounded, importance, classifier_steps, inception_weights, seed)
    report = evaluate_run(Subject(described, effort, device, output.say))
    content = report_json(report, f"tnp eval {run} -n {number} -k {importance} --seed {seed}")
    target = out or run / REPORT
    write_json(content, target)
    write_card(described)
    columns = ("number", "value", "95 % interval", "n", "how it was measured")
    shown = len(columns) if output.verbose else len(columns) - 1
    output.table(columns[:shown], [cells[:shown] for cells in report.table()], title=str(run))
    if json:
        output.json(content)
    output.done(
        [target, run / "README.md"], [f"tnp sample {run} --given {described.objects.example()} -n 64"]
    )
    check_thresholds(thresholds, report.values())
