"""Pages with tables between markers: what a page should be, and which differ."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from .kept import Kept, Missing

BLOCK = re.compile(r"(<!-- results: ([\w-]+) -->\n)(.*?)(<!-- /results -->)", re.DOTALL)
MARK = re.compile(r"<!-- (results: [\w-]+|/results) -->")
PAGES = ("README.md", "docs/*.md", "docs/cookbook/*.md", "docs/figures/*.md")
Tables = Mapping[str, Callable[[Kept], str]]


def pages(root: Path) -> list[Path]:
    """All pages that may hold a table."""
    return sorted({page for pattern in PAGES for page in root.glob(pattern)})


def filled(text: str, kept: Kept, tables: Tables) -> tuple[str, list[str]]:
    """A page's text with today's tables; a table whose results are missing stays as it is.

    Returns the text, and what is wrong, one line each.
    """
    faults = []
    whole = len(BLOCK.findall(text))
    marks = len(MARK.findall(text))
    if marks != 2 * whole:
        faults.append(f"{marks} markers for {whole} tables: one is not closed, or not opened")

    def fill(found: re.Match[str]) -> str:
        name = found[2]
        if name not in tables:
            faults.append(f"no table is called {name!r}")
            return found[0]
        try:
            return f"{found[1]}\n{tables[name](kept).strip()}\n\n{found[4]}"
        except Missing as error:
            faults.append(f"table {name}: {error}")
            return found[0]

    return BLOCK.sub(fill, text), faults


def differing(before: str, after: str) -> list[str]:
    """Names of the tables that two texts of one page have in different states."""
    old, new = BLOCK.findall(before), BLOCK.findall(after)
    return [a[1] for a, b in zip(old, new, strict=True) if a != b]


def names(root: Path) -> set[str]:
    """The tables that some page shows."""
    found = (BLOCK.findall(page.read_text("utf-8")) for page in pages(root))
    return {block[1] for blocks in found for block in blocks}
