"""Measure an average against a limit: `mean_bytes` beside `max_bytes`, on rows never trained on.

    python tests/bench/mean.py DATA [BYTES …]

DATA is as tests/bench/fidelity.py says; BYTES are 25, 50 and 100 unless given.

Columns: mean and largest stream in bytes; mean and 5th-percentile cosine over all rows; top-1 by
class text, and the divergence (KL, in nats) of the class probabilities, on ImageNet; share of the
ten nearest neighbours kept, within the last set.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from effort import log_softmax
from fidelity import load, neighbours

import clipcodec


def main() -> None:
    tasks = load(Path(sys.argv[1]))
    x = np.concatenate([task.rows for task in tasks])
    first, last = tasks[0], tasks[-1]
    before, kept = log_softmax(first.rows, first.references), neighbours(last.rows)
    print(f"{len(x)} rows\n{'':16}  mean  most  cosine     5 %  zero-shot     KL  10-nn")
    for size in [int(value) for value in sys.argv[2:]] or [25, 50, 100]:
        for name in ("max_bytes", "mean_bytes"):
            asked: dict[str, Any] = {name: size}
            streams = clipcodec.encode_embeddings(x, **asked)
            y = clipcodec.decode_batch(streams)
            sizes, cosines = [len(stream) for stream in streams], (x * y).sum(axis=1)
            head = y[: len(first.rows)]
            after = log_softmax(head, first.references)
            moved = (np.exp(before) * (before - after)).sum(axis=1).mean()
            pairs = zip(neighbours(y[-len(last.rows) :]), kept, strict=True)
            same = np.mean([np.isin(a, b).mean() for a, b in pairs])
            print(
                f"{name}={size:<5} {np.mean(sizes):6.1f} {max(sizes):5} {cosines.mean():7.4f}"
                f" {np.quantile(cosines, 0.05):7.4f} {first.accuracy(head):10.4f}"
                f" {moved:6.4f} {same:6.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
