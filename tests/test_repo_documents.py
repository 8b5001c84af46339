"""What the documents say can be typed: commands parse, links lead somewhere, Python runs."""

import ast
import re
import shlex
from pathlib import Path

import pytest
import typer
from repository import ROOT, documents, fenced

from tnprior_cli.main import app

SHELLS = ("bash", "sh", "console", "shell")
PROMPT = re.compile(r"^\$ ")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
DOCUMENTS = {str(path.relative_to(ROOT)): path for path in documents()}


def commands(document: Path) -> list[list[str]]:
    """The command lines of a document's shell blocks, split into words, without their pipes."""
    lines = [line for block in fenced(document, *SHELLS) for line in block.replace("\\\n", " ").splitlines()]
    words = (shlex.split(PROMPT.sub("", line.strip()), comments=True) for line in lines)
    return [piece for line in words for piece in pieces(line)]


def pieces(words: list[str]) -> list[list[str]]:
    """Split a line at `&&`; cut each piece at a pipe or a redirection."""
    found, piece = [], []
    for word in [*words, "&&"]:
        if word == "&&":
            cut = next((at for at, each in enumerate(piece) if each in {"|", ">", "2>"}), len(piece))
            found += [piece[:cut]] if piece[:cut] else []
            piece = []
        else:
            piece.append(word)
    return found


def parse(words: list[str]) -> None:
    """Take a `tnp` line apart as the command would, without running it."""
    command = typer.main.get_command(app)
    context = command.make_context("tnp", list(words[1:]), resilient_parsing=False)
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        if not rest:
            return
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)


def sessions() -> set[str]:
    """Names of the sessions of noxfile.py."""
    tree = ast.parse((ROOT / "noxfile.py").read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {
        each.name for each in functions if any("session" in ast.unparse(mark) for mark in each.decorator_list)
    }


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_commands_of_a_document_parse(name: str) -> None:
    for words in commands(DOCUMENTS[name]):
        if words[0] == "tnp":
            try:
                parse(words)
            except typer.Exit:  # --help and --version answer at once
                continue
            except typer.TyperException as error:
                pytest.fail(f"{shlex.join(words)}: {error.format_message()}")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_sessions_of_a_document_exist(name: str) -> None:
    named = re.findall(r"\bnox -s ((?:[a-z]+ ?)+)", DOCUMENTS[name].read_text())
    unknown = {session for line in named for session in line.split()[:1]} - sessions()
    assert unknown == set()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_links_of_a_document_lead_to_files(name: str) -> None:
    document = DOCUMENTS[name]
    targets = [link for link in LINK.findall(document.read_text()) if "://" not in link]
    assert [link for link in targets if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("name", [name for name, path in DOCUMENTS.items() if any(fenced(path, "python"))])
def test_the_python_of_a_document_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scope = {"__name__": "document"}
    for block in fenced(DOCUMENTS[name], "python"):
        exec(compile(block, name, "exec"), scope)
    assert len(scope) > 2


def test_a_wrong_option_is_seen() -> None:
    with pytest.raises(typer.TyperException, match="--gven"):
        parse(["tnp", "sample", "runs/digits", "--gven", "digit=3"])
