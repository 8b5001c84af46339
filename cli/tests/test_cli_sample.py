"""Sampling: what is written, that it is what was asked for, that it depends on the seed alone, refusals."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def arrays(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "samples.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def test_samples_are_pictures_arrays_and_a_manifest_that_agree(digits_run: Path, tnp, tmp_path: Path) -> None:
    answer = tnp("sample", digits_run, "--given", "digit=3|5", "-n", 10, "-o", tmp_path / "s")
    assert answer.code == 0, answer.err
    assert answer.out == ""
    rows, found = table(tmp_path / "s"), arrays(tmp_path / "s")
    assert {row["digit"] for row in rows} <= {"3", "5"}
    assert [row["given"] for row in rows] == ["digit=3|5"] * 10
    assert found["x"].shape == (10, 1, 8, 8)
    assert found["codes"][:, 0].tolist() == [int(row["digit"]) for row in rows]
    assert found["latents"].shape == (10, 2)
    for row, image in zip(rows, found["x"], strict=True):
        assert (pixels(tmp_path / "s" / row["file_name"]) == image[0]).all()
    assert min(pixels(tmp_path / "s" / "grid.png").shape) > 32


def test_log_p_of_a_condition_is_reported_and_adds_up(digits_run: Path, tnp, tmp_path: Path) -> None:
    file = tmp_path / "each.txt"
    file.write_text("".join(f"digit={digit}\n" for digit in range(10)))
    answer = tnp("sample", digits_run, "--given-file", file, "-n", 1, "-o", tmp_path / "s", "--json")
    found = {item["given"]: item["log_probability"] for item in answer.json["conditions"]}
    assert sum(math.exp(value) for value in found.values()) == pytest.approx(1, abs=1e-4)
    assert f"log p(digit=3) = {found['digit=3']:.4f} nats" in answer.err
    either = tnp("sample", digits_run, "--given", "digit!=3", "-n", 1, "--dry-run", "--json").json[
        "conditions"
    ]
    assert math.exp(either[0]["log_probability"]) == pytest.approx(1 - math.exp(found["digit=3"]), abs=1e-4)
    assert [row["digit"] for row in table(tmp_path / "s")] == [str(digit) for digit in range(10)]


def test_samples_depend_on_the_seed_and_not_on_the_size_of_a_piece_or_the_number(
    faces_run: Path, tnp, tmp_path: Path
) -> None:
    words = ["sample", faces_run, "--given", "male=1", "-q"]
    for name, more in {
        "whole": ["-n", 20],
        "pieces": ["-n", 20, "--batch-size", 3],
        "fewer": ["-n", 7],
        "other": ["-n", 20, "--seed", 1],
    }.items():
        assert tnp(*words, *more, "-o", tmp_path / name).code == 0
    whole, pieces, fewer, other = (arrays(tmp_path / name) for name in ("whole", "pieces", "fewer", "other"))
    for name in ("x", "codes", "latents"):
        assert (whole[name] == pieces[name]).all(), name
        assert (whole[name][:7] == fewer[name]).all(), name
    assert (whole["latents"] != other["latents"]).any()


def test_the_best_of_several_meet_the_condition_and_are_those_of_the_seed(
    faces_run: Path, tnp, tmp_path: Path
) -> None:
    words = ["sample", faces_run, "--given", "male=1,hat=1", "--best-of", 3, "-q"]
    for name, more in {
        "whole": ["-n", 9],
        "pieces": ["-n", 9, "--batch-size", 4],
        "fewer": ["-n", 4],
    }.items():
        assert tnp(*words, *more, "-o", tmp_path / name).code == 0
    assert tnp(*words[:4], "-n", 27, "-o", tmp_path / "all").code == 0
    whole, pieces, fewer, drawn = (arrays(tmp_path / name) for name in ("whole", "pieces", "fewer", "all"))
    assert {(row["male"], row["hat"]) for row in table(tmp_path / "whole")} == {("1", "1")}
    for name in ("x", "codes", "latents"):
        assert (whole[name] == pieces[name]).all(), name
        assert (whole[name][:4] == fewer[name]).all(), name
    for kept, tries in zip(whole["latents"], drawn["latents"].reshape(9, 3, -1), strict=True):
        assert (kept == tries).all(1).any()
    assert (whole["latents"] != drawn["latents"][::3]).any()


def test_conditions_of_a_file_join_the_shared_ones(faces_run: Path, tnp, tmp_path: Path) -> None:
    file = tmp_path / "wanted.csv"
    file.write_text("hat,smiling\n1,\n0,1\n")
    words = ["--given", "MALE=1", "--given-file", file, "-n", 3, "-o", tmp_path / "s"]
    assert tnp("sample", faces_run, *words).code == 0
    rows = table(tmp_path / "s")
    assert [row["given"] for row in rows] == ["MALE=1,hat=1"] * 3 + ["MALE=1,hat=0,smiling=1"] * 3
    assert {row["male"] for row in rows} == {"1"}
    assert [row["hat"] for row in rows] == ["1"] * 3 + ["0"] * 3
    assert arrays(tmp_path / "s")["condition"].tolist() == [0, 0, 0, 1, 1, 1]
    assert arrays(tmp_path / "s")["x"].shape[1:] == (3, 32, 32)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--given", "hatt=1"], 2, "did you mean 'hat'"),
        (["--given", "hat=yes"], 2, "Allowed: 0, 1"),
        (["--given", "hat"], 2, "expected name=value"),
        (["--given", "hat=1,hat=1"], 2, "given twice"),
        (["--given", "male=1,Male=1"], 2, "both mean 'male'"),
        (["--given", "hat!=0|1"], 4, "leaves no label of hat"),
        (["--given-file", "/no/such/file"], 3, "No such file"),
        (["-d", "tpu"], 2, "unknown device 'tpu'"),
        (["-n", "0"], 2, "greater than or equal to 1"),
        (["--best-of", "0", "--given", "hat=1"], 2, "greater than or equal to 1"),
        (["--best-of", "4"], 2, "nothing to choose by"),
        (["--best-of", "4", "--given", "hat=?"], 2, "nothing to choose by"),
    ],
)
def test_a_bad_request_is_one_line_and_no_output(
    words: list[str], code: int, message: str, faces_run: Path, tnp, tmp_path: Path
) -> None:
    answer = tnp("sample", faces_run, *words, "-o", tmp_path / "s")
    assert (answer.code, answer.out) == (code, "")
    assert message in answer.error
    assert list(tmp_path.iterdir()) == []


def test_an_occupied_place_is_refused_and_overwritten_when_asked(
    digits_run: Path, tnp, tmp_path: Path
) -> None:
    words = ["sample", digits_run, "-n", 2, "-o", tmp_path / "s"]
    assert tnp(*words).code == 0
    answer = tnp(*words)
    assert answer.code == 2
    assert "--overwrite" in answer.error
    assert tnp(*words, "--seed", 5, "--overwrite").code == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("")
    answer = tnp("sample", digits_run, "-o", tmp_path / "mine", "--overwrite")
    assert answer.code == 2
    assert "leaves it alone" in answer.error


def test_an_impossible_condition_is_exit_code_4(digits_run: Path, tnp, tmp_path: Path) -> None:
    """A prior under which no component shows the digit 3."""
    from tnprior_cli.build import load_model
    from tnprior_cli.rundir import open_run
    from tnprior_models.checkpoint import save_weights

    words = [
        "-s",
        "prior.kind=mixture",
        "-s",
        "prior.initialize=none",
        "-s",
        "prior.order=given",
        "-s",
        "train.epochs=1",
    ]
    assert tnp("train", digits_run, *words, "-o", tmp_path / "run", "-q").code == 0
    model = load_model(open_run(tmp_path / "run"), "cpu")
    (logits,) = model.prior.label_logits.values()
    logits[..., 3] = -math.inf
    save_weights(tmp_path / "run" / "model.safetensors", model)
    answer = tnp("sample", tmp_path / "run", "--given", "digit=3", "-o", tmp_path / "s")
    assert (answer.code, answer.out) == (4, "")
    assert "digit=3" in answer.error
    assert not (tmp_path / "s").exists()
    assert tnp("sample", tmp_path / "run", "--given", "digit!=3", "-n", 2, "-o", tmp_path / "s").code == 0


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing", "other", "config", "attributes"])
def test_a_damaged_run_is_exit_code_3(
    damage: str, digits_run: Path, faces_run: Path, tnp, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    contents = {
        name: (digits_run / name).read_bytes()
        for name in ("config.json", "attributes.json", "model.safetensors")
    }
    weights = contents["model.safetensors"]
    middle = len(weights) - 100
    damaged = {
        "truncated": {"model.safetensors": weights[: len(weights) // 2]},
        "flipped": {
            "model.safetensors": weights[:middle] + bytes([weights[middle] ^ 1]) + weights[middle + 1 :]
        },
        "missing": {"model.safetensors": None},
        "other": {"model.safetensors": (faces_run / "model.safetensors").read_bytes()},
        "config": {"config.json": contents["config.json"][:-20]},
        "attributes": {"attributes.json": json.dumps({"shape": [1, 8]}).encode()},
    }[damage]
    for name, content in (contents | damaged).items():
        if content is not None:
            (run / name).write_bytes(content)
    answer = tnp("sample", run, "-o", tmp_path / "s")
    assert answer.code == 3, answer.err
    assert str(run) in answer.error
    assert not (tmp_path / "s").exists()


def test_what_is_no_run_is_exit_code_3(tnp, tmp_path: Path) -> None:
    assert tnp("sample", tmp_path / "nothing").code == 3
    (tmp_path / "folder").mkdir()
    answer = tnp("sample", tmp_path / "folder")
    assert answer.code == 3
    assert "not a run directory" in answer.error
