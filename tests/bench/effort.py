"""What an effort gains and costs, on labelled embeddings that training never saw.

    python tests/bench/effort.py DATA [--step N]

The images of ImageNet's held-out classes are encoded at most 50 bytes, and at quality 44. Four
minutes; with `--step 4`, one.

    bytes         of whole streams, on average
    cosine        to the original, mean
    kl            between the class probabilities before and after, in nats
    stays, top1   share of images whose best class stays, and whose best class is right
    milliseconds  of processor time to encode an embedding in a batch

`labels`: the class texts are given as `texts`; else the profile's own are used, of which none is
one of these classes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import kept
import numpy as np

import clipcodec
from clipcodec.evaluation.metrics import accuracy, agreement, divergence
from clipcodec.evaluation.sets import load_set
from clipcodec.profile.registry import DEFAULT

ASKED: tuple[dict[str, Any], ...] = ({"max_bytes": 50}, {"quality": 44})


def main(arguments: Sequence[str] | None = None) -> None:
    parser = kept.parser(__doc__, data=True)
    parser.add_argument("--step", type=int, default=1, metavar="N", help="take every N-th image")
    args = parser.parse_args(arguments)
    data = load_set(args.data / "imagenet.safetensors")
    assert data.labels is not None
    assert data.texts is not None
    x, labels, texts = data.rows[:: args.step], data.labels[:: args.step], data.texts
    file = kept.Kept("effort", args)
    for asked in ASKED:
        for effort, given in ((1, None), (3, None), (5, None), (7, None), (9, None), (5, texts)):
            began = time.process_time()
            streams = clipcodec.encode_embeddings(x, effort=effort, texts=given, **asked)
            spent = 1000 * (time.process_time() - began) / len(x)
            y = clipcodec.decode_batch(streams)
            setting = " ".join(f"{key}={value}" for key, value in asked.items())
            figures = {
                "bytes": np.mean([len(stream) for stream in streams]),
                "cosine": (x * y).sum(axis=1).mean(),
                "kl": divergence(x, y, texts),
                "stays": agreement(x, y, texts),
                "top1": accuracy(y, texts, labels),
                "milliseconds": spent,
            }
            key = f"{setting} effort={effort}" + (" labels" if given is not None else "")
            file.add(key, figures, data=kept.digest(x, labels, texts),
                     modules=(*kept.OUR_CODE, *kept.SETS_CODE), weights=kept.weights_of(DEFAULT),
                     series=setting, effort=effort, labels=given is not None,
                     images=len(x))  # fmt: skip
    file.finish()


if __name__ == "__main__":
    main()
