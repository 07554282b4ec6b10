"""Result files: what was measured, and all that is needed to know whether it still holds.

A result file is JSON: `command`, and a list of `points`. A point has what its study measured, and

    key       names it within the file
    code      digest of the code and weights that decide its numbers, as `code_digest` makes it
    data      digest of what it was measured on
    sample    digest of the first results, if a few of them can be made anew; see `evaluate`
    made      date, Python, package versions and machine
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from ..errors import OptionError
from ..system.files import write_atomic

FORMAT = "clipcodec results 1"
PACKAGE = Path(__file__).resolve().parents[1]
Point = dict[str, Any]
_DESCRIBED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_SHOWING = ("__repr__", "__dir__")  # methods that decide what an interpreter shows, and no result
_VERSIONS = (
    "clipcodec", "numpy", "constriction", "safetensors", "torch", "open_clip_torch", "faiss-cpu",
    "Pillow", "compressai", "scipy",
)  # fmt: skip


class Results:
    """The points of one result file, in the order in which they were added; saved one by one.

    path  of the file; None: they are kept in memory alone
    """

    def __init__(self, path: Path | None, command: str, points: Iterable[Point] = ()) -> None:
        self.path, self.command = path, command
        self.points = {str(point["key"]): point for point in points}

    @classmethod
    def load(cls, path: Path, command: str | None = None) -> Results:
        """Read a result file; a file that is missing has no points if a command is given.

        Raises OptionError naming a file that is no result file, or OSError.
        """
        if command is not None and not path.exists():
            return cls(path, command)
        try:
            content = json.loads(path.read_text("utf-8"))
            if content["format"] != FORMAT:
                raise ValueError(f"format {content['format']!r}, expected {FORMAT!r}")
            return cls(path, command or content["command"], content["points"])
        except (ValueError, LookupError, TypeError) as error:
            raise OptionError(f"{path} is not a result file: {error}") from error

    def add(self, point: Mapping[str, Any]) -> None:
        """Add a point, or put it in the place of the one with its key, and save the file.

        It is said to be made now, unless it says itself when.
        """
        self.points[str(point["key"])] = {"made": made(), **point}
        self.save()

    def keep_only(self, keys: Sequence[str]) -> None:
        """Drop points that are not among `keys`, and bring the others into this order."""
        self.points = {key: self.points[key] for key in keys if key in self.points}
        self.save()

    def save(self) -> None:
        if self.path is None:
            return
        lines = [json.dumps(point, ensure_ascii=False) for point in self.points.values()]
        head = f'{{"format": {json.dumps(FORMAT)},\n "command": {json.dumps(self.command)},\n'
        text = head + ' "points": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self.path, text.encode(), overwrite=True)


def code_digest(modules: Sequence[str], weights: str = "", root: Path = PACKAGE) -> str:
    """A digest of the code of modules, and of weights, in hex; layout and words do not count.

    modules  globs from `root`, the package's folder; each must match a file
    weights  any text that stands for the weights, such as their SHA-256

    Comments, docstrings, empty lines, and functions called `__repr__` or `__dir__` are left out, so
    that a better explanation makes no result look old.
    """
    found = hashlib.sha256(weights.encode())
    for pattern in modules:
        paths = sorted(root.glob(pattern))
        if not paths:
            raise OptionError(f"no module matches {pattern!r} in {root}")
        for path in paths:
            found.update(path.relative_to(root).as_posix().encode())
            found.update(_code(path, path.stat().st_mtime_ns))
    return found.hexdigest()[:16]


@lru_cache(maxsize=512)
def _code(path: Path, _changed: int) -> bytes:
    source = path.read_text("utf-8")
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, _DESCRIBED):
            continue
        if isinstance(node, ast.FunctionDef) and node.name in _SHOWING:
            first = min([node.lineno, *(part.lineno for part in node.decorator_list)])
            assert node.end_lineno is not None
            lines[first - 1 : node.end_lineno] = [""] * (node.end_lineno - first + 1)
        elif ast.get_docstring(node, clean=False) is not None:
            words = node.body[0]
            assert words.end_lineno is not None
            lines[words.lineno - 1 : words.end_lineno] = [""] * (
                words.end_lineno - words.lineno + 1
            )
    code = [line.strip() for line in lines if not re.match(r"\s*(#|$)", line)]
    return "\n".join(re.sub(r"\s+#\s.*", "", line) for line in code).encode()


def made() -> dict[str, Any]:
    """When, and with what, a point is measured."""
    versions = {"python": platform.python_version()}
    for name in _VERSIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": machine(),
        "versions": versions,
    }


def machine() -> str:
    """Processor, number of cores and system, as text."""
    try:
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text("utf-8"))
    except OSError:
        found = None
    processor = found[1] if found else platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{processor}, {cores} cores, {platform.system()}"
