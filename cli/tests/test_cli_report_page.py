"""The page of `tnp eval`: whole, self-contained, with every figure the model allows and the numbers of report.json."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

QUICK = ["-n", "40", "-k", "3", "--bounded", "30", "--classifier-steps", "12"]
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """What stands in a page; fails where an element is closed that was not open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def sections(self) -> list[str | None]:
        return [item.get("id") for item in self.all("section")]


def evaluated(run: Path, place: Path, *more: str) -> tuple[Page, dict[str, Any], str]:
    from tnprior_cli.main import main

    shutil.copytree(run, place)
    assert main(["eval", str(place), *QUICK, "-q", *more]) == 0
    text = (place / "report.html").read_text()
    return Page(text), json.loads((place / "report.json").read_text()), text


@pytest.fixture(scope="module")
def faces(faces_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, dict[str, Any], str]:
    """The page of a run with three binary attributes, for a condition of the user's."""
    given = ["--given", "male=1,hat=0", "--given", "smiling!=1"]
    return evaluated(faces_run, tmp_path_factory.mktemp("page") / "faces", *given)


@pytest.fixture(scope="module")
def digits(digits_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, dict[str, Any], str]:
    """The page of a run with one attribute of ten labels."""
    return evaluated(digits_run, tmp_path_factory.mktemp("page") / "digits")


def test_every_figure_is_there(faces: tuple[Page, dict[str, Any], str]) -> None:
    page, _, _ = faces
    figures = ["samples", "violations", "subsets", "latents", "filled", "reliability", "curve"]
    assert page.sections == ["numbers", "attributes", *figures, "all"]
    assert len(page.all("figure")) == len(page.all("figcaption")) == len(figures)
    assert len(page.all("svg")) == 3
    assert len(page.all("img")) == 3 * 2 + 2 + 6  # two labels an attribute, two conditions, six examples
    assert all(item.get("alt") for item in page.all("img"))


def test_one_attribute_leaves_nothing_free_so_there_are_no_subsets(digits: tuple[Page, Any, str]) -> None:
    page, report, _ = digits
    assert "subsets" not in page.sections
    assert {"samples", "latents", "filled", "reliability", "curve"} <= set(page.sections)
    assert len(page.all("img")) == 10 + 6
    assert not any(name.startswith("condition/") for name in report["values"])
    assert "violations" not in page.sections
    assert not any("violation" in name for name in report["values"])


@pytest.mark.parametrize("which", ["faces", "digits"])
def test_the_page_needs_nothing_besides_itself(which: str, request: pytest.FixtureRequest) -> None:
    page, _, text = request.getfixturevalue(which)
    assert "://" not in text
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.elements}
    for _, attributes in page.elements:
        for key in ("src", "href"):
            value = attributes.get(key)
            assert value is None or value.startswith(("data:image/png;base64,", "#")), value
    assert "@import" not in text
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = re.findall(r'(?:href="#|url\(#)([^")]+)', text)
    assert set(used) <= set(ids)
    assert len(text) < 600_000


@pytest.mark.parametrize("which", ["faces", "digits"])
def test_the_numbers_are_those_of_the_report(which: str, request: pytest.FixtureRequest) -> None:
    page, report, _ = request.getfixturevalue(which)
    shown = {item["data-name"]: float(item["value"] or "nan") for item in page.all("data")}
    for name, value in shown.items():
        assert value == report["values"][name] or value != value, name
    headlines = {"generated-accuracy", "imputation/ece", "classifier-frechet", "classifier/precision"}
    assert headlines <= set(shown)
    words = "\n".join(page.words)
    for cells in report["table"]:
        assert all(cell in words for cell in cells), cells
    assert report["command"] in words


def test_the_conditions_of_the_user_have_their_numbers(faces: tuple[Page, dict[str, Any], str]) -> None:
    page, report, _ = faces
    values = report["values"]
    for text in ("male=1,hat=0", "smiling!=1"):
        for number in ("log-p", "hits", "all-hits", "entropy", "entropy/model", "vendi-score"):
            assert f"condition/{text}/{number}" in values
        assert values[f"condition/{text}/log-p"] < 0
        assert 0 <= values[f"condition/{text}/entropy/model"] <= 0.6932
    assert "--given male=1,hat=0" in report["command"]
    found = next(item for item in report["results"] if item["label"] == "condition/male=1,hat=0")
    assert list(found["free"]["attributes"]) == ["smiling"]
    shown = {item["data-name"] for item in page.all("data")}
    assert {f"condition/male=1,hat=0/{name}" for name in ("entropy/model", "vendi-score")} <= shown
    assert {"classifier/vendi-score", "classifier/vendi-score/real"} <= shown
    assert 1 <= values["condition/male=1,hat=0/vendi-score"] <= 40


def test_violations_stand_by_number_of_requests_beside_those_of_the_judge(
    faces: tuple[Page, dict[str, Any], str],
) -> None:
    page, report, text = faces
    values, shown = report["values"], {item["data-name"] for item in page.all("data")}
    counts = [f"given={count}{kind}" for count in (1, 2, 3) for kind in ("", "/any")]
    assert {f"condition-violation/{name}" for name in counts} <= shown
    assert values["condition-violation/given=3"] == pytest.approx(1 - values["generated-accuracy"])
    assert values["condition-violation/given=1"] == values["condition-violation/given=1/any"]
    found = {item["label"]: item for item in report["results"] if item["metric"] == "condition-violation"}
    assert set(found) == {"condition-violation", "classifier-violation"}
    for asked, own in zip(*(found[label]["by_given"] for label in sorted(found, reverse=True)), strict=True):
        assert asked["pairs"]["n"] == own["pairs"]["n"] == 40 * asked["given"]
        assert list(asked["attributes"]) == ["male", "hat", "smiling"]
        for name, estimate in asked["attributes"].items():
            assert estimate["n"] == own["attributes"][name]["n"]
            assert estimate["interval"]["method"] == "wilson"
    start = text.index('id="violations"')
    assert text[start : text.index('id="subsets"')].count("<small>test objects ") == 5 * 3


def test_each_attribute_stands_beside_its_baseline(faces: tuple[Page, dict[str, Any], str]) -> None:
    page, _, _ = faces
    shown = {item["data-name"] for item in page.all("data")}
    for name in ("male", "hat", "smiling"):
        assert {f"imputation-accuracy/{name}", f"imputation-majority/{name}"} <= shown


def test_distances_compare_equal_counts_and_say_so(faces: tuple[Page, dict[str, Any], str]) -> None:
    _, report, _ = faces
    results = {item["label"]: item for item in report["results"]}
    for label in ("classifier-frechet", "classifier-kernel-distance", "classifier"):
        settings = results[label]["protocol"]["settings"]
        assert settings["real"] == settings["generated"] <= 40
    assert results["classifier-frechet"]["frechet"]["distance"]["n"] == settings["real"]


def test_the_terms_of_the_images_are_said(faces: tuple[Page, dict[str, Any], str]) -> None:
    assert "are part of this file. Terms: as stated by whoever made the files." in faces[2]


def test_without_figures_the_page_has_the_numbers_alone(digits_run: Path, tmp_path: Path) -> None:
    page, report, _ = evaluated(digits_run, tmp_path / "run", "--no-figures")
    assert page.sections == ["numbers", "attributes", "all"]
    assert not {"img", "svg"} & {tag for tag, _ in page.elements}
    assert len(page.all("data")) > 5
    assert len(report["values"]) > 10


def test_a_page_that_cannot_be_drawn_leaves_the_old_files(
    digits_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tnprior_cli.figures import page as module
    from tnprior_cli.main import main

    run = tmp_path / "run"
    shutil.copytree(digits_run, run)
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device", "report.html")

    monkeypatch.setattr(module, "exhibits", fails)
    assert main(["eval", str(run), *QUICK, "-q"]) == 1
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--given", "digit=11"], "'11'"),
        (["--given", "digti=1"], "digti"),
        (["--given", "digit=?"], "restricts nothing"),
        (["--given", "digit=1", "--given", "digit=1"], "twice"),
        (["-o", "report.html"], "name the report, as in report.json"),
    ],
)
def test_what_cannot_be_asked_is_refused(words: list[str], message: str, digits_run: Path, tnp) -> None:
    answer = tnp("eval", digits_run, *words)
    assert answer.code == 2
    assert message in answer.error


def test_info_shows_the_numbers_in_columns(digits_run: Path, tnp, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(digits_run, run)
    table = [["a/long-name", "0.5", "[0.1, 0.9]", "10", "seed=0"], ["b", "12.25 nats", "", "7", ""]]
    report = {"command": "tnp eval run", "values": {"a/long-name": 0.5, "b": 12.25}, "table": table}
    (run / "report.json").write_text(json.dumps(report))
    lines = tnp("info", run).out.splitlines()
    start = lines.index("numbers      measured by tnp eval run")
    assert lines[start + 1 : start + 4] == [
        "  number       value       95 % interval  n",
        "  a/long-name  0.5         [0.1, 0.9]     10",
        "  b            12.25 nats                 7",
    ]
    assert tnp("info", run, "--json").json["numbers"] == report["values"]
