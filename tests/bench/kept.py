"""What all benchmarks here share: arguments, the result file, the table that is printed.

A benchmark NAME.py writes docs/results/NAME.json, or the file of `-o`; with `--no-file` it only
prints. Its points have, beside what `clipcodec.evaluation.results` says:

    command           what was run
    modules, weights  of which `code` is the digest
    script            digest of the benchmark itself
    times             true: figures of speed, which a change of code does not make wrong
    load, threads     of the machine when the point was made, for times

`stale` names the points that a change of code has made old; those of times are never old.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clipcodec.evaluation.codecs import OUR_CODE
from clipcodec.evaluation.results import Results, code_digest, machine
from clipcodec.evaluation.sets import EmbeddingSet, load_sets
from clipcodec.profile.registry import by_name

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parents[1] / "docs" / "results"
SETS_CODE = ("evaluation/metrics.py", "evaluation/sets.py")
__all__ = ["OUR_CODE", "SETS_CODE"]

_DATA = """

DATA is a folder of sets of embeddings and of training rows, as clipcodec.evaluation.sets describes
them: imagenet.safetensors, test_*.safetensors, train*.safetensors."""


def parser(doc: str | None, *, data: bool = False) -> argparse.ArgumentParser:
    """Arguments that all have; with `data` also the folder of embeddings."""
    made = argparse.ArgumentParser(
        description=(doc or "") + (_DATA if data else ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_common(made, data=data)
    return made


def add_common(made: argparse.ArgumentParser, *, data: bool) -> None:
    if data:
        made.add_argument("data", type=Path, metavar="DATA")
    made.add_argument("-o", "--output", type=Path, metavar="FILE",
                      help="result file; default docs/results/NAME.json")  # fmt: skip
    made.add_argument("--no-file", action="store_true", help="only print")


class Kept:
    """The result file of one benchmark, and the table of what is put into it.

    name   of the script; `file` is the name of its result file, where that is another
    study  a part of the file that is made by itself, by a verb of the script
    verbs  all verbs that make the file, if there are several
    """

    def __init__(
        self, name: str, args: argparse.Namespace, *, study: str = "", verbs: str = "",
        file: str = "",
    ) -> None:  # fmt: skip
        self.name, self.study = name, study
        data = getattr(args, "data", None)
        self.command = _command(name, sys.argv[1:], data)
        self.script = script_digest(name)
        self.results: Results | None = None
        if not args.no_file:
            path = args.output or RESULTS / f"{file or name}.json"
            words = ["python", f"tests/bench/{name}.py", verbs or study, "DATA" if data else ""]
            self.results = Results.load(path, " ".join(filter(None, words)))
        self._keys: list[str] = []
        self._columns: list[str] = []
        print(f"{machine()}, numpy {np.__version__}, load {_load()}")

    def add(
        self,
        key: str,
        figures: Mapping[str, Any],
        *,
        data: str,
        modules: Sequence[str],
        weights: str = "",
        times: bool = False,
        **names: Any,
    ) -> None:
        """Keep a point, and print it. `names` say what it is, beside its key."""
        self._print(key, figures)
        key = f"{self.study}: {key}" if self.study else key
        self._keys.append(key)
        point: dict[str, Any] = {"key": key, **names}
        if self.study:
            point["study"] = self.study
        point |= {name: rounded(value) for name, value in figures.items()}
        point |= {
            "command": self.command, "code": code_digest(modules, weights),
            "modules": list(modules), "weights": weights, "script": self.script, "data": data,
        }  # fmt: skip
        if times:
            point |= {"times": True, "load": _load(), "threads": os.environ.get("OMP_NUM_THREADS")}
        if self.results is not None:
            self.results.add(point)

    def finish(self) -> None:
        """Drop points of this study that earlier runs made, and this one did not."""
        if self.results is None:
            return
        others = [
            key for key, point in self.results.points.items()
            if point.get("study", "") != self.study
        ]  # fmt: skip
        self.results.keep_only([*others, *self._keys])
        print(f"\n{self.results.path}")

    def _print(self, key: str, figures: Mapping[str, Any]) -> None:
        shown = {name: value for name, value in figures.items() if not isinstance(value, Mapping)}
        if [*shown] != self._columns:
            self._columns = [*shown]
            print("\n" + " " * 58 + "".join(f"  {name:>9}" for name in shown))
        cells = (f"  {_text(value):>{max(9, len(name))}}" for name, value in shown.items())
        print(f"{key:<58}" + "".join(cells), flush=True)


def script_digest(name: str) -> str:
    return code_digest([f"{name}.py"], root=HERE)


def stale(path: Path) -> list[str]:
    """Keys of points in a result file that were made by other code than today's; see the module."""
    return [
        key for key, point in Results.load(path).points.items()
        if not point.get("times") and (
            point["code"] != code_digest(point["modules"], point["weights"])
            or point["script"] != script_digest(point["command"].split("/")[2].split(".")[0])
        )
    ]  # fmt: skip


def sets_of(folder: Path, rows: int | None = None) -> tuple[list[EmbeddingSet], str]:
    """The sets of a folder, of each at most `rows` images, and a digest of them."""
    sets = [part if rows is None else part.first(rows) for part in load_sets([folder])]
    return sets, hashlib.sha256("".join(part.digest for part in sets).encode()).hexdigest()


def weights_of(*profiles: str) -> str:
    """What stands for the weights of profiles."""
    return " ".join(by_name(name).digest.hex() for name in profiles)


def digest(*arrays: np.ndarray) -> str:
    """SHA-256 of arrays, in hex."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def rounded(value: Any) -> Any:
    """Numbers of six digits, in mappings, too; what is no number stays."""
    if isinstance(value, Mapping):
        return {name: rounded(part) for name, part in value.items()}
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.6g}")
    return int(value) if isinstance(value, np.integer) else value


def _text(value: Any) -> str:
    if not isinstance(value, (float, np.floating)):
        return f"{value:,}" if isinstance(value, int) else str(value)
    size = abs(float(value))
    return f"{value:,.{4 if size < 10 else 2 if size < 100 else 1 if size < 1000 else 0}f}"


def _load() -> float | None:
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None


def _command(name: str, given: Sequence[str], data: Path | None) -> str:
    """The command as the documentation says it: without the machine's paths."""
    shown, skip = [], False
    for word in given:
        if not skip and word not in ("-o", "--output") and not word.startswith("--output="):
            shown.append("DATA" if data is not None and word == str(data) else word)
        skip = word in ("-o", "--output")
    return " ".join(["python", f"tests/bench/{name}.py", *shown])
