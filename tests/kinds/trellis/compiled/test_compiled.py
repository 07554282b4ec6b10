"""When the compiled loops are loaded, and what is said where they are not."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from types import SimpleNamespace

import pytest

from clipcodec.kinds.trellis import compiled
from tests.helpers.paths_of_loops import needs_numba

HOUR = 3600.0


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process, but for what is imported already."""
    monkeypatch.delenv(compiled.VARIABLE, raising=False)
    for name, value in (("_loops", None), ("_reason", None), ("_spent", 0.0)):
        monkeypatch.setattr(compiled, name, value)


def numba_is(monkeypatch: pytest.MonkeyPatch, found: object) -> None:
    """None: as if it were not installed."""
    monkeypatch.setitem(sys.modules, "numba", found)


@needs_numba
def test_they_are_loaded_when_the_plain_path_has_taken_long_enough() -> None:
    assert compiled.loops(0.1) is None
    assert compiled.loops(0.1) is None
    assert compiled.loops(HOUR) is not None
    assert compiled.loops(0.0) is not None


@needs_numba
def test_always_loads_them_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compiled.VARIABLE, "always")
    assert compiled.loops(0.0) is not None
    assert compiled.state().startswith("by numba ")


def test_never_does_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compiled.VARIABLE, "never")
    assert compiled.loops(HOUR) is None
    assert "never" in compiled.state()


def test_without_numba_nothing_is_said_unless_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numba_is(monkeypatch, None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compiled.loops(HOUR) is None
    assert compiled.state() == "not used: numba is not installed (pip install 'clipcodec[fast]')"


def test_without_numba_always_says_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    numba_is(monkeypatch, None)
    monkeypatch.setenv(compiled.VARIABLE, "always")
    with pytest.warns(RuntimeWarning, match="numba is not installed.*results are the same"):
        assert compiled.loops(0.0) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compiled.loops(HOUR) is None


def test_a_numba_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    numba_is(monkeypatch, SimpleNamespace(__version__="0.59.1"))
    with pytest.warns(RuntimeWarning, match=r"numba 0.59.1 is too old: at least 0.60"):
        assert compiled.loops(HOUR) is None


def test_a_numba_that_cannot_compile_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor that LLVM does not know, or beside a NumPy that is too new."""
    numba_is(monkeypatch, SimpleNamespace(__version__="9.0"))
    monkeypatch.setattr(compiled, "LOOPS", "tests.kinds.trellis.compiled.broken_loops")
    with pytest.warns(RuntimeWarning, match=r"cannot be used \(OSError: no such processor\)"):
        assert compiled.loops(HOUR) is None


RUN = """
import warnings, clipcodec, numpy as np
from clipcodec.kinds.trellis import compiled
x = np.random.default_rng(0).normal(size=(8, 512)).astype(np.float32)
streams = clipcodec.encode_embeddings(x)
back = clipcodec.decode_batch(streams)
STATE
print(state, b"".join(streams).hex()[:40], back.sum())
"""


def run(mode: str, state: str = "state = compiled.state().split()[0]") -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN.replace("STATE", state)],
        env=os.environ | {compiled.VARIABLE: mode},
        capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    return done.stdout.split()


@needs_numba
def test_a_process_has_the_same_bytes_with_and_without_them() -> None:
    plain, fast = run("never"), run("always")
    assert plain[1:] == fast[1:]
    assert (plain[0], fast[0]) == ("not", "by")


@needs_numba
def test_coding_a_little_does_not_load_numba() -> None:
    assert run("auto", "import sys; state = 'numba' in sys.modules")[0] == "False"
