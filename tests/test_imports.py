"""What may be imported where: decoding needs few packages, and no module itself in a circle."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

import clipcodec
from tests.helpers.paths import ROOT

HEAVY = ["torch", "torchvision", "open_clip", "PIL", "huggingface_hub", "tqdm", "pandas", "scipy"]

BLOCK = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ImportError("blocked " + name)
sys.meta_path.insert(0, Block())
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )


def test_embeddings_encode_and_decode_without_heavy_imports() -> None:
    """In a fresh interpreter where importing torch, Pillow and the rest fails."""
    done = run(
        BLOCK + "import clipcodec, numpy as np\n"
        "x = np.random.default_rng(0).normal(size=(20, 512))\n"
        "streams = clipcodec.encode_embeddings(x)\n"
        "assert clipcodec.decode(streams[0]).shape == (512,)\n"
        "assert clipcodec.decode_batch(streams).shape == (20, 512)\n"
        "print(clipcodec.info(streams[0]).profile)\n"
    )
    assert done.returncode == 0, done.stderr
    assert "openai-vit-b-32" in done.stdout


@pytest.mark.parametrize("name", HEAVY[:4])
def test_the_block_above_can_fail(name: str) -> None:
    done = run(BLOCK + f"import {name}")
    assert done.returncode == 1
    assert f"blocked {name}" in done.stderr


def test_importing_the_package_imports_nothing_heavy() -> None:
    done = run("import clipcodec, sys; print('numpy' in sys.modules, 'torch' in sys.modules)")
    assert done.stdout.split() == ["False", "False"]


def test_help_needs_no_numpy() -> None:
    done = run(
        "import sys, clipcodec.cli as c\n"
        "try: c.main(['--help'])\n"
        "except SystemExit: print('numpy' in sys.modules)"
    )
    assert done.stdout.split()[-1] == "False"


def test_every_public_name_exists_and_has_a_docstring() -> None:
    for name in clipcodec.__all__:
        assert getattr(clipcodec, name).__doc__, name
    assert set(clipcodec.__all__) <= set(dir(clipcodec))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        clipcodec.nothing  # noqa: B018


# --- circles ---


def modules(folder: Path) -> dict[str, Path]:
    """All modules of the package in `folder`, by their full names."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path, known: Collection[str]) -> set[str]:
    """The modules of `known` that one module imports: at its top, in functions, for types alone.

    `from a import b` imports a.b where that is a module, and then counts for it alone: the names
    in a/__init__.py are not used.
    """
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                found.add(whole if whole in known else base)
    return (found & {*known}) - {name}


def circles(edges: Mapping[str, Collection[str]]) -> list[list[str]]:
    """For each name that leads back to itself, the shortest way round; each way once."""

    def round_trip(start: str) -> list[str]:
        """The shortest from `start` to itself, breadth first; [] if there is none."""
        ways, seen = [[start]], set[str]()
        for way in ways:  # grows meanwhile
            for name in sorted(edges[way[-1]]):
                if name == start:
                    return [*way, start]
                if name not in seen:
                    seen.add(name)
                    ways.append([*way, name])
        return []

    found: dict[frozenset[str], list[str]] = {}
    for name in sorted(edges):
        if names := round_trip(name):
            found.setdefault(frozenset(names), names)
    return [*found.values()]


def room(module: str) -> str:
    """The file or folder right below the package: `clipcodec.kinds` of clipcodec.kinds.base."""
    return ".".join(module.split(".")[:2])


def both_circles(folder: Path) -> tuple[list[list[str]], list[list[str]]]:
    """Between the modules of a package, and between its rooms."""
    known = modules(folder)
    edges = {name: imports(name, path, known) for name, path in known.items()}
    rooms: dict[str, set[str]] = {room(name): set() for name in known}
    for name, others in edges.items():
        rooms[room(name)] |= {room(other) for other in others} - {room(name)}
    return circles(edges), circles(rooms)


def test_no_module_and_no_room_imports_itself_in_a_circle() -> None:
    """Not even inside functions or for types."""
    between_modules, between_rooms = both_circles(Path(clipcodec.__file__).parent)
    assert [" → ".join(names) for names in between_modules] == []
    assert [" → ".join(names) for names in between_rooms] == []


def allowed(page: str) -> dict[str, set[str]]:
    """The rooms that each room may import, by the map in CONTRIBUTING.md, in its order."""
    cells = [line.split("|")[1:4] for line in page.splitlines() if re.match(r"\| `\w+[/.]", line)]
    rows = [(re.findall(r"`(\w+)(?:/|\.py)`", place), may.strip()) for place, _, may in cells]
    rows = [(names, words) for names, words in rows if names[0] not in ("formats", "tests")]
    order = [name for names, _ in rows for name in names]
    found: dict[str, set[str]] = {}
    for names, words in rows:
        named = {*re.findall(r"`(\w+)`", words)}
        if words.startswith("all but"):
            named = {*order} - named
        elif words == "all below":
            named = {*order[order.index(names[0]) :]}
        elif words == "all":
            named = {*order}
        found.update(dict.fromkeys(names, named))
    for name in reversed(order):  # from the bottom of the map up
        if name != "errors":
            through = [found[other] for other in found[name] if other in found]
            found[name] = found[name].union({"errors", "system"}, *through)
    return found


def test_rooms_import_what_the_map_allows() -> None:
    """Every room is on the map, and none imports from a room that the map does not name for it."""
    folder = Path(clipcodec.__file__).parent
    may, known = allowed((ROOT / "CONTRIBUTING.md").read_text("utf-8")), modules(folder)
    wrong = []
    for name, path in known.items():
        own = room(name).removeprefix("clipcodec").lstrip(".") or "__init__"
        if own == "__main__":
            continue
        assert own in may, f"{own} is not on the map"
        for other in imports(name, path, known):
            there = room(other).removeprefix("clipcodec").lstrip(".") or "__init__"
            if there not in {own, *may[own]}:
                wrong.append(f"{name} imports {other}")
    assert wrong == []
    assert "codec" not in may["kinds"]  # the map does forbid something
    assert "cli" not in may["api"]
    assert not may["errors"]


MADE_UP = {
    "__init__": "from .low import answer\n",
    "low": "answer = 42\n",
    "high/__init__": "",
    "high/one": "from .. import low\nfrom ..low import answer\nfrom . import two\n",
    "high/two": "import package.low\n",
}


@pytest.mark.parametrize(
    ("more", "between_modules", "between_rooms"),
    [
        ({}, [], []),
        ({"high/two": "def f():\n    from .one import x"}, ["high.one → high.two → high.one"], []),
        ({"high/two": "def f(): import package.high.one"}, ["high.one → high.two → high.one"], []),
        ({"low": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .high import one"},
         ["high.one → low → high.one", "high.two → low → high.one → high.two"],
         ["high → low → high"]),
        ({"other/a": "from ..high import two"}, [], []),
        ({"other/a": "from ..high import one", "other/b": "", "high/two": "from ..other import b"},
         [], ["high → other → high"]),
    ],
)  # fmt: skip
def test_the_search_for_circles_can_fail(
    tmp_path: Path, more: dict[str, str], between_modules: list[str], between_rooms: list[str]
) -> None:
    for name in MADE_UP.keys() | more.keys():
        path = tmp_path / "package" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(MADE_UP.get(name, "") + more.get(name, ""))
    found_modules, found_rooms = (
        [" → ".join(names).replace("package.", "") for names in found]
        for found in both_circles(tmp_path / "package")
    )
    assert (found_modules, found_rooms) == (between_modules, between_rooms)
