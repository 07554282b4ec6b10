"""The tables in the layout of the paper, arXiv 2509.05925."""

from __future__ import annotations

from collections.abc import Callable

from .kept import BITS, OURS, PQVAE, TASKS, Kept, Missing, percent, size, table

SETS = {  # rows of Table 1: what they are called here
    ("imagenet", "top1"): "ImageNet-200, zero-shot",
    ("oxford_flowers", "prototype"): "Oxford Flowers, prototypes",
    ("ucf101", "prototype"): "UCF101, prototypes",
    ("fgvc", "prototype"): "FGVC-Aircraft, prototypes",
}
LIMITS = dict(zip(BITS, (50, 75, 100, 125, 150, 250), strict=True))  # bytes of the same bits
CODECS: dict[str, Callable[[int], str]] = {
    "VQ-VAE, k-means PQ": lambda bits: f"vqvae:{bits}",
    "PQVAE-shared": lambda bits: f"{PQVAE}{bits}",
    "`predictive`": lambda bits: f"{OURS}@max_bytes={LIMITS[bits]}",
}
# Its own figures: zero-shot %, ViT-L/14@336px; PQVAE-shared at the six rates, learned scalar
# quantisation at 1, 2 and 3 bits per dimension, uncompressed
PUBLISHED: dict[str, tuple[tuple[float, ...], tuple[float, ...], float | None]] = {
    "ImageNet-200": ((81.81, 84.31), (), None),
    "Oxford Pets": ((83.55, 87.30, 88.08, 88.46, 89.15, 90.52), (81.33, 82.28, 83.56), 90.99),
    "Caltech101": ((85.43, 86.12, 86.91, 87.60, 88.03, 88.07), (83.28, 83.38, 83.61), 88.84),
    "Tiny-ImageNet": ((63.71, 66.95, 67.78, 68.10, 68.94, 70.62), (62.99, 66.27, 67.84), 71.73),
    "Food101": ((79.39, 84.48, 85.99, 86.16, 87.00, 87.98), (84.22, 84.88, 85.58), 88.84),
}


def table_1(kept: Kept) -> str:
    """Accuracy in %: rows are sets and codecs, columns the six rates."""
    head = ["", "codec", *(f"{bits} bits" for bits in BITS), "uncompressed"]
    lines = []
    for (data, measure), name in SETS.items():
        field = f"sets.{data}.{measure}"
        best = percent(kept.value("original", field), 2)
        for codec, key in CODECS.items():
            values = [percent(kept.value(key(bits), field), 2) for bits in BITS]
            lines.append([name, codec, *values, best])
    return table(head, lines)


def table_1_bytes(kept: Kept) -> str:
    """What the streams of Table 1 take."""
    head = ["mean bytes", *(f"{bits} bits" for bits in BITS)]
    lines = [[codec, *(size(kept.value(key(bits), "bytes")) for bits in BITS)]
             for codec, key in CODECS.items()]  # fmt: skip
    return table(head, lines)


def table_1_scalar(kept: Kept) -> str:
    """Learned scalar quantisation at 1, 2 and 3 bits a dimension, and ours at fewer bytes."""
    rates = (1, 2, 3)
    ladder = kept.ladder()
    head = ["", *(f"{n} bpd, {64 * n} bytes" for n in rates)]
    against = []
    for n in rates:
        fitting = [limit for limit in ladder if limit <= 64 * n]
        if not fitting:
            raise Missing(f"embeddings.json has no point of {OURS} with at most {64 * n} bytes")
        against.append(max(fitting))
    head += [f"`max_bytes={limit}`" for limit in against]
    lines = []
    for (data, measure), name in SETS.items():
        keys = [f"learned-sq:{n}" for n in rates] + [f"{OURS}@max_bytes={n}" for n in against]
        lines.append([name, *(percent(kept.value(key, f"sets.{data}.{measure}"), 2)
                              for key in keys)])  # fmt: skip
    return table(head, lines)


def published(_: Kept) -> str:
    """The paper's own Table 1."""
    head = ["paper, ViT-L/14@336px", *(f"{bits} bits" for bits in BITS), "SQ 1 bpd", "SQ 2 bpd",
            "SQ 3 bpd", "uncompressed"]  # fmt: skip
    lines = []
    for name, (shared, scalar, best) in PUBLISHED.items():
        values = [*shared, *[None] * (6 - len(shared)), *scalar, *[None] * (3 - len(scalar)), best]
        lines.append([name, *("" if value is None else f"{value:.2f}" for value in values)])
    return table(head, lines)


assert set(SETS) == set(TASKS)
PAPER: dict[str, Callable[[Kept], str]] = {
    "table-1": table_1,
    "table-1-bytes": table_1_bytes,
    "table-1-scalar": table_1_scalar,
    "table-1-published": published,
}
