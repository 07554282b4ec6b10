"""Fresh interpreters, real commands, and the threads of matrix products."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcodec

PACKAGE = Path(clipcodec.__file__).parents[1]  # the folder to import clipcodec from
ONE_THREAD: dict[str, Any] = {"OMP_NUM_THREADS": "1"}  # see profiles.one_torch_thread
MAIN = "\nimport sys\nfrom clipcodec.cli import main\nsys.exit(main())\n"  # the command, as code


def run(*args: object, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
    """`clipcodec ARGS`, with `stdin` as its input."""
    return subprocess.run(
        [sys.executable, "-m", "clipcodec", *map(str, args)],
        input=stdin, capture_output=True, timeout=300, check=False, env={**os.environ, **env},
    )  # fmt: skip


def exit_code(*args: object) -> object:
    """That of `clipcodec ARGS`, run in this process: no start of Python, which takes longer."""
    from clipcodec.cli import main

    try:
        return main([*map(str, args)])
    except SystemExit as stop:
        return stop.code


def caller(capture: pytest.CaptureFixture[bytes]) -> Callable[..., tuple[object, str, str]]:
    """Runs a command as `exit_code` does: its exit code, stdout and stderr."""

    def call(*args: object) -> tuple[object, str, str]:
        code = exit_code(*args)
        told = capture.readouterr()
        assert b"Traceback" not in told.err
        return code, told.out.decode(), told.err.decode()

    return call


def blas_threads() -> list[int]:
    """How many threads a product takes in the library that numpy brings, if it brings one."""
    threadpoolctl = pytest.importorskip("threadpoolctl")
    np.ones((4, 4)) @ np.ones((4, 4))
    pools = threadpoolctl.threadpool_info()
    return [pool["num_threads"] for pool in pools if "numpy" in pool["filepath"]]


@contextmanager
def products_of_two_threads() -> Iterator[None]:
    """Meanwhile a product takes two threads, whatever the machine and the environment say."""
    with pytest.importorskip("threadpoolctl").threadpool_limits(2, user_api="blas"):
        yield
