"""The direction of imports: core <- models <- cli; data and eval know none of the others."""

import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from repository import FOLDERS, ROOT, imported, sources

MAY_IMPORT = {
    "tnprior_core": set(),
    "tnprior_models": {"tnprior_core"},
    "tnprior_data": set(),
    "tnprior_eval": set(),
    "tnprior_cli": {"tnprior_core", "tnprior_models", "tnprior_data", "tnprior_eval"},
}
DISTRIBUTION = {"PIL": "pillow", "sklearn": "scikit-learn", "torch_fidelity": "torch-fidelity"}


def declared(package: str) -> set[str]:
    """Names of everything a package declares to need, in any extra."""
    project = tomllib.loads((FOLDERS[package] / "pyproject.toml").read_text())["project"]
    extras = project.get("optional-dependencies", {}).values()
    return {
        Requirement(text).name
        for text in [*project["dependencies"], *(text for extra in extras for text in extra)]
    }


def used(package: str) -> set[str]:
    """Distributions that the modules of a package import."""
    names = {name for source in sources(package) for name in imported(source)}
    return {DISTRIBUTION.get(name, name.replace("_", "-")) for name in names}


def faults(package: str) -> list[str]:
    """Imports that a package is not entitled to, each with its place."""
    known = declared(package) | {package}
    found = []
    for source in sources(package):
        for name in imported(source):
            distribution = DISTRIBUTION.get(
                name, name.replace("_", "-") if name.startswith("tnprior_") else name
            )
            foreign = name in MAY_IMPORT and name not in MAY_IMPORT[package] | {package}
            if foreign or (name not in sys.stdlib_module_names and not {name, distribution} & known):
                found.append(f"{source.relative_to(ROOT)} imports {name}")
    return found


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_only_what_it_declares_and_what_its_place_allows(package: str) -> None:
    assert faults(package) == []


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_declares_exactly_the_neighbours_it_may_import(package: str) -> None:
    neighbours = {name for name in declared(package) if name.startswith("tnprior-")}
    assert neighbours == {name.replace("_", "-") for name in MAY_IMPORT[package]}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_uses_everything_it_declares(package: str) -> None:
    project = tomllib.loads((FOLDERS[package] / "pyproject.toml").read_text())["project"]
    assert {Requirement(text).name for text in project["dependencies"]} - used(package) == set()


def test_an_import_against_the_direction_is_seen(tmp_path, monkeypatch) -> None:
    module = tmp_path / "src" / "tnprior_core" / "wrong.py"
    module.parent.mkdir(parents=True)
    module.write_text(
        "def late():\n    from tnprior_models import VAE\n    import requests\n    return VAE\n"
    )
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["torch"]\n')
    monkeypatch.setitem(FOLDERS, "tnprior_core", tmp_path)
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    place = "src/tnprior_core/wrong.py imports"
    assert faults("tnprior_core") == [f"{place} tnprior_models", f"{place} requests"]
