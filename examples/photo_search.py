"""Search a folder of pictures by words, or by a picture.

    python examples/photo_search.py photos/ --text "two dogs on a beach" --image like-this.jpg

The first run compresses every picture into one small file beside the folder, photos.clpc. Later
runs add what is new and search that file: the pictures themselves are not opened again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import clipcodec
from clipcodec.bulk import Job, Target


def main() -> int:
    parser = argparse.ArgumentParser(description="Search a folder of pictures.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--text", action="append", default=[], help="what to look for, in words")
    parser.add_argument("--image", action="append", default=[], help="a picture of such a thing")
    parser.add_argument("--index", type=Path, help="the container (default: FOLDER.clpc)")
    parser.add_argument("-k", type=int, default=5, help="hits for each query (default: 5)")
    args = parser.parse_args()
    if not args.text and not args.image:
        parser.error("give --text or --image")
    if not args.folder.is_dir():
        parser.error(f"{args.folder} is no folder")
    index = args.index or Path(f"{args.folder.resolve()}.clpc")

    job = Job(args.folder, index, Target(max_bytes=50), mode="resume")
    result = job.run(progress=show)
    print(f"\r{index}: {result.compressed} new, {result.there_already} known", file=sys.stderr)
    for name, error, _ in result.failures:
        print(f"left out: {name}: {error}", file=sys.stderr)

    with clipcodec.open(index) as photos:
        queries = ((args.text, clipcodec.embed_texts), (args.image, clipcodec.embed_images))
        for names, embed in queries:
            if not names:
                continue
            hits = clipcodec.search(photos, embed(names), k=args.k)
            for query, scores, ids in zip(names, hits.scores.tolist(), hits.ids, strict=True):
                print(f"{query}:")
                for score, id in zip(scores, ids, strict=True):
                    print(f"  {score:.3f}  {id}")
    return 1 if result.failures else 0


def show(done: int, total: int | None) -> None:
    print(f"\r{done} of {total or '?'} pictures", end="", file=sys.stderr)


if __name__ == "__main__":  # the job's worker processes import this file, too
    try:
        sys.exit(main())
    except (clipcodec.ClipcodecError, OSError) as error:
        sys.exit(f"photo_search: {error}")
