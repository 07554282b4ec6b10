"""The fenced code blocks of a page."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,}|~{3,})[ {.]*(?P<language>[\w+-]*)")
MARK = re.compile(r"^\s*<!-- not run: (?P<reason>.+?) -->\s*$")


@dataclass(frozen=True)
class Block:
    """One block.

    line    of the page, on which the code begins
    reason  why it cannot run here, as the page says; None: it runs
    """

    page: Path
    line: int
    language: str
    code: str
    reason: str | None


def blocks(page: Path) -> list[Block]:
    """All blocks of a page, in order."""
    found, lines = list[Block](), page.read_text("utf-8").splitlines()
    at = 0
    while at < len(lines):
        fence = FENCE.match(lines[at])
        mark = MARK.match(lines[at - 1]) if at else None
        at += 1
        if fence is None:
            continue
        begin = at
        while at < len(lines) and not lines[at].strip().startswith(fence["ticks"]):
            at += 1
        code = textwrap.dedent("\n".join(lines[begin:at])) + "\n"
        reason = mark["reason"] if mark else None
        found.append(Block(page, begin + 1, fence["language"], code, reason))
        at += 1
    return found
