"""Find pictures that are nearly the same: in a folder, or in a container.

    python examples/duplicates.py photos/
    python examples/duplicates.py photos.clpc --above 0.97

Prints the groups, one picture a line and an empty line between groups. Two pictures belong together
if the cosine of their embeddings is above --above. It is what a picture shows that counts: copies
that were made smaller or saved again are found, and so are two shots of one moment. Which limit is
right depends on the pictures: begin with the default, and look at what is found.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import clipcodec
from clipcodec.bulk import Job, Target

NEIGHBOURS = 20  # compared for each picture; larger groups come together by their members


def main() -> int:
    parser = argparse.ArgumentParser(description="Find pictures that are nearly the same.")
    parser.add_argument("source", type=Path, help="a folder of pictures, or a .clpc file")
    parser.add_argument("--above", type=float, default=0.95, help="least cosine (default: 0.95)")
    args = parser.parse_args()
    if not args.source.is_dir():
        return duplicates(args.source, args.above)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "pictures.clpc"
        # Finer than for search: what the codec leaves out must not hide a small difference.
        result = Job(args.source, made, Target(max_bytes=100)).run()
        for name, error, _ in result.failures:
            print(f"left out: {name}: {error}", file=sys.stderr)
        return duplicates(made, args.above) or (1 if result.failures else 0)


def duplicates(container: Path, above: float) -> int:
    with clipcodec.open(container) as photos:
        scores, indices = clipcodec.search(photos, photos.decode_all(), k=NEIGHBOURS)
        names = [id or f"item {place}" for place, id in enumerate(photos.ids)]
    first = list(range(len(names)))  # of the group that each picture belongs to

    def leader(place: int) -> int:
        while first[place] != place:
            first[place] = place = first[first[place]]
        return place

    for place, (row, others) in enumerate(zip(scores.tolist(), indices.tolist(), strict=True)):
        for score, other in zip(row, others, strict=True):
            if score > above:
                low, high = sorted((leader(place), leader(other)))
                first[high] = low
    groups: dict[int, list[str]] = {}
    for place, name in enumerate(names):
        groups.setdefault(leader(place), []).append(name)
    found = [group for group in groups.values() if len(group) > 1]
    if found:
        print("\n\n".join("\n".join(group) for group in found))
    print(f"{len(found)} groups among {len(names)} pictures", file=sys.stderr)
    return 0


if __name__ == "__main__":  # the job's worker processes import this file, too
    try:
        sys.exit(main())
    except (clipcodec.ClipcodecError, OSError) as error:
        sys.exit(f"duplicates: {error}")
