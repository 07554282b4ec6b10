"""A block of shell, command by command."""

from __future__ import annotations

import glob
import importlib.util
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from clipcodec.cli import main

from .prepared import prepare

# Words that begin a command which needs more than this checkout, and what it would do.
ELSEWHERE = {
    "apt": "installs packages", "apt-get": "installs packages", "brew": "installs packages",
    "conda": "installs packages", "pip": "installs packages", "pipx": "installs packages",
    "uv": "installs packages", "uvx": "installs packages", "venv": "installs packages",
    "aws": "needs a network", "curl": "needs a network", "git": "needs a network",
    "ssh": "needs a network", "docker": "needs a network", "nox": "takes minutes",
    "pre-commit": "needs a network", "pytest": "takes minutes",
}  # fmt: skip
NOT_EVERYWHERE = {"exiftool"}  # a program that may not be installed
MODULES = (  # of Python, that may not be installed
    "sentence_transformers", "lancedb", "qdrant_client", "polars",
)  # fmt: skip
NAMED = {  # in a command, or in Python: what it needs
    re.compile(r"\b(s3|gs|hdfs)://"): "needs object storage",
    re.compile(r"\b(DATA|IMAGES)\b|--download"): "needs data sets of gigabytes",
    re.compile(r"docs/render.py"): "writes the pages",
}
SPECIAL = set("|&;<>()$`{}")
EXIT = re.compile(r"#.*\bexit(?:s with)?(?: code)? (\d+)")
EXISTS = re.compile(r"(\S+) (?:already )?exists\b.*(?:-f\b|overwrite=True)")
SECONDS = 120
MATCHES = 3  # files of a pattern: as good as all, and quicker


class CommandError(Exception):
    """A command ended with another exit code than the page says."""


def commands(code: str) -> list[str]:
    """The commands of a block, with their comments; all in one if they only make sense together."""
    joined = re.sub(r"\\\n\s*", "", code)
    found = [line for line in joined.splitlines() if line.strip() and line.lstrip()[0] != "#"]
    together = any(
        re.match(r"(cd|export|source|\.|set|for|while|if|function) |\w+=\S* *$|.*<<", line)
        for line in found
    )
    return [joined] if together else found


def elsewhere(command: str) -> str | None:
    """Why a command is not run here; None if it is."""
    for part in re.split(r"[|&;]+|\n", command):
        words = part.split()
        if (
            words[:2]
            and words[0].rpartition("/")[2] in ("python", "python3")
            and "-m" in words[1:2]
        ):
            words = words[2:]
        name = words[0].rpartition("/")[2] if words else ""
        if name in ELSEWHERE:
            return f"{name} {ELSEWHERE[name]}"
        if name in NOT_EVERYWHERE and shutil.which(name) is None:
            return f"{name} is not installed"
    return named(command)


def named(code: str) -> str | None:
    """What code names that is not here; None if it names no such thing."""
    for module in MODULES:
        if module in code and importlib.util.find_spec(module) is None:
            return f"{module} is not installed"
    return next((why for pattern, why in NAMED.items() if pattern.search(code)), None)


def run(command: str, folder: Path, programs: dict[str, str]) -> None:
    """Run one command in `folder`, where the files that it names are.

    programs  environment of programs that are started

    A command that would only overwrite what one before it has made is run again with -f: a block
    often shows several ways to make the same file. Raises CommandError.
    """
    prepare(_without_comment(_without_outputs(command)), folder)
    expected = EXIT.search(command)
    code, said = _once(command, folder, programs)
    if code and not expected and EXISTS.search(said):
        code, said = _once(f"{_without_comment(command)} -f", folder, programs)
    if code != int(expected[1] if expected else 0):
        raise CommandError(f"exit code {code}\n{said.strip()}")


def _once(command: str, folder: Path, programs: dict[str, str]) -> tuple[int, str]:
    """The exit code, and what it said on standard error."""
    words = _words(command, folder)
    if words is None or words[0] != "clipcodec":
        return _in_shell(command, folder, programs)
    return _in_process(words[1:])


def _without_comment(command: str) -> str:
    return re.sub(r"(^|\s)#[^'\"]*$", "", command)


def _without_outputs(command: str) -> str:
    """The command without the names of what it makes."""
    return re.sub(r" (-o|--out|--output|--index|--keep|>)[ =]*\S+", " ", command)


def _words(command: str, folder: Path) -> list[str] | None:
    """The words of a command as a shell gives them to a program; None if it needs a real shell."""
    try:
        raw = _split(command)
    except ValueError:
        return None
    found: list[str] = []
    for word in raw:
        if word[0] not in "'\"" and SPECIAL & set(word):
            return None
        if word[0] not in "'\"" and set("*?[") & set(word):
            found += sorted(glob.glob(word, root_dir=folder))[:MATCHES] or [word]
        else:
            found += shlex.split(word)
    return found


def _split(command: str) -> list[str]:
    """Words with their quotes, without the comment."""
    lexer = shlex.shlex(command, posix=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    words = list(lexer)
    ends = [at for at, word in enumerate(words) if word.startswith("#")]
    return words[: ends[0]] if ends else words


def _in_process(arguments: list[str]) -> tuple[int, str]:
    said = io.BytesIO()
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    errors = io.TextIOWrapper(said, "utf-8", write_through=True)
    code: object
    with (
        redirect_stdout(out),
        redirect_stderr(errors),
        patch("clipcodec.web.server.serve", lambda *_: None),  # `browse` would wait for a reader
        patch("webbrowser.open", lambda *_: True),
    ):
        try:
            code = main(arguments)
        except SystemExit as stop:
            code = stop.code
    status = code if isinstance(code, int) else int(code is not None)
    return status, said.getvalue().decode("utf-8", "replace")


def _in_shell(command: str, folder: Path, programs: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", command],
        cwd=folder, env={**os.environ, **programs}, stdin=subprocess.DEVNULL, capture_output=True,
        timeout=SECONDS, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr.decode("utf-8", "replace")


def write_programs(folder: Path, root: Path) -> dict[str, str]:
    """`clipcodec` and `python` as programs in `folder`, with the stand-in; their environment."""
    folder.mkdir()
    starts = {
        "clipcodec": "-m tests.helpers.stand_in -m clipcodec",
        "python": "",
        "python3": "",
    }
    for name, start in starts.items():
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {start} "$@"\n', "utf-8")
        program.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"
    return {"PATH": path, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
