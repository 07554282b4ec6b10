"""Keep streams of the release at hand, for every later one to decode.

    python tests/releases/keep.py

Writes VERSION.json beside this file, adds its SHA-256 to SHA256SUMS, and adds what this release is
the first to have to frozen.sha256: vectors, profile files, the set. To be run once for a version,
before it is tagged. A set that exists is never made again.
"""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import clipcodec
from clipcodec.profile.registry import by_name

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]
from tests.releases import frozen  # noqa: E402

FOLDER = Path(__file__).parent
PER_OPTION = 3
HEAD = 8  # values of each embedding that are kept


def samples(name: str, seed: int) -> np.ndarray:
    profile = by_name(name)
    if profile.statistics is not None:
        return profile.statistics.draw(PER_OPTION, seed=seed)
    return np.random.default_rng(seed).standard_normal((PER_OPTION, profile.dim or 48))


def options(name: str) -> Iterator[dict[str, Any]]:
    if by_name(name).kind.qualities:
        yield from ({}, {"quality": 10}, {"quality": 90}, {"max_bytes": 30}, {"min_cosine": 0.95})
    else:
        yield from ({"entropy": coder} for coder in by_name(name).kind.coders)


def kept() -> Iterator[dict[str, Any]]:
    codec = clipcodec.Codec()
    for row in clipcodec.profiles():
        for seed, wanted in enumerate(options(row.name)):
            x = samples(row.name, 1000 + seed)
            for stream in clipcodec.encode_embeddings(x, profile=row.name, **wanted):
                symbols = codec.symbols(stream).astype(">i2").tobytes()
                yield {
                    "profile": row.name,
                    "asked": wanted,
                    "stream": stream.hex(),
                    "symbols_sha256": hashlib.sha256(symbols).hexdigest(),
                    "embedding": [round(float(v), 7) for v in codec.decode(stream)[:HEAD]],
                }


def main() -> None:
    path = FOLDER / f"{clipcodec.__version__}.json"
    if path.exists():
        print(f"{path.name} is kept already")
    else:
        keep(path)
    print(f"frozen with this release: {frozen.freeze()} files more, {len(frozen.listed())} in all")


def keep(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", clipcodec.BackboneWarning)
        text = ",\n".join(json.dumps(row) for row in kept())
    with path.open("x", encoding="utf-8") as file:
        file.write(f"[\n{text}\n]\n")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with (FOLDER / "SHA256SUMS").open("a", encoding="utf-8") as sums:
        sums.write(f"{digest}  {path.name}\n")


if __name__ == "__main__":
    main()
