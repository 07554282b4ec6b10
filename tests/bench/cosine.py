"""Mean cosine of one profile at some sizes, on one array of embeddings.

    python tests/bench/cosine.py FILE ARRAY PROFILE [BYTES …]

FILE is a safetensors file, ARRAY the name of embeddings (N, D) in it, PROFILE a registered name or
a file; BYTES are 25, 50, 100, 150 and 250 unless given. If FILE has `imagenet_text` (M, D), the
divergence (KL, in nats) of the class probabilities over these texts stands beside.
"""

from __future__ import annotations

import sys

import numpy as np
from effort import log_softmax
from safetensors.numpy import load_file

import clipcodec
from clipcodec.embeddings import as_embeddings


def main() -> None:
    file, array, profile, *sizes = sys.argv[1:]
    tensors = load_file(file)
    x = as_embeddings(tensors[array])
    texts = as_embeddings(tensors["imagenet_text"]) if "imagenet_text" in tensors else None
    print(f"{len(x)} rows of {array}\n{'':14}   mean  cosine     KL")
    codec = clipcodec.Codec(profile)
    for size in [int(value) for value in sizes] or [25, 50, 100, 150, 250]:
        streams = codec.encode_embeddings(x, max_bytes=size)
        y = codec.decode_batch(streams)
        mean, cosine = np.mean([*map(len, streams)]), (x * y).sum(axis=1).mean()
        line = f"max_bytes={size:<4} {mean:6.1f}  {cosine:.4f}"
        if texts is not None:
            before, after = log_softmax(x, texts), log_softmax(y, texts)
            line += f" {(np.exp(before) * (before - after)).sum(axis=1).mean():.4f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
