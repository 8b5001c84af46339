"""One version: the file VERSION, the changelog, the five packages and the pins between them."""

import re
import tomllib
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement
from repository import FOLDERS, ROOT, VERSION


def test_the_changelog_begins_with_this_version() -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert headings[0] == VERSION


@pytest.mark.parametrize("package", FOLDERS)
def test_the_installed_package_has_this_version(package: str) -> None:
    assert version(package.replace("_", "-")) == VERSION


@pytest.mark.parametrize("package", FOLDERS)
def test_pins_between_the_packages_admit_this_version(package: str) -> None:
    project = tomllib.loads((FOLDERS[package] / "pyproject.toml").read_text())["project"]
    pins = [pin for pin in map(Requirement, project["dependencies"]) if pin.name.startswith("tnprior-")]
    assert [str(pin) for pin in pins if not pin.specifier.contains(VERSION)] == []
    assert all(pin.specifier for pin in pins)
