"""What a package offers: one sorted list, everything in it documented by an example that runs."""

import dataclasses
import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest
from repository import FOLDERS, module_name, sources

MODULES = [module_name(source) for package in FOLDERS for source in sources(package)]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def offered(package: str) -> list[str]:
    return list(importlib.import_module(package).__all__)


def needs_example(thing: object) -> bool:
    """Functions and concrete classes do. Errors, records and abstract classes are shown by their users."""
    if inspect.isclass(thing):
        record = dataclasses.is_dataclass(thing) or issubclass(thing, tuple)
        abstract = inspect.isabstract(thing) or getattr(thing, "_is_protocol", False)
        return not (record or abstract or issubclass(thing, BaseException))
    return inspect.isfunction(thing)


def words_of_examples(package: str) -> set[str]:
    """Every word that an example in any docstring of the package uses."""
    lines = [line.strip() for source in sources(package) for line in source.read_text().splitlines()]
    shown = [line for line in lines if line.startswith((">>> ", "... "))]
    return {word for line in shown for word in re.findall(r"\w+", line)}


@pytest.mark.parametrize("package", FOLDERS)
def test_the_surface_is_sorted_and_importable(package: str) -> None:
    names = offered(package)
    module = importlib.import_module(package)
    assert names, f"{package} offers nothing"
    assert names == sorted(set(names), key=lambda name: (not name.isupper(), name[0].islower(), name))
    assert [name for name in names if not hasattr(module, name)] == []


@pytest.mark.parametrize("package", FOLDERS)
def test_the_package_says_its_one_idea(package: str) -> None:
    said = importlib.import_module(package).__doc__ or ""
    assert len(said.split()) > 10


@pytest.mark.parametrize("package", FOLDERS)
def test_everything_offered_is_documented_and_shown_by_an_example(package: str) -> None:
    module = importlib.import_module(package)
    things = {name: getattr(module, name) for name in offered(package)}
    undocumented = [name for name, thing in things.items() if not thing.__doc__]
    words = words_of_examples(package)
    unshown = [name for name, thing in things.items() if needs_example(thing) and name not in words]
    assert (undocumented, unshown) == ([], [])


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(name)
    monkeypatch.chdir(tmp_path)
    outcome = doctest.testmod(module, optionflags=OPTIONS)
    assert outcome.failed == 0
