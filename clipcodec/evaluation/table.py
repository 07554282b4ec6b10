"""Results as text: one table for all rows, and one for each set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .results import Point

# measure: its heading, and how it is written
COLUMNS = {
    "bytes": ("bytes", "{:.1f}"), "most": ("most", "{:.0f}"), "bpd": ("bpd", "{:.3f}"),
    "bpp": ("bpp", "{:.2e}"), "cosine": ("cosine", "{:.4f}"), "cosine05": ("5 %", "{:.4f}"),
    "top1": ("top-1", "{:.2%}"), "top5": ("top-5", "{:.2%}"), "agree": ("agree", "{:.2%}"),
    "kl": ("KL", "{:.4f}"), "text_to_image": ("text→image", "{:.2%}"),
    "prototype": ("prototype", "{:.2%}"), "knn": ("knn", "{:.2%}"),
    "neighbours": ("10-nn", "{:.2%}"),
    **{f"{way}_{k}": (f"{short}@{k}", "{:.2%}")
       for way, short in (("image_to_text", "i→t"), ("text_to_image", "t→i")) for k in (1, 5, 10)},
}  # fmt: skip


def text(points: Iterable[Point]) -> str:
    """The tables of these points, columns aligned."""
    points = list(points)
    parts = ["all sets\n" + _table([(point["key"], point) for point in points])]
    names = dict.fromkeys(name for point in points for name in point.get("sets", {}))
    for name in names:
        rows = [(p["key"], p["sets"][name]) for p in points if name in p.get("sets", {})]
        parts.append(f"{name}\n" + _table(rows))
    return "\n\n".join(parts)


def _table(rows: Sequence[tuple[str, Point]]) -> str:
    used = [key for key in COLUMNS if any(key in point for _, point in rows)]
    lines = [["", *(COLUMNS[key][0] for key in used)]]
    for name, point in rows:
        cells = [COLUMNS[key][1].format(point[key]) if key in point else "" for key in used]
        lines.append([name, *cells])
    widths = [max(len(line[i]) for line in lines) for i in range(len(used) + 1)]
    text = []
    for first, *rest in lines:
        cells = [f"  {cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True)]
        text.append(first.ljust(widths[0]) + "".join(cells))
    return "\n".join(text)
