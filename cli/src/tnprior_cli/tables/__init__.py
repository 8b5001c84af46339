"""Published tables that one command runs; those that come with the package, by name."""

from importlib.resources import files

from tnprior_cli.errors import UsageError
from tnprior_cli.matching import unknown


def table_names() -> tuple[str, ...]:
    """The names of all tables, sorted."""
    entries = (entry.name for entry in files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in entries if name.endswith(".toml")))


def table_text(name: str) -> str:
    """The TOML of a table.

    Raises:
        UsageError: there is no table of that name.
    """
    if name not in table_names():
        raise UsageError(unknown("table", name, table_names()) + ", or the path of a .toml file")
    return files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8")


def table_titles() -> dict[str, str]:
    """What each table is, in one line."""
    import tomllib

    return {name: str(tomllib.loads(table_text(name)).get("title", "")) for name in table_names()}


def complete_table(incomplete: str) -> list[str]:
    """The names of the tables, for the shell."""
    return [name for name in table_names() if name.startswith(incomplete)]
