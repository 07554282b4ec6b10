"""Results as text: one table for all rows, and one for each set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

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
    return "\n".join(aligned(rows, {key: COLUMNS[key] for key in used}))


def aligned(
    rows: Sequence[tuple[str, Point | str]], columns: Mapping[str, tuple[str, str]], title: str = ""
) -> list[str]:
    """A line for the headings and one for each row, columns aligned.

    rows     a name, and what was measured; a text in its place stands beside the name as it is
    columns  as `COLUMNS`
    title    stands above the names
    """
    names = [title, *(name for name, _ in rows)]
    cells: list[str | list[str]] = [[heading for heading, _ in columns.values()]]
    for _, point in rows:
        if isinstance(point, str):
            cells.append(point)
        else:
            cells.append([_cell(point, key, form) for key, (_, form) in columns.items()])
    numbers = [row for row in cells if not isinstance(row, str)]
    widths = [max(map(len, column)) for column in zip(*numbers, strict=True)]
    first = max(map(len, names))
    lines = []
    for name, row in zip(names, cells, strict=True):
        if not isinstance(row, str):
            row = "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
        lines.append(f"{name:<{first}}  {row}".rstrip())
    return lines


def _cell(point: Point, key: str, form: str) -> str:
    return form.format(point[key]) if key in point else ""
