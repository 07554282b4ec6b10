"""Say which of some words fits each picture best: of a folder, or of a container.

    python examples/classify.py photos/ --labels cat dog horse
    python examples/classify.py photos.clpc --labels cat dog horse --sure 0.8 > labels.tsv

Writes one line for each picture: its name, the label and the probability. Pictures below --sure get
no label. No classifier is trained: the labels are words, and CLIP's text encoder knows them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import clipcodec
from clipcodec.bulk import Job, Target


def main() -> int:
    parser = argparse.ArgumentParser(description="Name the pictures of a folder or container.")
    parser.add_argument("source", type=Path, help="a folder of pictures, or a .clpc file")
    parser.add_argument("--labels", nargs="+", required=True, metavar="LABEL")
    parser.add_argument("--sure", type=float, default=0.0, help="least probability (default: 0)")
    args = parser.parse_args()
    if not args.source.is_dir():
        return classify(args.source, args.labels, args.sure)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "pictures.clpc"
        result = Job(args.source, made, Target(max_bytes=50)).run()
        for name, error, _ in result.failures:
            print(f"left out: {name}: {error}", file=sys.stderr)
        return classify(made, args.labels, args.sure) or (1 if result.failures else 0)


def classify(container: Path, labels: list[str], sure: float) -> int:
    counts: Counter[str] = Counter()
    with clipcodec.open(container) as photos:
        # Around each label 80 sentences such as "a photo of a cat.", as CLIP's authors did.
        found = clipcodec.classify(photos, labels, k=1, templates="imagenet")
        for place, ([name], [probability]) in enumerate(
            zip(found.names, found.probabilities.tolist(), strict=True)
        ):
            label = name if probability >= sure else ""
            counts[label or "no label"] += 1
            print(photos.item(place).id, label, f"{probability:.3f}", sep="\t")
    print(", ".join(f"{label}: {count}" for label, count in counts.most_common()), file=sys.stderr)
    return 0


if __name__ == "__main__":  # the job's worker processes import this file, too
    try:
        sys.exit(main())
    except (clipcodec.ClipcodecError, OSError) as error:
        sys.exit(f"classify: {error}")
