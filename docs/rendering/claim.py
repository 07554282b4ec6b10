"""One claim, and its text with today's numbers."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .kept import Kept, Missing, whole

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Claim:
    """A sentence of a page, or a part of one; of a table written by hand its first line.

    page    such as docs/profiles.md
    text    as it stands there; with `values`, each {} is a number of the results or of the code
    by      the result file, test, module or command that makes it
    values  today's numbers, as text, in the order of the {}
    """

    page: str
    text: str
    by: str
    values: Callable[[Kept], Sequence[str]] | None = None


def text_of(claim: Claim, kept: Kept) -> str:
    """The claim with today's numbers. Missing says which result is not there."""
    return claim.text if claim.values is None else claim.text.format(*claim.values(kept))


def listed(pages: Mapping[str, Sequence[tuple[str, str]]]) -> list[Claim]:
    """Claims as (text, by). Each {} of a text is a constant: `by` is PATH:NAME[:NAME…]."""
    found = []
    for page, rows in pages.items():
        for text, by in rows:
            path, *names = by.split(":")
            found.append(Claim(page, text, path, _reader(path, names) if names else None) if
                         "{}" in text else Claim(page, text, by))  # fmt: skip
    return found


def _reader(path: str, names: Sequence[str]) -> Callable[[Kept], Sequence[str]]:
    return lambda kept: [whole(constant(path, name)) for name in names]


@cache
def constant(path: str, name: str) -> int:
    """A whole number that a module defines, such as `BLOCK = 1 << 10`; read without import."""
    try:
        tree = ast.parse((ROOT / path).read_text("utf-8"))
    except OSError as error:
        raise Missing(f"there is no {path}") from error
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return int(eval(compile(ast.Expression(node.value), path, "eval"), {}))
    raise Missing(f"{path} defines no {name}")
