"""Where things are in this checkout, for the tests that look at the whole of it."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VERSION = (ROOT / "VERSION").read_text().strip()
FOLDERS = {
    "tnprior_core": ROOT / "packages/tnprior-core",
    "tnprior_models": ROOT / "packages/tnprior-models",
    "tnprior_data": ROOT / "packages/tnprior-data",
    "tnprior_eval": ROOT / "packages/tnprior-eval",
    "tnprior_cli": ROOT / "cli",
}


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that git tracks or would offer to track."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z"],
        capture_output=True,
        check=True,
    )
    paths = (ROOT / name for name in listed.stdout.decode().split("\0") if name)
    return tuple(sorted(path for path in paths if path.is_file()))


def sources(package: str) -> list[Path]:
    """The modules of one package."""
    return sorted((FOLDERS[package] / "src").rglob("*.py"))


def module_name(source: Path) -> str:
    """packages/tnprior-core/src/tnprior_core/priors/ring.py -> tnprior_core.priors.ring"""
    parts = list(source.with_suffix("").parts)
    parts = parts[parts.index("src") + 1 :]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(source: Path) -> Iterator[str]:
    """Top-level names of everything a module imports, at its head or inside a function."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


def fenced(document: Path, *languages: str) -> Iterator[str]:
    """The fenced blocks of a Markdown file that are written in one of the languages."""
    language, lines = None, []
    for line in document.read_text().splitlines():
        if not line.lstrip().startswith("```"):
            lines.append(line.strip() if language is None else line)
        elif language is None:
            language, lines = line.strip().removeprefix("```"), []
        else:
            if language in languages:
                yield "\n".join(lines)
            language = None


def documents() -> list[Path]:
    """Every Markdown file."""
    return [path for path in tracked() if path.suffix == ".md"]
