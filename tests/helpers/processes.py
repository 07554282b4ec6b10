"""Fresh interpreters and real commands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
