"""Write the tables, figures and claims of the pages from the kept results.

    python docs/render.py           # write docs/*.md, README.md, docs/figures/*.svg and the
                                    # figures that `clipcodec demo` shows beside its own
    python docs/render.py --check   # change nothing; exit 1 and name what differs
    python docs/render.py --open    # sentences with numbers that no claim accounts for

The results are docs/results/*.json. A table stands between `<!-- results: NAME -->` and
`<!-- /results -->`; docs/rendering/tables.py has the names. Sentences with numbers are claims, in
docs/rendering/claimed_*.py; a number without one is found, too. Figures need matplotlib to be
drawn, but not to be checked: each file carries a digest of the numbers that it was drawn from.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(Path(__file__).parent)]  # `rendering` is beside this file
from rendering import claims, measured, pages, plots  # noqa: E402
from rendering.benches import BENCHES  # noqa: E402
from rendering.kept import Kept, Missing  # noqa: E402
from rendering.own import OWN  # noqa: E402
from rendering.paper import PAPER  # noqa: E402
from rendering.tables import TABLES  # noqa: E402

sys.path.remove(str(Path(__file__).parent))
ALL_TABLES = {**TABLES, **BENCHES, **OWN, **PAPER}
FIGURES = Path("docs/figures")


def render(root: Path = ROOT, *, write: bool = True) -> list[str]:
    """Bring all pages and figures up to date; returns what is wrong, one line each.

    write  False: change nothing; what differs is wrong, too
    """
    kept = Kept(root / "docs" / "results")
    faults = tables(root, kept, write=write) + figures(root, kept, write=write)
    faults += shipped(root, kept, write=write)
    if write:
        claims.update(root, kept)
    return faults + claims.write_page(root, kept, write) + claims.faults(root, kept)


def tables(root: Path, kept: Kept, *, write: bool) -> list[str]:
    """Write the tables of all pages; returns what is wrong or differs."""
    faults = []
    for page in pages.pages(root):
        name = page.relative_to(root).as_posix()
        before = page.read_text("utf-8")
        after, wrong = pages.filled(before, kept, ALL_TABLES)
        faults += [f"{name}: {fault}" for fault in wrong]
        if write and after != before:
            page.write_text(after, "utf-8")
        elif after != before:
            differ = ", ".join(pages.differing(before, after))
            faults.append(f"{name}: differs from docs/results: {differ}")
    for name in sorted(set(ALL_TABLES) - pages.names(root)):
        faults.append(f"table {name}: no page has it")
    return faults


def figures(root: Path, kept: Kept, *, write: bool) -> list[str]:
    """Draw the figures that are old or not there; returns what is wrong or old."""
    faults = []
    for name, figure in plots.FIGURES.items():
        path = root / FIGURES / f"{name}.svg"
        shown = path.relative_to(root).as_posix()
        try:
            today = figure.digest(kept)
            old = plots.digest_in(path.read_text("utf-8")) if path.exists() else None
            if old == today:
                continue
            if write:
                path.write_text(figure.svg(kept), "utf-8")
            else:
                faults.append(
                    f"{shown}: {'is not there' if old is None else 'drawn from other results'}"
                )
        except (Missing, ImportError) as error:  # ImportError: matplotlib, to draw
            faults.append(f"{shown}: {error}")
    return faults


def shipped(root: Path, kept: Kept, *, write: bool) -> list[str]:
    """Write the figures that the package has with it; returns what is wrong or differs."""
    path = root / measured.PATH
    try:
        today = measured.text(kept)
    except Missing as error:
        return [f"{measured.PATH}: {error}"]
    if path.exists() and path.read_text("utf-8") == today:
        return []
    if write:
        path.write_text(today, "utf-8")
        return []
    return [f"{measured.PATH}: differs from docs/results"]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python docs/render.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check", action="store_true", help="change nothing")
    parser.add_argument("--open", action="store_true", help="numbers without a claim")
    args = parser.parse_args(arguments)
    found = [] if args.open else render(write=not args.check)
    found += claims.unclaimed(ROOT)
    for line in found:
        print(line)
    if not found:
        print("pages, figures and claims agree with docs/results")
    elif not args.open:
        print("after new results: python docs/render.py", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
