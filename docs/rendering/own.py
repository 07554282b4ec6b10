"""training.md: tables of profiles that are learned from the rows themselves (any_model.json)."""

from __future__ import annotations

from collections.abc import Callable

from clipcodec.evaluation.results import Point

from .kept import Kept, Missing, short_cosine, size, table, whole

_SOURCES = {
    "images": "images, ViT-L/14", "texts": "texts, ViT-B/32", "synthetic": "synthetic, 512",
}  # fmt: skip


def study(kept: Kept, name: str) -> list[tuple[str, Point]]:
    """The points of a study, and what their keys say after its name."""
    found = [
        (point["key"].removeprefix(f"{name}: "), point)
        for point in kept.points("any_model")
        if point["key"].startswith(f"{name}: ")
    ]
    if not found:
        raise Missing(f"any_model.json has no study {name!r}")
    return found


def kilobytes(count: float) -> str:
    return f"{count / 1000:,.0f} kB"


def maybe(point: Point, field: str) -> str:
    value = point.get(field)
    return "" if value is None else short_cosine(value)


def unseen(kept: Kept) -> str:
    lines = []
    for key, point in study(kept, "unseen"):
        source, test = key.split(", ")
        lines.append([
            f"{_SOURCES[source]}: {test}", whole(point["rows"]), kilobytes(point["profile"]),
            whole(point["rank"]), short_cosine(point["cosine"]), short_cosine(point["beside"]),
            maybe(point, "shipped"), short_cosine(point["rotation"]), maybe(point, "opq"),
        ])  # fmt: skip
    return table(["embeddings", "learned from", "profile", "coefficients", "own profile",
                  "and its share", "shipped profile", "any/rotation", "OPQ"], lines)  # fmt: skip


def files(kept: Kept) -> str:
    lines = []
    for key, point in study(kept, "file"):
        source, items = key.split(", ")
        lines.append([
            _SOURCES[source], items.removesuffix(" items"), kilobytes(point["profile"]),
            size(point["bytes"]), short_cosine(point["cosine"]), short_cosine(point["cosine05"]),
            short_cosine(point["rotation"]), maybe(point, "opq"),
        ])  # fmt: skip
    return table(["embeddings", "items", "profile", "bytes each, all in", "cosine", "5 %",
                  "any/rotation", "OPQ"], lines)  # fmt: skip


def share(kept: Kept) -> str:
    lines = [
        [key.split(", ")[1].removesuffix(" items"), kilobytes(point["profile"]),
         whole(point["rank"]), "none" if not point["hidden"] else f"{point['hidden']} units",
         f"{point['percent']:.1f} %", size(point["bytes"]), short_cosine(point["cosine"])]
        for key, point in study(kept, "share")
    ]  # fmt: skip
    return table(["items", "profile", "coefficients", "networks", "of the file",
                  "bytes each, all in", "cosine"], lines)  # fmt: skip


def limits(kept: Kept) -> str:
    lines = []
    for key, point in study(kept, "limits"):
        name = key.replace("variances fall as i^-", "variance of axis i falls as i^−")
        lines.append([name, f"{point['rows']:,}", f"{point['dimensions']:,}",
                      short_cosine(point["cosine"]), short_cosine(point["rotation"])])  # fmt: skip
    return table(["", "learned from", "dimensions", "own profile", "any/rotation"], lines)


OWN: dict[str, Callable[[Kept], str]] = {
    "own-unseen": unseen, "own-file": files, "own-share": share, "own-limits": limits,
}  # fmt: skip
