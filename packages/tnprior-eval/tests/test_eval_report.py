"""Reports: strict JSON, unique names, a table; and the package's surface."""

import ast
import json
import math
from pathlib import Path

import pytest
import torch

import tnprior_eval
from tnprior_eval import (
    Calibration,
    ClassifierFrechet,
    Estimate,
    EvalError,
    LikelihoodBound,
    Protocol,
    Report,
    accuracy,
    quantize,
    versions,
)
from tnprior_eval.result import plain


def example():
    codes = torch.tensor([[0, 1], [1, 1], [0, 0]])
    seen = torch.ones_like(codes, dtype=torch.bool)
    frechet = ClassifierFrechet(extractor="classifier:1f", protocol=Protocol(seed=7))
    frechet.update(real=torch.eye(30), generated=torch.eye(30) + 1)
    calibration = Calibration(["hat", "male"])
    calibration.update([torch.tensor([[1.0, 0.0]] * 3)] * 2, codes, seen)
    bound = LikelihoodBound(2)
    bound.update(torch.zeros(2, 4))
    right = accuracy(codes, codes, seen, ["hat", "male"], label="generated-accuracy")
    return Report([right, frechet.compute(), calibration.compute(), bound.compute()])


def test_json_is_strict_and_complete():
    report = example()
    document = json.loads(report.to_json(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert document["values"]["generated-accuracy"] == 1.0
    assert document["values"]["calibration/nll"] == "inf"
    assert document["versions"] == versions()
    kinds = [result["metric"] for result in document["results"]]
    assert kinds == ["accuracy", "classifier-frechet", "calibration", "likelihood-bound"]
    assert document["results"][1]["protocol"]["seed"] == 7
    assert document["results"][1]["protocol"]["extractor"] == "classifier:1f"
    assert document["results"][2]["overall"]["width"]["counts"][-1] == 6


def test_a_table_for_people():
    report = example()
    lines = report.to_markdown().splitlines()
    assert lines[0] == "| metric | value | interval | n | protocol |"
    assert len(lines) == 2 + len(report.rows())
    assert "| generated-accuracy | 1.0000 | [0.4385, 1.0000] | 6 |  |" in lines
    assert any(line.startswith("| classifier-frechet | 30.00 |") and "seed=7" in line for line in lines)
    assert any("bound/elbo | 0 nats" in line for line in lines)


def test_every_number_has_its_own_name():
    report = example()
    with pytest.raises(
        EvalError, match=r"received \['generated-accuracy', .* again; give the result another label"
    ):
        report.add(report.results[0])
    assert len(report.results) == 4


def test_writing_leaves_the_file_or_nothing(tmp_path):
    example().write(tmp_path / "report.json")
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
    assert json.loads((tmp_path / "report.json").read_text())["format"] == "tnprior-report-1"
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        example().write(tmp_path / "taken")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.json", "taken"]


def test_what_is_not_plain_is_refused():
    assert plain(Estimate(math.inf, 3))["value"] == "inf"
    with pytest.raises(EvalError, match=f"received {type(torch.zeros(2)).__name__}"):
        plain({"x": torch.zeros(2)})


def test_quantize_is_what_a_png_holds():
    assert quantize(torch.tensor([-1.0, 0.0, 0.4999 / 255, 0.5001 / 255, 1.0, 3.0])).tolist() == [
        0,
        0,
        0,
        1,
        255,
        255,
    ]
    with pytest.raises(EvalError, match="without NaN"):
        quantize(torch.tensor([math.nan]))
    with pytest.raises(EvalError, match=r"floating-point images in \[0, 1\], received torch.uint8"):
        quantize(torch.zeros(2, dtype=torch.uint8))


def test_versions_name_what_is_missing():
    assert versions("no-such-distribution")["no-such-distribution"] == "not installed"


def test_the_public_names_are_sorted_and_exist():
    assert tnprior_eval.__all__ == sorted(tnprior_eval.__all__)
    assert all(hasattr(tnprior_eval, name) for name in tnprior_eval.__all__)


def test_the_package_imports_none_of_the_others():
    imported = set()
    for path in Path(tnprior_eval.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").split(".")[0])
            elif isinstance(node, ast.Import):
                imported.update(alias.name.split(".")[0] for alias in node.names)
    assert {name for name in imported if name.startswith("tnprior")} == {"tnprior_eval"}
