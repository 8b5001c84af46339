"""`tnp info`: what a run is, what it can do, and how good it is."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tnprior_cli.options import Json, Run, speaks
from tnprior_cli.output import Output, jsonable

if TYPE_CHECKING:
    from tnprior_cli.rundir import RunDirectory


COLUMNS = ("number", "value", "95 % interval", "n")


@speaks
def info(output: Output, run: Run, json: Json = False) -> None:
    """Show what is in a run: data, model, parameters, capabilities, numbers."""
    from tnprior_cli.rundir import open_run

    described = open_run(run)
    facts = {**_description(described), **_model(described), **_progress(described)}
    if json:
        output.json(jsonable({**facts, **_numbers(described)}))
    else:
        for key, value in facts.items():
            output.data(f"{key:<12} {_text(value)}")
        for line in _table(described.report()):
            output.data(line)
    output.done([], _next(described))


def _description(run: "RunDirectory") -> dict[str, Any]:
    config, objects = run.config, run.objects
    attributes = {a.name: {"labels": a.labels, "missing": a.missing} for a in objects.attributes}
    return {
        "run": run.path,
        "description": config.description,
        "data": {"name": config.data.name, "missing": config.data.missing, "shape": objects.shape},
        "attributes": attributes,
    }


def _model(run: "RunDirectory") -> dict[str, Any]:
    """Family, prior, parameter counts and abilities; the weights are checked on the way if they are there."""
    from tnprior_cli.build import build_model, load_model
    from tnprior_models import abilities

    trained = run.weights_exist
    model = load_model(run, "cpu") if trained else build_model(run.config, run.objects)
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    prior = run.config.prior
    size = {"size": prior.size()} if prior.size() else {}
    return {
        "model": {"family": run.config.model.family, "prior": prior.kind, **size},
        "parameters": {"total": sum(counts.values()), **{name: n for name, n in counts.items() if n}},
        "can": abilities(model),
        "trained": trained,
    }


def _progress(run: "RunDirectory") -> dict[str, Any]:
    rows, fit = run.metrics(), run.config.fit
    if fit is not None:
        facts: dict[str, Any] = {"fitted": f"{fit.steps} updates of the prior, to the codes of {fit.source}"}
    else:
        facts = {"epochs": f"{len(rows)} of {run.config.train.epochs}"}
    if rows:
        facts["last epoch" if fit is None else "at the end"] = rows[-1]
    return facts


def _numbers(run: "RunDirectory") -> dict[str, Any]:
    report = run.report()
    return {} if report is None else {"numbers": report.get("values", {})}


def _table(report: dict[str, Any] | None) -> list[str]:
    """The numbers of a report in columns, as `tnp eval` shows them; how each was measured is in the files."""
    if report is None:
        return []
    rows = [COLUMNS, *(tuple(cells[: len(COLUMNS)]) for cells in report.get("table", []))]
    widths = [max(len(row[c]) for row in rows) for c in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    command = report.get("command", "tnp eval")
    return [f"numbers      measured by {command}", *(f"  {line.rstrip()}" for line in lines)]


def _next(run: "RunDirectory") -> list[str]:
    if not run.weights_exist:
        return [f"tnp train {run.path} --resume"]
    return [f"tnp sample {run.path}{run.objects.example()}", f"tnp eval {run.path}"]


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None or value == Path() else str(value)
