"""Plots of result files, as SVG: what is lost against bytes, one curve for each series.

The same points give the same file. Text stays text, the background is clear, and the colours can be
told from white and from black, so that a page may be light or dark.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from ..errors import OptionError
from ..system.files import write_atomic
from .results import Point, Results

INK = "#767e89"  # of text and axes: contrast above 4 on white and on near-black
OURS = "#2f81f7"
COLOURS = ("#d9730d", "#2da44e", "#a371f7", "#d6409f", "#12a594", "#b58900", "#8d8d8d")
MARKERS = "os^Dvp*Xh"
TICKS = (5, 10, 16, 25, 50, 100, 250, 500, 1000, 2000)
_FIXED = re.compile(r"(.+/[a-z]+)-\d+")  # a profile of one rate, such as …/pqvae-400


def plot(results: Results, path: Path) -> None:
    """Write a plot of a result file as SVG: top-1 accuracy lost, and 1 − cosine, against bytes.

    Of top-1 it shows the mean of all sets with class texts; without any, only 1 − cosine.

    Raises ImportError naming the extra if matplotlib is missing, OptionError if no point has a
    cosine, or OSError.
    """
    points = [p for p in results.points.values() if "cosine" in p and p["key"] != "original"]
    if not points:
        raise OptionError(f"{results.path}: no point has a cosine, so there is nothing to plot")
    original = _top1(results.points.get("original", {}))
    panels: list[tuple[str, Callable[[Point], float | None]]] = []
    if original is not None:
        best: float = original

        def lost(point: Point) -> float | None:
            top1 = _top1(point)
            return None if top1 is None else 100 * (best - top1)

        panels.append(("zero-shot top-1 lost, points", lost))
    panels.append(("1 − cosine", lambda point: 1 - point["cosine"]))
    pyplot = import_pyplot()
    figure, grid = pyplot.subplots(1, len(panels), figsize=(1 + 5.5 * len(panels), 4.5),
                                   squeeze=False)  # fmt: skip
    for axes, (label, value) in zip(grid[0], panels, strict=True):
        for number, (name, curve) in enumerate(curves(points).items()):
            shown = [(p["bytes"], y) for p in curve if (y := value(p)) is not None]
            if shown:
                axes.plot(*zip(*shown, strict=True), label=name, **style(name, number))
        sizes = [point["bytes"] for point in points]
        byte_axis(axes, min(sizes), max(sizes))
        axes.set(ylabel=label)
        if label.startswith("1"):
            axes.set_yscale("log")
    grid[0][0].legend(fontsize="small")
    title = f"What codecs keep: {results.command}"
    words = "; ".join(f"{p['key']}: {p['bytes']:g} bytes, cosine {p['cosine']:.4f}" for p in points)
    write_atomic(path, svg(figure, title, words).encode(), overwrite=True)


def _top1(point: Point) -> float | None:
    found = [s["top1"] for s in point.get("sets", {}).values() if "top1" in s]
    return sum(found) / len(found) if found else None


def curves(points: Iterable[Point]) -> dict[str, list[Point]]:
    """Points by curve, each in order of size.

    A profile has a curve for each target, such as `openai-vit-b-32/predictive, mean_bytes`;
    profiles of one rate each, such as `…/pqvae-400` and `…/pqvae-600`, form one.
    """
    found: dict[str, list[Point]] = {}
    for point in points:
        found.setdefault(curve_of(point), []).append(point)
    return {name: sorted(curve, key=lambda p: float(p["bytes"])) for name, curve in found.items()}


def curve_of(point: Point) -> str:
    """The curve that a point is on."""
    series = str(point["series"])
    if "/" not in series:  # only the names of profiles contain a slash
        return series
    if fixed := _FIXED.fullmatch(series):
        return f"{fixed[1]}-…"
    targets = re.findall(r"(\w+)=", str(point["setting"]))
    return f"{series}, {' '.join(targets)}" if targets else series


def style(name: str, number: int) -> dict[str, Any]:
    """Colour, line and marker of a curve: of our profiles strong, of others thin."""
    ours = "/" in name
    return {
        "color": OURS if ours else COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 5 if ours else 4,
        "linewidth": 2 if ours else 1,
        "linestyle": "--" if "mean_bytes" in name else "-",
    }


def byte_axis(axes: Any, least: float, most: float) -> None:
    """Make the horizontal axis one of bytes, logarithmic, with ticks at sizes people use."""
    axes.set(xlabel="bytes", xscale="log")
    inside = [tick for tick in TICKS if least / 1.1 <= tick <= most * 1.1]
    axes.set_xticks(inside, [str(tick) for tick in inside])
    axes.minorticks_off()


def import_pyplot() -> Any:
    """matplotlib's pyplot, set up for plots on pages; see the module.

    Raises ImportError naming the extra if matplotlib is missing.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError('matplotlib is missing: pip install "clipcodec[evaluation]"') from error
    matplotlib.use("svg")
    import matplotlib.pyplot

    matplotlib.rcParams.update(
        {
            "svg.hashsalt": "clipcodec", "svg.fonttype": "none",
            "font.family": "sans-serif", "font.size": 11,
            "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
            "text.color": INK, "axes.labelcolor": INK, "axes.titlecolor": INK,
            "axes.edgecolor": INK,
            "xtick.color": INK, "ytick.color": INK, "grid.color": INK, "grid.alpha": 0.3,
            "axes.grid": True, "axes.spines.top": False, "axes.spines.right": False,
            "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none",
            "legend.frameon": False, "axes.titlesize": "medium",
        }
    )  # fmt: skip
    return matplotlib.pyplot


def svg(figure: Any, title: str, words: str, notes: Sequence[str] = ()) -> str:
    """A figure as SVG, and closed.

    title, words  for those who do not see it: its `<title>` and `<desc>`
    notes         kept as comments
    """
    from io import StringIO

    written = StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(written, format="svg", bbox_inches="tight", transparent=True, metadata=nothing)
    import_pyplot().close(figure)
    start = written.getvalue().index("<svg")
    drawn = re.sub(r"\s*<metadata>.*?</metadata>", "", written.getvalue()[start:], flags=re.DOTALL)
    drawn = re.sub(r'\b(?:d|x|y)="[^"]*"', _rounded, drawn)
    drawn = re.sub(r'(<g clip-path="[^"]*")>((?:\s*<use [^>]*/>)+)', _one_style, drawn)
    drawn = drawn.replace("<svg ", '<svg role="img" ', 1)
    head = f"\n <title>{escape(title)}</title>\n <desc>{escape(words)}</desc>"
    head += "".join(f"\n <!-- {note} -->" for note in notes)
    opening = drawn.index(">") + 1
    lines = (drawn[:opening] + head + drawn[opening:]).splitlines()
    return "\n".join(line.strip() for line in lines) + "\n"


def _rounded(attribute: re.Match[str]) -> str:
    """Coordinates to a hundredth of a point: half the size, and the same to the eye."""
    return re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", attribute[0])


def _one_style(markers: re.Match[str]) -> str:
    """The style of a curve's markers once for all of them, if they have the same."""
    styles = set(re.findall(r' style="[^"]*"', markers[2]))
    if len(styles) != 1:
        return markers[0]
    (style,) = styles
    return f"{markers[1]}{style}>{markers[2].replace(style, '')}"
