"""The README.md of a run: what the model is, what it was trained on, how good it is and how that was measured."""

from collections.abc import Mapping
from typing import Any

from tnprior_cli.attributes import Objects
from tnprior_cli.config import RunConfig
from tnprior_cli.fit_settings import fit_command


def model_card(
    config: RunConfig,
    objects: Objects,
    name: str,
    metrics: list[dict[str, Any]],
    report: Mapping[str, Any] | None,
) -> str:
    """The card as Markdown; numbers appear once they were measured.

    Args:
        config: the resolved configuration.
        objects: shape and attributes.
        name: the run, as commands call it.
        metrics: the lines of metrics.jsonl so far.
        report: the report of `tnp eval`, if there is one.
    """
    parts = [_head(config, objects, name), _attributes(objects), _training(config, metrics)]
    parts.append(_numbers(report) if report else f"## Numbers\n\nNot measured yet: `tnp eval {name}`.\n")
    return "\n".join(parts)


def _head(config: RunConfig, objects: Objects, name: str) -> str:
    prior, shape = config.prior, "x".join(map(str, objects.shape))
    size = f" ({prior.size()})" if prior.size() else ""
    labels = (
        f" and attributes, trained on `{config.data.name}` ({shape} images) with {config.data.missing:.0%} of the "
        "known labels hidden"
        if objects.attributes
        else f", trained on `{config.data.name}` ({shape} images)"
    )
    imputes = objects.attributes and config.model.family != "gan"
    impute = f"tnp impute {name} FOLDER -o filled.csv\n" if imputes else ""
    return f"""# {name}

{config.description or "A model of objects and their attributes."}

A {config.model.family.upper()} with {config.model.latents} latents and a {prior.words()} prior{size} \
over latents{labels}.

```
tnp sample {name}{objects.example()} -n 64
{impute}tnp eval {name}
{_again(config, name)}
```
"""


def _again(config: RunConfig, name: str) -> str:
    """The command that makes the same run once more."""
    if config.fit is None:
        return f"tnp train {name}/config.toml -o runs/again"
    return fit_command(config, config.fit, "runs/again")


def _attributes(objects: Objects) -> str:
    if not objects.attributes:
        return ""
    rows = "\n".join(
        f"| {_cell(a.name)} | {_cell(', '.join(a.labels))} | {a.missing:.1%} |" for a in objects.attributes
    )
    return f"## Attributes\n\n| attribute | labels | missing in training |\n|---|---|---|\n{rows}\n"


def _training(config: RunConfig, metrics: list[dict[str, Any]]) -> str:
    lines = [f"## Training\n\n{_trained(config, metrics)}, seed {config.seed}."]
    if metrics:
        numbers = {key: value for key, value in metrics[-1].items() if isinstance(value, int | float)}
        lines.append(f"\n| {'last epoch' if config.fit is None else 'at the end'} | |\n|---|---|")
        lines.extend(f"| {key} | {value:.6g} |" for key, value in numbers.items())
    return "\n".join(lines) + "\n"


def _trained(config: RunConfig, metrics: list[dict[str, Any]]) -> str:
    if config.fit is None:
        return f"{len(metrics)} of {config.train.epochs} epochs"
    return (
        f"The networks are those of `{config.fit.source}`, unchanged; the prior was fitted to their codes in "
        f"{config.fit.steps} updates"
    )


def _numbers(report: Mapping[str, Any]) -> str:
    head = "| number | value | 95 % interval | n | how it was measured |\n|---|---|---|---|---|\n"
    rows = "".join(f"| {' | '.join(_cell(str(cell)) for cell in cells)} |\n" for cells in report["table"])
    return f"## Numbers\n\nMeasured by `{report['command']}`.\n\n{head}{rows}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
