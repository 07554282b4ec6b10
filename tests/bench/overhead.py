"""Bytes of a stream beyond the information in its symbols: header, check value, end of the data.

    python tests/bench/overhead.py DATA [--profile PROFILE …]

Every image of the sets is encoded by each profile as it is (default: all of this width). Two
minutes.

    bytes             of whole streams, on average
    beyond            of them beyond the information by the profile's frequency tables, mean
    beyond_most       the same, in the worst stream
"""

from __future__ import annotations

from collections.abc import Sequence

import kept
import numpy as np

import clipcodec


def main(arguments: Sequence[str] | None = None) -> None:
    parser = kept.parser(__doc__, data=True)
    parser.add_argument("--profile", nargs="+", metavar="PROFILE")
    parser.add_argument("--rows", type=int, metavar="N", help="at most N images of each set")
    args = parser.parse_args(arguments)
    sets, data = kept.sets_of(args.data, args.rows)
    x = np.concatenate([part.rows for part in sets])
    names = args.profile or [
        row.name for row in clipcodec.profiles() if row.dim in (None, x.shape[1])
    ]
    file = kept.Kept("overhead", args)
    for name in names:
        streams = clipcodec.encode_embeddings(x, profile=name)
        over = np.array([len(s) - clipcodec.info(s).information for s in streams])
        figures = {
            "bytes": np.mean([len(s) for s in streams]),
            "beyond": over.mean(), "beyond_most": over.max(),
        }  # fmt: skip
        file.add(name, figures, data=data, modules=kept.OUR_CODE, weights=kept.weights_of(name),
                 series=name, images=len(x))  # fmt: skip
    file.finish()


if __name__ == "__main__":
    main()
