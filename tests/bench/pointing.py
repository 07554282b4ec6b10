"""Measure what compression costs pointing: the right one of twenty photos for a class text.

    python tests/bench/pointing.py DATA [BYTES …]

DATA has imagenet.safetensors, as tests/bench/fidelity.py says. 500 times, a photo of each of twenty
held-out classes stands for a region, and each of the twenty class texts points at the best. Prints
the share that is right: not compressed, then at most BYTES (25, 34, 50, 100).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from fidelity import load

import clipcodec
from clipcodec.tasks.locating import Region, best_regions
from clipcodec.texts import TextEmbeddings

TRIALS, PHOTOS = 500, 20


def main() -> None:
    task = load(Path(sys.argv[1]))[0]
    x, texts, rng = task.rows, task.references, np.random.default_rng(0)
    of = [np.flatnonzero(task.labels == i) for i in range(len(texts))]
    trials = []
    for _ in range(TRIALS):
        classes = rng.choice(len(texts), PHOTOS, replace=False)
        trials.append((classes, [int(rng.choice(of[i])) for i in classes]))
    places = np.arange(PHOTOS)
    right = np.mean([(texts[c] @ x[r].T).argmax(axis=1) == places for c, r in trials])
    print(f"not compressed {right:.4f}")
    used = sorted({row for _, rows in trials for row in rows})
    boxes = [Region((i, 0, i + 1, 1)) for i in places.tolist()]
    codec = clipcodec.Codec()
    for size in [int(value) for value in sys.argv[2:]] or [25, 34, 50, 100]:
        coded = codec.encode_embeddings(x[used], max_bytes=size)
        streams = dict(zip(used, coded, strict=True))
        found: list[bool] = []
        for classes, rows in trials:
            names = TextEmbeddings(tuple(map(str, classes)), texts[classes], "openai-vit-b-32")
            best = best_regions(boxes, [streams[i] for i in rows], names, codec=codec)
            found += [hits[0].place == i for i, hits in enumerate(best)]
        print(f"max_bytes={size:<5} {np.mean(found):.4f}", flush=True)


if __name__ == "__main__":
    main()
