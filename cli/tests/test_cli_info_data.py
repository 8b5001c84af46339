"""The commands that only show things: info, recipes, data."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from tnprior_cli.recipes import recipe_names


def test_info_says_what_a_run_is_and_can(digits_run: Path, tnp) -> None:
    answer = tnp("info", digits_run, "--json")
    facts = answer.json
    assert facts["attributes"]["digit"]["labels"] == list("0123456789")
    assert facts["parameters"]["total"] == sum(
        n for part, n in facts["parameters"].items() if part != "total"
    )
    assert {"Samples", "Imputes"} <= set(facts["can"])
    assert facts["trained"] is True
    assert facts["model"] == {"family": "vae", "prior": "train", "size": "rank 2, 2 components"}
    assert "tnp sample" in answer.err
    text = tnp("info", digits_run).out
    assert "digit" in text
    assert "parameters" in text


def test_info_of_a_run_that_was_not_trained_yet(digits_run: Path, tnp, tmp_path: Path) -> None:
    shutil.copyfile(digits_run / "attributes.json", tmp_path / "attributes.json")
    config = json.loads((digits_run / "config.json").read_text())
    config["prior"]["kind"] = "mixture"
    (tmp_path / "config.json").write_text(json.dumps(config))
    answer = tnp("info", tmp_path, "--json")
    assert answer.json["trained"] is False
    assert answer.json["model"]["size"] == "2 components"  # and no rank
    assert "--resume" in answer.err


def test_recipes_are_listed_and_printed_as_toml_that_trains(tnp, tmp_path: Path) -> None:
    assert [line.split()[0] for line in tnp("recipes").out.splitlines()] == list(recipe_names())
    assert set(tnp("recipes", "--json").json) == set(recipe_names())
    printed = tnp("recipes", "digits-ring")
    assert printed.code == 0
    (tmp_path / "mine.toml").write_text(printed.out)
    answer = tnp("train", tmp_path / "mine.toml", "-o", tmp_path / "run", "--dry-run", "--json")
    assert answer.json == tnp("recipes", "digits-ring", "--json").json
    unknown = tnp("recipes", "digit")
    assert unknown.code == 2
    assert "did you mean 'digits'" in unknown.error


def test_data_sets_are_listed(tnp) -> None:
    names = [line.split()[0] for line in tnp("data", "list").out.splitlines()]
    assert {"digits", "faces", "mnist"} <= set(names)
    assert set(tnp("data", "list", "--json").json) == set(names)


def test_inspect_counts_labels_and_gaps(tnp) -> None:
    facts = tnp("data", "inspect", "digits", "--missing", "0.3", "--json").json
    (digit,) = facts["attributes"]
    assert facts["shape"] == [1, 8, 8]
    assert sum(digit["counts"].values()) == pytest.approx(facts["n"] * (1 - digit["missing_rate"]))
    assert 0.25 < digit["missing_rate"] < 0.35
    answer = tnp("data", "inspect", "digits")
    assert "digit" in answer.out
    assert answer.err.strip().endswith("next: tnp train digits")


@pytest.mark.parametrize("command", ["inspect", "download", "export"])
def test_an_unknown_data_set_names_the_closest(command: str, tnp, tmp_path: Path) -> None:
    answer = tnp("data", command, "digitz", *(["-o", tmp_path / "x"] if command == "export" else []))
    assert answer.code == 2
    assert "did you mean 'digits'" in answer.error
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_not_there_say_where_they_were_looked_for(tnp, tmp_path: Path) -> None:
    answer = tnp("data", "inspect", "mnist", "--root", tmp_path)
    assert answer.code == 3
    assert str(tmp_path) in answer.error


def test_embedded_data_need_no_download(tnp) -> None:
    answer = tnp("data", "download", "digits")
    assert answer.code == 0
    assert "1438 objects" in answer.err or "objects, files complete" in answer.err


def test_export_writes_a_folder_that_reads_back(tnp, tmp_path: Path) -> None:
    words = ["data", "export", "faces", "-n", 12, "--missing", "0.5", "-o", tmp_path / "faces"]
    assert tnp(*words).code == 0
    with (tmp_path / "faces" / "metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    cells = [cell for row in rows for name, cell in row.items() if name != "file_name"]
    assert 0.3 < sum(not cell for cell in cells) / len(cells) < 0.7
    facts = json.loads(tnp("data", "inspect", tmp_path / "faces", "--split", "train", "--json").out)
    assert facts["shape"] == [3, 32, 32]
    answer = tnp("data", "inspect", tmp_path / "faces")
    assert f"next: tnp train faces-ttlp -s data.name={tmp_path / 'faces'} -o runs/mine" in " ".join(
        answer.err.split()
    )
    assert tnp(*words).code == 2
    assert tnp(*words, "--overwrite").code == 0
