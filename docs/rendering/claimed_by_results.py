"""Claims whose numbers are those of docs/results, and those that wait for a result file."""

from __future__ import annotations

import math

from .claim import Claim
from .kept import OURS, UNTRAINED, Kept, short_cosine, size, words
from .tables import least, losses

EMBEDDINGS = "docs/results/embeddings.json"


def within(kept: Kept, limit: int) -> str:
    """The points of zero-shot accuracy that are lost, rounded up, as a word."""
    return words(max(1, math.ceil(round(kept.lost(f"{OURS}@max_bytes={limit}"), 2))))


def points(text: str) -> str:
    return f"{text} point{'' if text == 'one' else 's'}"


def untrained_cosine(kept: Kept, limit: int) -> str:
    return short_cosine(kept.value(f"{UNTRAINED}@max_bytes={limit}", "cosine"))


def overtaken(kept: Kept, limit: int) -> str:
    """The largest size of the default profile whose cosine the untrained one reaches."""
    reached = kept.value(f"{UNTRAINED}@max_bytes={limit}", "cosine")
    below = [n for n in kept.ladder() if kept.ours(n, "cosine") <= reached + 0.0005]
    return str(max(below, default=0))


def enough(kept: Kept, use: str, points: float) -> str:
    """The bytes with which a use loses at most so many points, "none" if no size is enough."""
    return str(least(losses(kept)[use], points) or "none")


BY_RESULTS = [
    Claim(
        "README.md",
        "At 50 bytes, header and check value included, the mean cosine is {} and zero-shot "
        "accuracy is within {} of the original;",
        EMBEDDINGS,
        lambda r: [short_cosine(r.ours(50, "cosine")), points(within(r, 50))],
    ),
    Claim(
        "README.md",
        "Uncompressed embeddings reach the accuracy in brackets, and take {} bytes each (float32).",
        EMBEDDINGS,
        lambda r: [size(r.value("original", "bytes"))],
    ),
    Claim(
        "docs/storing-many.md",
        "with `mean_bytes=50` ImageNet's images take {} bytes on average, and the flowers {}",
        EMBEDDINGS,
        lambda r: [
            size(r.ours(50, f"sets.{data}.bytes", "mean_bytes"))
            for data in ("imagenet", "oxford_flowers")
        ],
    ),
    Claim(
        "docs/choosing-a-rate.md",
        "So take {} bytes for tagging and for search by words, and {} or more to find similar "
        "images and duplicates.",
        EMBEDDINGS,
        lambda r: [enough(r, "zero-shot", 2), enough(r, "10-nn", 10)],
    ),
    Claim(
        "docs/choosing-a-rate.md",
        "with limits of 25, 50 and 100 the mean is {}, {} and {}.",
        EMBEDDINGS,
        lambda r: [size(r.ours(n, "bytes")) for n in (25, 50, 100)],
    ),
    Claim(
        "docs/any-model.md",
        "At 150 bytes it keeps what the trained profile keeps at {}, and below half a bit per "
        "dimension (32 bytes at 512) it keeps little.",
        EMBEDDINGS,
        lambda r: [overtaken(r, 150)],
    ),
    Claim(
        "docs/profiles.md",
        "At 512 dimensions its cosine is {} at 50 bytes and {} at 100;",
        EMBEDDINGS,
        lambda r: [untrained_cosine(r, 50), untrained_cosine(r, 100)],
    ),
    Claim(
        "docs/recipes.md",
        "The default quality was set to 50 afterwards; there zero-shot accuracy is within {} of "
        "the original.",
        EMBEDDINGS,
        lambda r: [points(words(max(1, math.ceil(round(r.lost(OURS), 2)))))],
    ),
]
