"""The ablation of arXiv 2509.05925 (Figure 5): sub-vectors of several sizes at equal bits.

Cells are specs of `peers/learned.py`. At 200, 400 and 800 bits, sub-vectors are as small and as
large as there can be codebooks for: of 2 to 256 codewords. Sizes of 65,536 codewords, of which the
paper has some, are left out: they take hours to train without a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SHARED: Mapping[int, Sequence[str]] = {
    200: ("pqvae:2,16", "pqvae:4,32", "pqvae:16,64", "pqvae:256,128"),
    400: ("pqvae:2,8", "pqvae:4,16", "pqvae:16,32", "pqvae:256,64"),
    800: ("pqvae:2,4", "pqvae:4,8", "pqvae:16,16", "pqvae:256,32"),
}  # by bits; one codebook for all sub-vectors
OWN = tuple(f"{spec},own" for spec in SHARED[400])
CELLS = (*(spec for specs in SHARED.values() for spec in specs), *OWN)
