"""The ablation of arXiv 2509.05925 (Figure 5): sub-vectors of several sizes at equal bits.

Cells are specs of `peers/learned.py`. At 200, 400 and 800 bits, sub-vectors are as small and as
large as there can be codebooks for: of 2 to 256 codewords. Sizes of 65,536 codewords, of which the
paper has some, are left out: they take hours to train without a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .codecs import Training, parse_codec
from .evaluate import MEASURED_BY, Bench
from .peers.learned import codebook_use
from .results import Point, code_digest

SHARED: Mapping[int, Sequence[str]] = {
    200: ("pqvae:2,16", "pqvae:4,32", "pqvae:16,64", "pqvae:256,128"),
    400: ("pqvae:2,8", "pqvae:4,16", "pqvae:16,32", "pqvae:256,64"),
    800: ("pqvae:2,4", "pqvae:4,8", "pqvae:16,16", "pqvae:256,32"),
}  # by bits
OWN = tuple(f"{spec},own" for spec in SHARED[400])
CELLS = (*(spec for specs in SHARED.values() for spec in specs), *OWN)


def study(spec: str, training: Training, bench: Bench) -> Point:
    """The point of one cell for a result file: what a codec's point has, and how symbols are used.

      used     share of the codewords that some row uses
      entropy  of a codebook's symbols in bits, at most `limit` = log2 K
      ideal    bytes of a row, if each symbol were coded by the frequencies at its place

    Raises OptionError for a spec that is none of `peers/learned.py`.
    """
    codec = parse_codec(spec)
    point: Point = {
        "key": spec, "series": codec.series, "setting": codec.setting,
        "code": code_digest(codec.modules, codec.weights), "measured": code_digest(MEASURED_BY),
        "data": bench.digest,
    }  # fmt: skip
    if training.quick:
        point["quick"] = True
    point |= bench.measure(codec.code(bench.rows, training))
    use = codebook_use(spec, bench.rows, training)
    return point | {
        "used": round(use.used, 5),
        "entropy": round(use.entropy, 5),
        "limit": use.limit,
        "ideal": round(use.ideal / 8, 3),
    }
