# /// script
# requires-python = ">=3.11"
# dependencies = ["nox[uv]>=2025.2.9"]
# ///
"""Everything one does with a checkout: `python3 -m pip install nox`, then `python3 -m nox -s SESSION`.

Each session keeps its own virtual environment under `.nox` and installs into it only when the declared
dependencies changed. The block at the top has nox bring uv, whose cache holds torch once for all of them.
"""

import os
import shlex
import shutil
import tarfile
import zipfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["lint", "types", "tests"]

ROOT = Path(__file__).parent
VERSION = (ROOT / "VERSION").read_text().strip()
PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")

CORE, MODELS, DATA, EVAL, CLI = ALL = (
    "packages/tnprior-core",
    "packages/tnprior-models",
    "packages/tnprior-data",
    "packages/tnprior-eval",
    "cli",
)
EXTRAS = {MODELS: "[tensorboard]", CLI: "[tensorboard]"}
# What each package declares to need of this checkout: the registry does not have it.
NEEDS = {CORE: (), MODELS: (CORE,), DATA: (), EVAL: (), CLI: (CORE, MODELS, DATA, EVAL)}
SOURCES = [f"{package}/src" for package in ALL]
# Those marked gpu name their devices themselves.
ON_DEVICE = ("-m", "not slow and not gpu", "--device", "cuda")
# Those that compute with tensors; data sets are read on the CPU, and `tnp` finds a CUDA device by itself.
TENSOR_TESTS = (f"{CORE}/tests", f"{MODELS}/tests", f"{EVAL}/tests")


def group(*names: str) -> list[str]:
    """Requirements of the dependency groups of the root pyproject.toml."""
    return list(nox.project.dependency_groups(PYPROJECT, *names)) if names else []


def module_of(package: str) -> str:
    """The import name of a package folder: packages/tnprior-core -> tnprior_core."""
    return f"tnprior_{Path(package).name.removeprefix('tnprior-')}"


def editable(*packages: str, extras: dict[str, str] | None = None) -> list[str]:
    """Installer arguments for packages of this checkout, such that edits need no reinstallation."""
    return [word for package in packages for word in ("-e", f"./{package}{(extras or {}).get(package, '')}")]


def install(session: nox.Session, *requirements: str) -> None:
    """Install into the session's environment, unless it already holds exactly these declarations."""
    if not session.virtualenv.is_sandboxed:  # --no-venv: somebody brings an environment of their own
        return
    projects = [ROOT.joinpath(package, "pyproject.toml").read_text() for package in ALL]
    declared = "\n".join([*requirements, VERSION, *projects])
    stamp = Path(session.virtualenv.location, "declared.txt")
    if stamp.is_file() and stamp.read_text() == declared:
        session.log("the environment is up to date")
        return
    session.install(*requirements)
    stamp.write_text(declared)


def install_everything(session: nox.Session, *groups: str) -> None:
    """All five packages with their extras, plain torch and torchvision from the registry, and tools."""
    install(session, *editable(*ALL, extras=EXTRAS), *group(*groups))


def threads(workers: int) -> dict[str, str]:
    """Share the cores among the workers: each starts its own pool, and oversubscribed pools crawl."""
    each = os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
    return {"OMP_NUM_THREADS": each, "MKL_NUM_THREADS": each}


def run_tests(session: nox.Session, *options: str) -> None:
    """Run pytest on all cores, up to four; a file stays on one worker, which pays its fixtures once."""
    workers = min(os.cpu_count() or 1, 4)
    session.run(
        *("python", "-m", "pytest", "-n", str(workers), "--dist", "loadfile", *options, *session.posargs),
        env=threads(workers),
    )


@nox.session
def tests(session: nox.Session) -> None:
    """The default suite: all packages together in one environment."""
    install_everything(session, "test", "oracles")
    run_tests(session, "-m", "not slow")


@nox.session
def slow(session: nox.Session) -> None:
    """The tests that take minutes: training to a bar, killing runs, real data."""
    install_everything(session, "test", "oracles")
    run_tests(session, "-m", "slow")


@nox.session
def gpu(session: nox.Session) -> None:
    """The tests marked gpu and all tensor tests on a CUDA device, then the benchmark on it."""
    install_everything(session, "test", "oracles", "bench")
    seen = session.run("python", "-c", "import torch; print(torch.cuda.is_available())", silent=True)
    if "True" not in str(seen):
        session.error("torch sees no CUDA device here; `nox -s simulated` runs those tests without one")
    session.run("python", "-m", "pytest", "-m", "gpu", *session.posargs)
    session.run("python", "-m", "pytest", *ON_DEVICE, *TENSOR_TESTS, *session.posargs)
    session.run("python", "-m", "benchmarks", "--device", "cuda")


@nox.session
def simulated(session: nox.Session) -> None:
    """Tensor tests, and `tnp`, on a CUDA device that the CPU plays: it has a device's rules, not its kernels."""
    install_everything(session, "test", "oracles")
    run_tests(session, *ON_DEVICE, *TENSOR_TESTS)
    run_tests(session, "-m", "not slow", "--simulated", f"{CLI}/tests")


@nox.session
def lint(session: nox.Session) -> None:
    """Style: ruff's checks and its formatter."""
    install(session, *group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Types: mypy, strict, on the sources of every package."""
    install_everything(session, "types")
    session.run("mypy", *SOURCES)


@nox.session
@nox.parametrize("package", ALL, ids=[Path(package).name.removeprefix("tnprior-") for package in ALL])
def isolated(session: nox.Session, package: str) -> None:
    """One package alone, with nothing but what it declares, passes its own tests."""
    install(session, *editable(*NEEDS[package], package), *group("test"))
    run_tests(session, "-m", "not slow", f"{package}/tests")


@nox.session
def wheels(session: nox.Session) -> None:
    """Build all five, look inside, install them with plain pip into a fresh environment, and use them."""
    install(session, *group("build"))
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    for package in ALL:
        session.run("python", "-m", "build", "--no-isolation", "--outdir", str(dist), package, silent=True)
        check_distributions(session, dist, package)
    fresh = Path(session.create_tmp(), "fresh")
    session.run("python", "-m", "venv", "--clear", str(fresh))
    try_installation(session, fresh, *map(str, sorted(dist.glob("*.whl"))))
    try_installation(session, fresh, "--force-reinstall", "--no-deps", *(f"./{package}" for package in ALL))


def try_installation(session: nox.Session, environment: Path, *arguments: str) -> None:
    """Install with the environment's pip, as the README says; every package imports, `tnp` answers."""
    python, tnp = environment / "bin" / "python", environment / "bin" / "tnp"
    session.run(str(python), "-m", "pip", "install", "--quiet", *arguments, external=True)
    session.run(str(python), "-c", f"import {', '.join(map(module_of, ALL))}", external=True)
    session.run(str(tnp), "--version", external=True)


def check_distributions(session: nox.Session, dist: Path, package: str) -> None:
    """Both archives carry the version, the licence, the marker of typed packages and every data file."""
    module, source = module_of(package), ROOT / package / "src"
    files = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    info = f"{module}-{VERSION}.dist-info"
    with zipfile.ZipFile(dist / f"{module}-{VERSION}-py3-none-any.whl") as wheel:
        held = set(wheel.namelist())
    with tarfile.open(dist / f"{module}-{VERSION}.tar.gz") as sdist:
        packed = {member.name.split("/", 1)[1] for member in sdist.getmembers()}
    missing = {name for name in files if "__pycache__" not in name} - held
    missing |= {f"{module}/py.typed", f"{info}/licenses/LICENSE"} - held
    missing |= {"LICENSE", "README.md", "pyproject.toml", f"src/{module}/py.typed"} - packed
    foreign = {name for name in held if not name.startswith((f"{module}/", f"{info}/"))}
    if missing or foreign:
        session.error(f"{package}: missing {sorted(missing)}, foreign {sorted(foreign)}")


@nox.session
def examples(session: nox.Session) -> None:
    """Every script of examples/ runs to its end."""
    install_everything(session)
    for script in sorted((ROOT / "examples").glob("*.py")):
        session.run("python", str(script), env=threads(1))


@nox.session
def demo(session: nox.Session) -> None:
    """The README's `tnp` lines, one after the other, in demo/; ends with the pictures and tables they wrote."""
    install_everything(session)
    folder = ROOT / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    lines = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("tnp ")]
    with session.chdir(folder):
        for line in lines:
            session.run(*shlex.split(line, comments=True), env=threads(1))
    wrote = [path for path in sorted(folder.rglob("*")) if path.suffix in {".png", ".csv", ".md"}]
    shown = [path for path in wrote if path.parent.name != "images"]
    session.log("\n".join(["pictures and tables:", *(f"  {path.relative_to(ROOT)}" for path in shown)]))


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmark: how fast, against which peers, growing how."""
    install_everything(session, "bench")
    session.run("python", "-m", "benchmarks", *session.posargs)
