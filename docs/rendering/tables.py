"""The tables of the pages, each by the name that its markers give."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from clipcodec.evaluation.results import Point

from .kept import (
    L14,
    OURS,
    PQVAE,
    TASKS,
    UNTRAINED,
    Kept,
    Missing,
    cosine,
    field_of,
    percent,
    short_cosine,
    size,
    table,
)  # fmt: skip

Column = tuple[str, Callable[[Kept, Point], str]]
GROUPS = {  # of the full table: what the keys of each begin with
    "clipcodec, profiles for ViT-B/32": (f"{OURS}@", OURS, PQVAE),
    "clipcodec, without training": (UNTRAINED,),
    "The paper's codecs, trained here": ("pqvae:", "vqvae:", "learned-sq:"),
    "faiss": ("faiss:",),
    "Simple codecs": ("float16", "int8", "binary", "truncate:", "scalar:"),
    "Linear transforms, and the Gaussian bound": ("pca:", "klt:", "bound:"),
}
Number = TypeVar("Number", int, float)


def of_field(head: str, field: str, write: Callable[[float], str]) -> Column:
    """A column that is a field of the points; empty where a bound has no rows."""

    def cell(kept: Kept, point: Point) -> str:
        if field.startswith("sets.") and "sets" not in point:
            return ""
        return write(field_of(point, field))

    return head, cell


BYTES = of_field("bytes", "bytes", size)
MOST = of_field("most", "most", lambda value: f"{value:,.0f}")
COSINE = of_field("cosine", "cosine", cosine)
KL = of_field("KL", "sets.imagenet.kl", lambda value: f"{value:.4f}")
ACCURACIES: list[Column] = [
    of_field(name, f"sets.{data}.{measure}", percent) for (data, measure), name in TASKS.items()
]
ZERO_SHOT = ACCURACIES[0]
NEIGHBOURS: Column = (
    "10-nn",
    lambda kept, point: percent(kept.neighbours(point["key"])) if "sets" in point else "",
)


def cosine05(_: Kept, point: Point) -> str:
    return cosine(field_of(point, "cosine05")) if "cosine05" in point else ""


def rows(kept: Kept, keys: Sequence[str], columns: Sequence[Column], first: str) -> str:
    """A table with one row for each key."""
    names = [name for name, _ in columns]
    lines = []
    for key in keys:
        point = kept.point(key)
        lines.append([named(key), *(cell(kept, point) for _, cell in columns)])
    return table([first, *names], lines)


def named(key: str) -> str:
    """How a table calls a codec: the default profile by its target alone."""
    if key == "original":
        return "uncompressed"
    return f"`{key.removeprefix(f'{OURS}@').removeprefix('openai-vit-b-32/')}`"


def fidelity(kept: Kept) -> str:
    """README: the default profile by size."""
    best = percent(kept.value("original", "sets.imagenet.top1"))
    head = ["`max_bytes`", "bits per dimension", "cosine", f"zero-shot ImageNet-200 ({best} %)",
            "10 nearest neighbours kept"]  # fmt: skip
    lines = []
    for limit in (16, 25, 34, 50, 75, 100, 250):
        key = f"{OURS}@max_bytes={limit}"
        lines.append([
            str(limit), f"{kept.value(key, 'bpd'):.2f}", short_cosine(kept.value(key, "cosine")),
            f"{percent(kept.value(key, 'sets.imagenet.top1'))} %",
            f"{percent(kept.neighbours(key), 0)} %",
        ])  # fmt: skip
    return table(head, lines)


def predictive(kept: Kept) -> str:
    limits = (12, 16, 25, 34, 50, 75, 100, 250)
    keys = ["original", *(f"{OURS}@max_bytes={limit}" for limit in limits)]
    columns = [BYTES, MOST, COSINE, ("5 %", cosine05), *ACCURACIES, NEIGHBOURS]
    return rows(kept, keys, columns, "")


def pqvae(kept: Kept) -> str:
    from .kept import BITS

    columns = [BYTES, MOST, COSINE, ("5 %", cosine05), *ACCURACIES, NEIGHBOURS]
    return rows(kept, ["original", *(f"{PQVAE}{bits}" for bits in BITS)], columns, "profile")


def storing_many(kept: Kept) -> str:
    keys = [f"{OURS}@{how}={n}" for n in (25, 50, 100) for how in ("max_bytes", "mean_bytes")]
    own = {data: of_field(f"{name}: bytes", f"sets.{data}.bytes", size)
           for data, name in (("imagenet", "ImageNet"), ("oxford_flowers", "flowers"))}  # fmt: skip
    columns = [BYTES, MOST, COSINE, ("5 %", cosine05), own["imagenet"], ZERO_SHOT, KL,
               own["oxford_flowers"], ACCURACIES[1], NEIGHBOURS]  # fmt: skip
    return rows(kept, keys, columns, "option")


def untrained(kept: Kept) -> str:
    """any-model.md: what a trained profile gains."""
    limits = (34, 50, 75, 100, 150, 250)
    lines = [
        [f"`{profile}`", *(short_cosine(kept.value(f"{profile}@max_bytes={n}", "cosine"))
                           for n in limits)]
        for profile in (UNTRAINED, OURS)
    ]  # fmt: skip
    return table(["`max_bytes`", *map(str, limits)], lines)


def l14(kept: Kept) -> str:
    limits = (25, 50, 100, 150, 250)
    sets = {"things": "200 photographs of objects (ViT-L/14)",
            "news_336px": "544 news images (ViT-L/14@336px)"}  # fmt: skip
    lines = []
    for data, words in sets.items():
        for profile in (L14, UNTRAINED):
            for measure, write in (("cosine", short_cosine), ("kl", lambda v: f"{v:.3f}")):
                name = "cosine" if measure == "cosine" else "KL"
                values = [kept.value(f"{profile}@max_bytes={n}", f"sets.{data}.{measure}", "l14")
                          for n in limits]  # fmt: skip
                lines.append([words, f"`{profile.rpartition('/')[2]}`", name, *map(write, values)])
    return table(["`max_bytes`", "profile", "", *map(str, limits)], lines)


def losses(kept: Kept) -> dict[str, dict[int, float]]:
    """For each use: what the default profile loses at each size, in points."""
    few_shot = [task for task in TASKS if task[1] == "prototype"]
    found: dict[str, dict[int, float]] = {"zero-shot": {}, "few-shot": {}, "10-nn": {}}
    for limit in kept.ladder():
        key = f"{OURS}@max_bytes={limit}"
        found["zero-shot"][limit] = kept.lost(key)
        found["few-shot"][limit] = sum(kept.lost(key, task) for task in few_shot) / len(few_shot)
        found["10-nn"][limit] = 100 * (1 - kept.neighbours(key))
    return found


def least(losses: Mapping[Number, float], allowed: float) -> Number | None:
    """The smallest size from which on no measured one loses more than this; None: there is none."""
    found = None
    for limit, lost in sorted(losses.items(), reverse=True):
        if lost > allowed:
            break
        found = limit
    return found


def uses(kept: Kept) -> str:
    """choosing-a-rate.md: from which size on a use loses so much at most."""
    rows = {
        "zero-shot": ("tagging, text search", "zero-shot"),
        "few-shot": ("classes from a few examples", "mean of flowers, ucf and fgvc"),
        "10-nn": ("image-to-image search, duplicates", "10-nn"),
    }
    allowed = (10, 5, 2, 1, 0.5)
    lines = []
    for name, found in losses(kept).items():
        limits = [least(found, points) for points in allowed]
        lines.append([*rows[name], *("–" if limit is None else str(limit) for limit in limits)])
    return table(
        [
            "use",
            "measure",
            *(f"≤ {points:g} point{'s' if points > 1 else ''}" for points in allowed),
        ],
        lines,
    )


def rate_distortion(kept: Kept) -> str:
    """The full table, a section for each group of codecs."""
    columns = [BYTES, MOST, COSINE, ("5 %", cosine05), ZERO_SHOT,
               of_field("top-5", "sets.imagenet.top5", percent),
               of_field("same class", "sets.imagenet.agree", percent), KL,
               of_field("text→image", "sets.imagenet.text_to_image", percent), *ACCURACIES[1:],
               NEIGHBOURS]  # fmt: skip
    keys = [point["key"] for point in kept.points()]
    parts = []
    for group, starts in GROUPS.items():
        chosen = [key for key in keys if key.startswith(starts)]
        keys = [key for key in keys if key not in chosen]
        if not chosen:
            continue
        tabled = rows(kept, ["original", *chosen], columns, "codec")
        parts.append(f"## {group}\n\n{tabled}")
    if keys != ["original"]:
        raise Missing(f"no section for {', '.join(key for key in keys if key != 'original')}")
    return "\n\n".join(parts)


def others(kept: Kept) -> list[Point]:
    """Codecs that are not ours, at what they really take: no bounds."""
    ours = (OURS, PQVAE, UNTRAINED, "pqvae:", "original")
    found = [p for p in kept.points() if "sets" in p and not p["key"].startswith(ours)]
    if not found:
        raise Missing("embeddings.json has no codec but ours")
    return found


LIMITS = (16, 34, 50, 75, 100, 150, 250)


def equal_bytes(kept: Kept) -> str:
    """At each size ours, and of the others the one with the least KL that is not larger."""
    columns = [BYTES, COSINE, ZERO_SHOT, KL, *ACCURACIES[1:], NEIGHBOURS]
    lines = []
    for limit in LIMITS:
        ours = kept.point(f"{OURS}@max_bytes={limit}")
        fitting = [point for point in others(kept) if point["bytes"] <= limit]
        best = min(fitting, key=lambda p: float(p["sets"]["imagenet"]["kl"]), default=None)
        lines.append([str(limit), f"**{named(OURS + '@')}**".replace("``", "`predictive`"),
                      *(cell(kept, ours) for _, cell in columns)])  # fmt: skip
        if best is not None:
            lines.append(["", f"`{best['key']}`", *(cell(kept, best) for _, cell in columns)])
    return table(["at most", "codec", *(name for name, _ in columns)], lines)


def winners(kept: Kept) -> str:
    """Each codec that needs no more bytes than ours may have, and is better by some measure."""
    measures: dict[str, Callable[[Point], float]] = {
        "cosine": lambda p: float(p["cosine"]),
        "KL": lambda p: -float(p["sets"]["imagenet"]["kl"]),
        **{name: lambda p, d=data, m=measure: float(p["sets"][d][m])  # type: ignore[misc]
           for (data, measure), name in TASKS.items()},
        "10-nn": lambda p: kept.neighbours(p["key"]),
    }  # fmt: skip
    lines = []
    for other in others(kept):
        for limit in sorted(kept.ladder()):  # the smallest that it fits in
            ours = kept.point(f"{OURS}@max_bytes={limit}")
            if other["bytes"] > limit:
                continue
            better = [name for name, value in measures.items() if value(other) > value(ours)]
            if better:
                lines.append([f"`{other['key']}`", size(other["bytes"]), f"`max_bytes={limit}`",
                              size(ours["bytes"]), ", ".join(better)])  # fmt: skip
            break
    if not lines:
        return "No other codec is better than ours at the same size, by any of these measures."
    return table(["codec", "bytes", "against", "bytes", "better by"], lines)


TABLES: dict[str, Callable[[Kept], str]] = {
    "fidelity": fidelity,
    "predictive": predictive,
    "l14": l14,
    "pqvae": pqvae,
    "storing-many": storing_many,
    "untrained": untrained,
    "uses": uses,
    "rate-distortion": rate_distortion,
    "equal-bytes": equal_bytes,
    "winners": winners,
}
