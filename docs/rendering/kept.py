"""The kept results, and how their numbers are written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from clipcodec.errors import ClipcodecError
from clipcodec.evaluation.results import Point, Results

MAIN = "embeddings"  # the main result file
OURS = "openai-vit-b-32/predictive"
L14 = "openai-vit-l-14-336/predictive"
UNTRAINED = "any/rotation"
PQVAE = "openai-vit-b-32/pqvae-"
BITS = (400, 600, 800, 1000, 1200, 2000)  # the rates of arXiv 2509.05925, Table 1
TASKS = {  # of each set, the one measure of accuracy that the pages show: its name on a page
    ("imagenet", "top1"): "zero-shot",
    ("oxford_flowers", "prototype"): "flowers",
    ("ucf101", "prototype"): "ucf",
    ("fgvc", "prototype"): "fgvc",
}


MAKERS = {  # of result files that are no study of the report
    "pixels": "-m clipcodec.evaluation.pixels",
    "scale": "tests/bench/scale.py peers DATA", "million": "tests/bench/scale.py million DATA",
    "beside": "tests/bench/scale.py beside DATA", "products": "tests/bench/products.py DATA",
    "search": "tests/bench/search.py recall DATA`, `… peers DATA` and `… speed DATA",
    "effort": "tests/bench/effort.py DATA", "pointing": "tests/bench/pointing.py DATA",
    "overhead": "tests/bench/overhead.py DATA", "speed": "tests/bench/speed.py",
    "corruption": "tests/bench/corruption.py", "words": "tests/bench/words.py",
    "install": "tests/bench/install.py", "service": "tests/bench/service.py",
    "any_model": "tests/bench/any_model.py DATA",
}  # fmt: skip


class Missing(Exception):
    """A result that a page needs is not there; the text says which, and what makes it."""


class Kept:
    """The result files of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results: Callable[[str], Results] = cache(self._read)

    def _read(self, name: str) -> Results:
        path = self.folder / f"{name}.json"
        if not path.exists():
            made = MAKERS.get(name, f"-m clipcodec.evaluation.report DATA --only {name}")
            if made.startswith("-m"):
                made += f" -o docs/results{'' if 'report' in made else f'/{path.name}'}"
            raise Missing(f"{path.name} is not there: run `python {made}`")
        try:
            return Results.load(path)
        except ClipcodecError as error:
            raise Missing(str(error)) from error

    def points(self, name: str = MAIN) -> list[Point]:
        """All points of a file, in its order."""
        return list(self.results(name).points.values())

    def point(self, key: str, name: str = MAIN) -> Point:
        """The point with this key."""
        results = self.results(name)
        if key not in results.points:
            raise Missing(f"{name}.json has no point {key!r}")
        return results.points[key]

    def value(self, key: str, field: str, name: str = MAIN) -> float:
        """A number of a point; fields inside others are named with dots: sets.imagenet.top1."""
        return float(field_of(self.point(key, name), field, name))

    def ours(self, size: float, field: str, target: str = "max_bytes") -> float:
        """A number of the default profile at this size."""
        return self.value(f"{OURS}@{target}={size:g}", field)

    def lost(self, key: str, task: tuple[str, str] = ("imagenet", "top1")) -> float:
        """Points of accuracy lost in a task, against uncompressed embeddings."""
        field = f"sets.{task[0]}.{task[1]}"
        return 100 * (self.value("original", field) - self.value(key, field))

    def neighbours(self, key: str, name: str = MAIN) -> float:
        """Share of the ten nearest neighbours kept, the mean of all sets."""
        sets = self.point(key, name)["sets"].values()
        return float(sum(data["neighbours"] for data in sets) / len(sets))

    def ladder(self, profile: str = OURS, target: str = "max_bytes") -> list[int]:
        """The sizes at which a profile was measured with this target, in ascending order."""
        start = f"{profile}@{target}="
        keys = [key for key in self.results(MAIN).points if key.startswith(start)]
        sizes = sorted(int(key[len(start) :]) for key in keys if key[len(start) :].isdigit())
        if not sizes:
            raise Missing(f"{MAIN}.json has no point {start}…")
        return sizes


def field_of(point: Point, field: str, name: str = MAIN) -> Any:
    """A field of a point; those inside others are named with dots."""
    found: Any = point
    for part in field.split("."):
        if not isinstance(found, dict) or part not in found:
            raise Missing(f"{name}.json: point {point['key']!r} has no {field}")
        found = found[part]
    return found


def digest(drawn: object) -> str:
    """A digest of the numbers that a figure is drawn from."""
    text = json.dumps(drawn, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# How numbers are written


def cosine(value: float, places: int = 4) -> str:
    """.9735, and 1 for what is 1 to this precision."""
    text = f"{value:.{places}f}"
    return "1" if text.startswith("1") else text.removeprefix("0")


def short_cosine(value: float) -> str:
    """.974; from .999 on with four places."""
    return cosine(value, 3 if value < 0.999 else 4)


def percent(value: float, places: int = 1) -> str:
    """81.1, of a share."""
    return f"{100 * value:.{places}f}"


def size(value: float) -> str:
    """49.0, 2,048: bytes; a whole number from a thousand on."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}"


def whole(value: float) -> str:
    """10,979."""
    return f"{value:,.0f}"


def words(number: int) -> str:
    """one … ten."""
    names = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    return names[number] if number < len(names) else str(number)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
