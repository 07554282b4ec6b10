"""The figures of the pages. Each is drawn from numbers that its file names by their digest."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipcodec.evaluation.metrics import QUANTILES
from clipcodec.evaluation.plots import OURS as BLUE
from clipcodec.evaluation.plots import byte_axis, curve_of, import_pyplot, style, svg
from clipcodec.evaluation.results import Point, code_digest

from .kept import OURS, PQVAE, UNTRAINED, Kept, Missing, digest, percent, short_cosine
from .tables import LIMITS, least

SIZES = (10, 260)  # bytes that the curves show
ALLOWED = 1.0  # points of accuracy that may be lost in the figure of bars
BYTES = (12, 16, 25, 34, 50, 75, 100, 150, 250)
GREEN, ORANGE, PURPLE, PINK, TEAL, GREY = (
    "#2da44e", "#d9730d", "#a371f7", "#d6409f", "#12a594", "#8d8d8d"
)  # fmt: skip
# Curves by family: what their points' keys begin with, and their colour; the marker tells which
FAMILIES = {
    f"{OURS}@": BLUE, PQVAE: TEAL, f"{UNTRAINED}@": GREY, "faiss:": ORANGE,
    "pqvae:": GREEN, "vqvae:": GREEN, "learned-sq:": GREEN, "pca:": PURPLE, "klt:": PURPLE,
    "": PINK,
}  # fmt: skip
ROOT = Path(__file__).parents[2]
CODE = ("docs/rendering/plots.py", "clipcodec/evaluation/plots.py")
Drawn = dict[str, Any]  # what a figure shows: numbers and text, as JSON has them


@dataclass(frozen=True)
class Figure:
    """A figure of a page.

    title  its name for those who do not see it
    data   what it shows
    draw   draws this, and returns matplotlib's figure
    say    what it shows, in words
    """

    title: str
    data: Callable[[Kept], Drawn]
    draw: Callable[[Any, Drawn], Any]
    say: Callable[[Drawn], str]

    def digest(self, kept: Kept) -> str:
        """Of the numbers, and of the code that draws them."""
        return digest([self.data(kept), code_digest(CODE, root=ROOT)])

    def svg(self, kept: Kept) -> str:
        drawn = self.data(kept)
        figure = self.draw(import_pyplot(), drawn)
        return svg(figure, self.title, self.say(drawn), [f"results {self.digest(kept)}"])


def digest_in(text: str) -> str | None:
    """The digest that a figure's file carries."""
    found = re.search(r"<!-- results ([0-9a-f]{16}) -->", text)
    return found[1] if found else None


# Zero-shot loss of all codecs


def _loss_data(kept: Kept) -> Drawn:
    found: dict[str, dict[str, Any]] = {}
    for point in _measured(kept):
        size = float(point["sets"]["imagenet"]["bytes"])
        if SIZES[0] <= size <= SIZES[1]:
            kl = float(point["sets"]["imagenet"]["kl"])
            row = [size, round(kept.lost(point["key"]), 3), kl]
            family = next(start for start in FAMILIES if point["key"].startswith(start))
            curve = found.setdefault(curve_of(point), {"family": family, "rows": []})
            curve["rows"].append(row)
    order = sorted(found, key=lambda name: list(FAMILIES).index(found[name]["family"]))
    return {name: found[name] | {"rows": sorted(found[name]["rows"])} for name in order}


def _measured(kept: Kept) -> list[Point]:
    """All points with decoded rows, but for the profiles at their default quality.

    With `mean_bytes`, sets differ in size: what was lost on ImageNet's rows stands beside theirs.
    """
    return [
        point
        for point in kept.points()
        if "sets" in point and point["key"] not in {"original", OURS, UNTRAINED}
    ]


def _loss_draw(pyplot: Any, drawn: Drawn) -> Any:
    figure, panels = pyplot.subplots(1, 2, figsize=(11, 5))
    for panel, column, label in zip(panels, (1, 2), ("zero-shot accuracy lost, points",
                                                    "KL of the class probabilities, nats"),
                                    strict=True):  # fmt: skip
        for number, (name, curve) in enumerate(drawn.items()):
            look = style(name, number) | {"color": FAMILIES[curve["family"]]}
            panel.plot([row[0] for row in curve["rows"]], [row[column] for row in curve["rows"]],
                       label=_short(name), zorder=3 if "/" in name else 2, **look)  # fmt: skip
        byte_axis(panel, *SIZES)
        panel.set(ylabel=label, xlim=(SIZES[0] / 1.05, SIZES[1] * 1.05))
    panels[0].set_yscale("symlog", linthresh=1, linscale=0.6)
    panels[0].set_yticks(
        [0, 0.5, 1, 2, 5, 10, 20, 50], ["0", "0.5", "1", "2", "5", "10", "20", "50"]
    )
    panels[0].set_ylim(-0.7, 80)
    panels[1].set_yscale("log")
    panels[1].set_yticks([0.001, 0.01, 0.1, 1], ["0.001", "0.01", "0.1", "1"])
    panels[1].minorticks_off()
    panels[1].set_ylim(2e-4, 6)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=4,
                  fontsize="small", bbox_to_anchor=(0.06, 1.0))  # fmt: skip
    rows_of_legend = -(-len(drawn) // 4)
    figure.subplots_adjust(top=0.97 - 0.045 * rows_of_legend, wspace=0.22)
    return figure


def _loss_say(drawn: Drawn) -> str:
    parts = [
        f"{_short(name)}: "
        + ", ".join(
            f"{size:.0f} bytes {lost:.1f} points, KL {kl:.3f}" for size, lost, kl in curve["rows"]
        )
        for name, curve in drawn.items()
    ]
    return "Points of zero-shot accuracy lost, and KL, by mean bytes. " + "; ".join(parts) + "."


def _short(name: str) -> str:
    return name.removeprefix("openai-vit-b-32/").replace("_", " ").replace(", max bytes", "")


# Bytes for at most one point


def _bars_data(kept: Kept) -> Drawn:
    series: dict[str, list[tuple[float, float]]] = {}
    for point in _measured(kept):
        row = (float(point["sets"]["imagenet"]["bytes"]), round(kept.lost(point["key"]), 3))
        series.setdefault(curve_of(point), []).append(row)
    bars = []
    for name, rows in series.items():
        reached = least({size: lost for size, lost in rows}, ALLOWED)
        largest, lost = max(rows)
        bars.append({"name": _short(name), "ours": "/" in name, "bytes": reached,
                     "largest": largest, "lost": lost})  # fmt: skip
    unreached = float("inf")
    bars.sort(key=lambda bar: (bar["bytes"] or unreached, bar["lost"]))
    return {"bars": bars}


def _bars_draw(pyplot: Any, drawn: Drawn) -> Any:
    bars = drawn["bars"]
    most = max([bar["bytes"] for bar in bars if bar["bytes"] is not None], default=1)
    figure, axes = pyplot.subplots(figsize=(8, 0.7 + 0.32 * len(bars)))
    for place, bar in enumerate(bars):
        if bar["bytes"] is not None:
            axes.barh(place, bar["bytes"], color=BLUE if bar["ours"] else GREY, height=0.62)
        axes.annotate(_reached(bar), (bar["bytes"] or 0, place), (4, 0), va="center",
                      textcoords="offset points", fontsize="small")  # fmt: skip
    axes.set_yticks(range(len(bars)), [bar["name"] for bar in bars])
    axes.set(xlabel="bytes, mean", xlim=(0, 1.12 * most), ylim=(len(bars) - 0.4, -0.6))
    axes.grid(visible=False, axis="y")
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    return figure


def _reached(bar: Drawn) -> str:
    if bar["bytes"] is not None:
        return f"{bar['bytes']:,.0f}"
    return f"not reached; {bar['lost']:.1f} points lost at {bar['largest']:,.0f} bytes"


def _bars_say(drawn: Drawn) -> str:
    parts = [f"{bar['name']}: {_reached(bar)}" for bar in drawn["bars"]]
    return "Smallest measured mean size with at most one point lost. " + "; ".join(parts) + "."


# What a byte buys


def _buys_data(kept: Kept) -> Drawn:
    best = kept.value("original", "sets.imagenet.top1")
    rows = []
    for limit in (n for n in kept.ladder() if n in {10, 20, 125, 200, *BYTES}):
        key = f"{OURS}@max_bytes={limit}"
        rows.append([limit, kept.value(key, "cosine"), kept.value(key, "sets.imagenet.top1"),
                     round(kept.neighbours(key), 5)])  # fmt: skip
    return {"best": best, "rows": rows}


def _buys_draw(pyplot: Any, drawn: Drawn) -> Any:
    figure, axes = pyplot.subplots(figsize=(8, 4.5))
    sizes = [row[0] for row in drawn["rows"]]
    for column, name, color, marker in (
        (1, "cosine", BLUE, "o"), (2, "zero-shot accuracy, of the original's", ORANGE, "s"),
        (3, "ten nearest neighbours kept", GREEN, "^"),
    ):  # fmt: skip
        scale = drawn["best"] if column == 2 else 1
        values = [100 * row[column] / scale for row in drawn["rows"]]
        axes.plot(sizes, values, color=color, marker=marker, linewidth=2, markersize=5, label=name)
    byte_axis(axes, min(sizes), max(sizes))
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.tick_params(axis="x", labelsize="small")
    axes.set(ylabel="%", xlabel="max_bytes")
    axes.legend(loc="lower right")
    return figure


def _buys_say(drawn: Drawn) -> str:
    parts = [
        f"at {limit} bytes cosine {short_cosine(cosine)}, zero-shot {percent(top1)} %, "
        f"neighbours {percent(near, 0)} %"
        for limit, cosine, top1, near in drawn["rows"]
    ]
    return f"Zero-shot of the original is {percent(drawn['best'])} %. " + "; ".join(parts) + "."


# How much images differ


def _spread_data(kept: Kept) -> Drawn:
    found: Drawn = {}
    for target in ("max_bytes", "mean_bytes"):
        rows = []
        for limit in kept.ladder(target=target):
            point = kept.point(f"{OURS}@{target}={limit}")
            if "spread" not in point:
                raise Missing(f"embeddings.json: point {point['key']!r} has no spread")
            rows.append([limit, *point["spread"]])
        found[target] = [row for row in rows if row[0] >= min(LIMITS)]
    return found


def _spread_draw(pyplot: Any, drawn: Drawn) -> Any:
    figure, panels = pyplot.subplots(1, 2, figsize=(11, 4.3), sharey=True)
    shown = [row[0] for rows in drawn.values() for row in rows]
    ends = min(shown) / 1.06, max(shown) * 1.06
    for panel, (target, rows), color in zip(panels, drawn.items(), (BLUE, GREEN), strict=True):
        sizes = [row[0] for row in rows]
        columns = list(zip(*[row[1:] for row in rows], strict=True))
        for low, high, alpha in ((0, 6, 0.18), (1, 5, 0.25), (2, 4, 0.35)):
            panel.fill_between(sizes, columns[low], columns[high], color=color, alpha=alpha,
                               linewidth=0, label=_band(low, high))  # fmt: skip
        panel.plot(sizes, columns[3], color=color, marker="o", linewidth=2, markersize=4,
                   label="median")  # fmt: skip
        byte_axis(panel, *ends)
        panel.set(title=target, xlabel=target, xlim=ends)
        panel.legend(loc="lower right", fontsize="small")
    panels[0].set_ylabel("cosine of an image")
    figure.subplots_adjust(wspace=0.1)
    return figure


def _band(low: int, high: int) -> str:
    return f"{100 * (QUANTILES[high] - QUANTILES[low]):.0f} % of images"


def _spread_say(drawn: Drawn) -> str:
    parts = [
        f"{target} {row[0]}: " + ", ".join(short_cosine(value) for value in row[1:])
        for target, rows in drawn.items()
        for row in rows
    ]
    names = ", ".join(f"{100 * q:.0f}" for q in QUANTILES)
    return f"Percentiles {names} of the cosine of single images. " + "; ".join(parts) + "."


FIGURES = {
    "zero-shot-loss": Figure("Zero-shot accuracy lost, and KL, against bytes, of all codecs",
                             _loss_data, _loss_draw, _loss_say),
    "bytes-for-a-point": Figure("Bytes for at most one point of zero-shot accuracy lost, by codec",
                                _bars_data, _bars_draw, _bars_say),
    "what-a-byte-buys": Figure("Cosine, zero-shot accuracy and neighbours kept against bytes",
                               _buys_data, _buys_draw, _buys_say),
    "spread": Figure("How much the cosines of single images differ, by bytes",
                     _spread_data, _spread_draw, _spread_say),
}  # fmt: skip
