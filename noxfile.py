"""The daily commands, one session each: `nox -l` lists them, `nox -s fast` runs one.

Arguments after `--` go to the command: `nox -s fast -- tests/entropy -x`. `.ci/run` runs the same
commands without nox.
"""

from __future__ import annotations

import nox

nox.options.sessions = ["lint", "docs", "vectors", "fast"]
nox.options.reuse_existing_virtualenvs = True

# what turns bytes into symbols: these files must be covered by tests to 95 %
EXACT = (
    "clipcodec/bitstream.py,clipcodec/stream.py,clipcodec/columns.py,clipcodec/profile/file.py,"
    "clipcodec/entropy/*,clipcodec/kinds/*"
)
PYTEST = ("pytest", "-n", "auto", "--dist", "loadfile")  # on all processors


def develop(session: nox.Session) -> None:
    session.install("-e", ".[dev]")
    session.env["HF_HUB_OFFLINE"] = "1"  # no test may need the network


@nox.session
def test(session: nox.Session) -> None:
    """All tests, with coverage."""
    develop(session)
    session.run(*PYTEST, "--cov=clipcodec", "--cov-report=", *session.posargs)
    session.run("coverage", "report", "--show-missing")
    if not session.posargs:
        session.run("coverage", "report", "--fail-under=95", f"--include={EXACT}", silent=True)


@nox.session
def fast(session: nox.Session) -> None:
    """The tests that are not marked slow: two minutes."""
    develop(session)
    session.run(*PYTEST, "-m", "not slow", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, layout and types."""
    develop(session)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session
def vectors(session: nox.Session) -> None:
    """Every vector of formats/, with nothing installed but what decoding needs."""
    session.install("--no-deps", ".", "numpy", "constriction<0.6", "safetensors")
    session.run("python", "formats/tools/check_vectors.py")
    session.run("python", "formats/tools/check_containers.py")
    decoder = "formats/reference/decoder.py"  # -I -S: it must need the standard library only
    session.run("python", "-I", "-S", decoder, "683c0434324a8802")


@nox.session
def fuzz(session: nox.Session) -> None:
    """Damaged inputs, for two minutes; longer: `nox -s fuzz -- --inputs 1000000 --seed 2`."""
    develop(session)
    options = session.posargs or ["--inputs", "8000", "--seed", "1", "--jobs", "2"]
    session.run("python", "-m", "tests.fuzz", *options)


@nox.session
def report(session: nox.Session) -> None:
    """Measure again what changed: `nox -s report -- DATA`; all of it takes most of an hour."""
    session.install("-e", ".[evaluation]")
    options = session.posargs or ["--help"]
    session.run("python", "-m", "clipcodec.evaluation.report", "-o", "docs/results", *options)


@nox.session
def release(session: nox.Session) -> None:
    """Whether a release could be made; `-- --light` makes one, `-- --help` says how."""
    session.install("-e", ".[release]")
    session.run("python", "tests/releases/release.py", *(session.posargs or ["--check"]))


@nox.session
def docs(session: nox.Session) -> None:
    """Links between pages, and the code in them."""
    session.run("python", "docs/check.py")


@nox.session
def site(session: nox.Session) -> None:
    """The documentation site, into site/; `nox -s site -- --serve` shows it while you write."""
    project = nox.project.load_toml("pyproject.toml")["project"]
    session.install(*project["optional-dependencies"]["docs"])  # the code is read, not installed
    session.run("python", "docs/build_site.py", *session.posargs)


@nox.session
def results(session: nox.Session) -> None:
    """Tables, figures and sentences of the pages from docs/results; `-- --check` only compares."""
    session.install("-e", ".", "matplotlib>=3.8")
    session.run("python", "docs/render.py", *session.posargs)
