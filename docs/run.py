"""Run every command and snippet of the pages.

    python docs/run.py [-v] [PAGE ...]     all pages, or those named; -v: how long each took

Python and shell blocks of README.md and all other pages are run in order, each page in an empty
folder of its own. `snippets/prepared.py` makes the files and arrays that the pages take for
granted. CLIP's weights are tiny random ones (tests/helpers/stand_in.py), so what is checked is
that all runs, not what comes out. The Python blocks of a page share their names.

What cannot run here has a line before the block:

    <!-- not run: needs a cluster -->

Such blocks are listed with their reasons. A command must end with exit code 0, unless a comment
behind it says "exit 1" or another. Exit 1 if a block fails, or is in an unknown language.
Needs the development tools: pip install -e ".[dev]".
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snippets.running import Report

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

PAGES = ("*.md", "docs/**/*.md", "formats/**/*.md", "examples/**/*.md")


def pages() -> list[Path]:
    """All pages of the checkout that may hold snippets."""
    return sorted({page for pattern in PAGES for page in ROOT.glob(pattern)})


def say(report: Report, verbose: bool) -> None:
    if report.ran or report.left or report.faults:
        print(f"{report.page}: {report.ran} run, {report.seconds:.1f} s", flush=True)
    for seconds, what in report.slow if verbose else ():
        print(f"  {seconds:5.1f} s  {what.strip()[:80]}")
    for line, what, why in report.left:
        print(f"  line {line}, not run: {what}: {why}")
    for fault in report.faults:
        print(f"FAILED {fault}", flush=True)


def main(arguments: list[str]) -> int:
    from snippets.running import run_page  # here, as worker processes read this file, too

    names = [name for name in arguments if name != "-v"]
    chosen = [Path(name).resolve() for name in names] or pages()
    reports = []
    for page in chosen:
        reports.append(run_page(page, ROOT))
        say(reports[-1], "-v" in arguments)
    failed = sum(len(report.faults) for report in reports)
    ran, left = sum(r.ran for r in reports), sum(len(r.left) for r in reports)
    print(f"{ran} run, {left} not run here, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
