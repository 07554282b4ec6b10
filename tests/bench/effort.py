"""Measure what an effort gains and costs, on labelled embeddings that training never saw.

    python tests/bench/effort.py DATA [STEP]

DATA holds imagenet.safetensors, as tests/bench/fidelity.py says; every STEP-th row of its held-out
classes is used (1). The rows are encoded at most 50 bytes, and at quality 44.

Columns: bytes of whole streams; cosine; divergence (KL, in nats) between the class probabilities
before and after; share of rows whose best class stays, and whose best class is right; milliseconds
of processor time to encode an embedding in a batch. `labels`: the class texts are given as `texts`;
else the profile's own are used, of which none is one of these classes.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from fidelity import load, unit

import clipcodec

ASKED: tuple[dict[str, Any], ...] = ({"max_bytes": 50}, {"quality": 44})


def log_softmax(rows: np.ndarray, texts: np.ndarray) -> np.ndarray:
    scores = 100 * rows.astype(np.float64) @ texts.T
    scores -= scores.max(axis=1, keepdims=True)
    return np.asarray(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)))


def main() -> None:
    task = load(Path(sys.argv[1]))[0]
    step = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    x, labels, texts = unit(task.rows[::step]), task.labels[::step], task.references
    before = log_softmax(x, texts)
    print(f"{len(x)} rows\n{'':24} bytes  cosine     KL   stays  right      ms")
    for asked in ASKED:
        for effort, given in ((1, None), (3, None), (5, None), (7, None), (9, None), (5, texts)):
            began = time.process_time()
            streams = clipcodec.encode_embeddings(x, effort=effort, texts=given, **asked)
            spent = 1000 * (time.process_time() - began) / len(x)
            y = clipcodec.decode_batch(streams)
            after = log_softmax(y, texts)
            divergence = (np.exp(before) * (before - after)).sum(axis=1).mean()
            best = after.argmax(axis=1)
            name = " ".join(f"{key}={value}" for key, value in asked.items())
            name += f" effort={effort}" + (" labels" if given is not None else "")
            size = np.mean([len(stream) for stream in streams])
            print(
                f"{name:24} {size:6.1f} {(x * y).sum(axis=1).mean():7.4f}"
                f" {divergence:6.4f} {(best == before.argmax(axis=1)).mean():7.3f}"
                f" {(best == labels).mean():6.3f} {spent:7.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
