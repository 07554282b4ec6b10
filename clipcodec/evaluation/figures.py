"""The figures: fidelity, and loss of zero-shot accuracy, against size in bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .metrics import Point

COSINE, ZERO_SHOT = "cosine.svg", "zero-shot.svg"
BOUND = "Gaussian bound"
_TICKS = (5, 10, 16, 25, 50, 100, 150, 250)


def plot(folder: Path, points: Sequence[Point], zero_shot: float) -> None:
    """Write two SVG files into `folder`: cosine, and loss of zero-shot accuracy, against bytes.

    zero_shot  top-1 accuracy of the uncompressed rows, 0 … 1

    Raises ImportError naming the extra if matplotlib is missing.
    """
    pyplot = import_pyplot()

    def lost(point: Point) -> float | None:
        return None if point.scores is None else 100 * (zero_shot - point.scores.zero_shot)

    def divergence(point: Point) -> float | None:
        return None if point.scores is None else max(point.scores.kl, 1e-6)

    # Cosines lie close to 1: the logarithm of 1 − cosine shows their differences.
    panels: tuple[tuple[str, list[tuple[str, bool, Callable[[Point], float | None]]]], ...] = (
        (COSINE, [("1 − cosine", True, lambda point: 1 - point.cosine)]),
        (ZERO_SHOT, [("zero-shot top-1 lost, points", False, lost),
                     ("KL of the zero-shot softmax, nats", True, divergence)]),
    )  # fmt: skip
    for name, axes_wanted in panels:
        count = len(axes_wanted)
        figure, grid = pyplot.subplots(1, count, figsize=(1 + 6 * count, 5), squeeze=False)
        for axes, (label, logarithmic, value) in zip(grid[0], axes_wanted, strict=True):
            for series, curve in _series(points):
                values = [(p.mean, y) for p in curve if (y := value(p)) is not None]
                if values:
                    line = {"linestyle": "--", "marker": ""} if series == BOUND else _style(series)
                    axes.plot(*zip(*values, strict=True), label=series, **line)
            axes.set(xlabel="bytes", ylabel=label, xscale="log")
            axes.xaxis.set_major_formatter("{x:g}")
            axes.set_xticks(_TICKS)
            axes.minorticks_off()
            if logarithmic:
                axes.set_yscale("log")
            axes.grid(alpha=0.3)
        grid[0][0].legend(fontsize="small")
        figure.tight_layout()
        figure.savefig(folder / name, metadata={"Date": None})
        pyplot.close(figure)


def import_pyplot() -> Any:
    """matplotlib's pyplot, set up so that the same points give the same file.

    Raises ImportError naming the extra if matplotlib is missing.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError('matplotlib is missing: pip install "clipcodec[evaluation]"') from error
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "clipcodec"
    import matplotlib.pyplot

    return matplotlib.pyplot


def _style(series: str) -> dict[str, Any]:
    ours = "/" in series  # only the names of profiles contain a slash
    return {"marker": "o" if ours else ".", "linewidth": 2 if ours else 1}


def _series(points: Sequence[Point]) -> Iterator[tuple[str, list[Point]]]:
    """Curves and their names, points in order of size.

    Profiles of one rate each, such as `…/pqvae-200` and `…/pqvae-400`, form one curve.
    """
    curves: dict[str, list[Point]] = {}
    for point in points:
        stem, dash, rate = point.series.rpartition("-")
        name = f"{stem}-…" if dash and "/" in stem and rate.isdigit() else point.series
        curves.setdefault(name, []).append(point)
    for name, curve in curves.items():
        yield name, sorted(curve, key=lambda point: point.mean)
