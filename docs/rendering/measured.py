"""The figures of real embeddings that the package itself shows, beside those of samples."""

from __future__ import annotations

import json
from pathlib import Path

from .kept import BITS, MAIN, OURS, PQVAE, UNTRAINED, Kept

PATH = Path("clipcodec/cli/measured.json")  # for `clipcodec demo`
KEYS = [
    *(f"{OURS}@max_bytes={size}" for size in (25, 50, 100)),
    *(f"{UNTRAINED}@max_bytes={size}" for size in (50, 100, 250)),
    *(f"{PQVAE}{bits}" for bits in BITS),
]


def text(kept: Kept) -> str:
    """The file: mean cosine of real embeddings, by profile and size."""
    cosines = {key: round(kept.value(key, "cosine"), 4) for key in KEYS}
    made = f"docs/results/{MAIN}.json, by python docs/render.py"
    return json.dumps({"from": made, "cosine": cosines}, indent=1) + "\n"
