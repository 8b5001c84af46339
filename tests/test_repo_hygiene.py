"""House rules that a reader cannot keep in mind for a whole repository."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from repository import FOLDERS, ROOT, imported, sources, tracked

LARGEST_FILE = 1_000_000
LONGEST_MODULE = 400
UNPICKLERS = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}


def unpickling(source: Path) -> Iterator[str]:
    """Places where a module would execute what a file says."""
    yield from (f"import {name}" for name in imported(source) if name in UNPICKLERS)
    for node in ast.walk(ast.parse(source.read_text())):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        refused = called in {"np.load", "numpy.load"} and keywords.get("allow_pickle") == "False"
        if called in {"torch.load", "torch.hub.load", "np.load", "numpy.load"} and not refused:
            yield f"line {node.lineno}: {ast.unparse(node)}"


def test_no_file_is_large() -> None:
    assert [str(path) for path in tracked() if path.stat().st_size > LARGEST_FILE] == []


def test_no_module_is_long() -> None:
    modules = [path for path in tracked() if path.suffix == ".py"]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in modules}
    assert {name: lines for name, lines in lengths.items() if lines >= LONGEST_MODULE} == {}


@pytest.mark.parametrize("package", FOLDERS)
def test_nothing_is_ever_unpickled(package: str) -> None:
    assert {str(source): found for source in sources(package) if (found := list(unpickling(source)))} == {}


@pytest.mark.parametrize(
    "line", ["import pickle", "torch.load(p)", "np.load(p)", "np.load(p, allow_pickle=True)"]
)
def test_unpickling_is_seen(line: str, tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(line)
    assert list(unpickling(module)) != []
    module.write_text("np.load(p, allow_pickle=False)")
    assert list(unpickling(module)) == []


def test_names_of_test_files_are_unique() -> None:
    names = Counter(path.name for path in tracked() if path.name.startswith("test_"))
    assert [name for name, times in names.items() if times > 1] == []


def test_folders_of_tests_are_no_packages() -> None:
    assert [str(path) for path in tracked() if path.name == "__init__.py" and "tests" in path.parts] == []


def test_every_package_carries_the_licence_and_the_marker_of_typed_packages() -> None:
    licence = (ROOT / "LICENSE").read_text()
    for package, folder in FOLDERS.items():
        assert (folder / "LICENSE").read_text() == licence, folder
        assert (folder / "src" / package / "py.typed").is_file(), folder
