"""What compression costs pointing: the right one of twenty photos for a class text.

    python tests/bench/pointing.py DATA [--max-bytes N …]

500 times, a photo of each of twenty held-out classes of ImageNet stands for a region, and each of
the twenty class texts points at the best. One minute.

    right   share of texts for which the best photo is of their class
"""

from __future__ import annotations

from collections.abc import Sequence

import kept
import numpy as np

import clipcodec
from clipcodec.evaluation.sets import load_set
from clipcodec.profile.registry import DEFAULT
from clipcodec.tasks.locating import Region, best_regions
from clipcodec.texts import TextEmbeddings

TRIALS, PHOTOS = 500, 20
MODULES = (*kept.OUR_CODE, "tasks/locating/*.py", "evaluation/sets.py")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = kept.parser(__doc__, data=True)
    parser.add_argument("--max-bytes", type=int, nargs="+", default=(25, 34, 50, 100), metavar="N")
    parser.add_argument("--trials", type=int, default=TRIALS, metavar="N", help="%(default)s")
    args = parser.parse_args(arguments)
    task = load_set(args.data / "imagenet.safetensors")
    assert task.labels is not None
    assert task.texts is not None
    x, texts, rng = task.rows, task.texts, np.random.default_rng(0)
    of = [np.flatnonzero(task.labels == i) for i in range(len(texts))]
    photos = min(PHOTOS, len(texts))
    trials = []
    for _ in range(args.trials):
        classes = rng.choice(len(texts), photos, replace=False)
        trials.append((classes, [int(rng.choice(of[i])) for i in classes]))
    places = np.arange(photos)
    file = kept.Kept("pointing", args)

    def keep(key: str, size: float, right: float) -> None:
        file.add(key, {"bytes": size, "right": right}, data=task.digest, modules=MODULES,
                 weights=kept.weights_of(DEFAULT), trials=args.trials, photos=photos)  # fmt: skip

    right = np.mean([(texts[c] @ x[r].T).argmax(axis=1) == places for c, r in trials])
    keep("not compressed", 4.0 * x.shape[1], float(right))
    used = sorted({row for _, rows in trials for row in rows})
    boxes = [Region((i, 0, i + 1, 1)) for i in places.tolist()]
    codec = clipcodec.Codec()
    for size in args.max_bytes:
        coded = codec.encode_embeddings(x[used], max_bytes=size)
        streams = dict(zip(used, coded, strict=True))
        found: list[bool] = []
        for classes, rows in trials:
            names = TextEmbeddings(tuple(map(str, classes)), texts[classes], "openai-vit-b-32")
            best = best_regions(boxes, [streams[i] for i in rows], names, codec=codec)
            found += [hits[0].place == i for i, hits in enumerate(best)]
        keep(f"max_bytes={size}", float(np.mean([*map(len, coded)])), float(np.mean(found)))
    file.finish()


if __name__ == "__main__":
    main()
