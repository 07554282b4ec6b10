"""Check the pages: every relative link leads somewhere. docs/run.py runs their examples.

    python docs/check.py

Prints one line per fault; exit 1 if there is one. Needs the standard library only.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("*.md", "docs/**/*.md", "formats/**/*.md", ".github/**/*.md")
FENCED = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@cache
def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to the headings of a page."""
    found: set[str] = set()
    for title in HEADING.findall(FENCED.sub("", page.read_text("utf-8"))):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
        name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        copies = sum(1 for other in found if re.fullmatch(rf"{re.escape(name)}(-\d+)?", other))
        found.add(f"{name}-{copies}" if copies else name)
    return found


def broken_links(page: Path) -> list[str]:
    faults = []
    for link in LINK.findall(FENCED.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", link):  # https:, mailto:
            continue
        path, _, anchor = unquote(link).partition("#")
        target = page.parent / path if path else page
        if not target.exists():
            faults.append(f"{link}: no such file")
        elif anchor and target.suffix == ".md" and anchor not in anchors(target):
            faults.append(f"{link}: no such heading")
    return faults


def faults(root: Path = ROOT) -> list[str]:
    """One line per fault of the pages under `root`."""
    pages = sorted({page for pattern in PAGES for page in root.glob(pattern)})
    return [f"{page.relative_to(root)}: {fault}" for page in pages for fault in broken_links(page)]


if __name__ == "__main__":
    found = faults()
    print("\n".join(found) or "all links are sound")
    sys.exit(1 if found else 0)
