"""Learned codecs of arXiv 2509.05925: its baselines, and PQVAE-shared in the sizes of its ablation.

    vqvae:BITS             VQ-VAE with product quantisation: 200 sub-vectors of 16 channels, each
                           with a codebook of its own; BITS: 400, 600, 800, 1000, 1200 or 2000
    pqvae:K,SUBDIM[,own]   PQVAE-shared with K codewords for sub-vectors of SUBDIM channels, of 25
                           positions with 128 channels; `own`: a codebook for each sub-vector
    learned-sq:BITS        learned scalar quantisation: as many latents as the embedding has
                           dimensions, each of BITS bits (1, 2 or 3), with learned levels

All have one transform, one loss (the paper's eq. 7) and one training, of `networks.py`; only the
quantiser differs. Sizes are those of codes of fixed length, in whole bytes, without a header.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...embeddings import Embeddings
from ...entropy.tables import Symbols
from ...errors import OptionError
from ...kinds.pqvae.config import PqvaeConfig
from ..codecs import Coded, MeasuredCodec, Training
from ..results import code_digest

if TYPE_CHECKING:
    from .networks import Settings

VQVAE_CODEWORDS = {400: 4, 600: 8, 800: 16, 1000: 32, 1200: 64, 2000: 1024}  # by bits
_POSITIONS, _CHANNELS = 25, 128
_MAX_CODEWORDS = 4096  # more would take hours to train without a GPU
_LEVELS_BITS = (1, 2, 3)
_STEPS, _QUICK_STEPS = 1200, 60
_BATCH = 256  # many steps of few rows do better in the same time than few of many
# What decides a network, and what else decides a codec
_TRAINED_BY = (
    "evaluation/peers/networks.py", "training/network.py", "training/codebook.py",
    "training/pqvae.py", "kinds/pqvae/*.py", "kinds/exact.py",
)  # fmt: skip
_MODULES = ("evaluation/peers/learned.py", *_TRAINED_BY)


class Shape(NamedTuple):
    """Sizes that a spec asks for.

    positions  None: as many latents as the embedding has dimensions
    """

    series: str
    codewords: int
    sub_dim: int
    own: bool
    positions: int | None

    def config(self, dim: int) -> PqvaeConfig:
        """For embeddings of width `dim`."""
        if self.positions is None:
            groups = max(g for g in range(1, 9) if dim % g == 0)
            return PqvaeConfig(
                dim, positions=dim // groups, channels=groups, sub_dim=1, rank=1,
                codewords=self.codewords,
            )  # fmt: skip
        count = self.positions * _CHANNELS // self.sub_dim
        bits = count * _bits(self.codewords)
        # As many latents at all sizes of sub-vectors, so that only the quantiser changes.
        latents = min(bits, 400) if bits <= 1000 else 600
        rank = max(1, latents // count)
        return PqvaeConfig(
            dim, positions=self.positions, channels=_CHANNELS, sub_dim=self.sub_dim,
            codewords=self.codewords, rank=min(rank, self.sub_dim),
        )  # fmt: skip


def family(name: str, argument: str) -> MeasuredCodec:
    """The codec of one spec, see the module. Raises OptionError for an argument that makes none."""
    spec = f"{name}:{argument}"
    shape = _shape(name, argument)
    coder = _coder(shape)

    def code(x: Embeddings, training: Training) -> Coded:
        symbols, rows = coder(x, training)
        size = -(-symbols.shape[1] * _bits(shape.codewords) // 8)
        return Coded(rows, np.full(len(x), float(size)))

    def more(x: Embeddings, training: Training) -> dict[str, float]:
        return _codebook_use(shape, coder(x, training)[0])

    return MeasuredCodec(spec, shape.series, argument, code, _MODULES, more=more)


def _codebook_use(shape: Shape, symbols: Symbols) -> dict[str, float]:
    """How well codebooks are used, from symbols (N, n); means, if there are several codebooks.

    used     share of the codewords that some row uses
    entropy  of a codebook's symbols, in bits
    limit    log2 K: what the entropy is at most
    ideal    bytes of a row, if each symbol were coded by the frequencies at its place
    """
    counts = np.stack([np.bincount(column, minlength=shape.codewords) for column in symbols.T])
    books = counts if shape.own else counts.sum(axis=0, keepdims=True)
    return {
        "used": float((books > 0).mean()),
        "entropy": float(_entropy(books).mean()),
        "limit": float(_bits(shape.codewords)),
        "ideal": float(_entropy(counts).sum()) / 8,
    }


def _coder(shape: Shape) -> Callable[[Embeddings, Training], tuple[Symbols, Embeddings]]:
    """Codes rows with the network of a shape, which it trains if there is none."""

    def coder(x: Embeddings, training: Training) -> tuple[Symbols, Embeddings]:
        from . import networks

        return networks.code(networks.trained(_settings(shape, training), training), x)

    return coder


def _settings(shape: Shape, training: Training) -> Settings:
    from ...training.pqvae import Recipe
    from .networks import Settings

    config = shape.config(training.rows.shape[1])
    recipe = Recipe(
        codewords=config.codewords, sub_dim=config.sub_dim, rank=config.rank, batch=_BATCH,
        steps=_QUICK_STEPS if training.quick else _STEPS,
        warmup=20 if training.quick else 100,
    )  # fmt: skip
    return Settings(config, recipe, shape.own, code_digest(_TRAINED_BY))


def _shape(name: str, argument: str) -> Shape:
    spec = f"{name}:{argument}"
    parts = argument.split(",")
    own = name == "pqvae" and parts[2:] == ["own"]
    expected = {"vqvae": 1, "pqvae": 3 if own else 2, "learned-sq": 1}[name]
    try:
        numbers = [int(part) for part in (parts[:2] if own else parts)]
    except ValueError:
        numbers = []
    if len(parts) != expected or not numbers:
        example = {"vqvae": "vqvae:400", "pqvae": "pqvae:4,16 or pqvae:4,16,own",
                   "learned-sq": "learned-sq:2"}[name]  # fmt: skip
        raise OptionError(f"codec {spec!r}: expected such as {example}")
    if name == "vqvae":
        if numbers[0] not in VQVAE_CODEWORDS:
            rates = ", ".join(map(str, VQVAE_CODEWORDS))
            raise OptionError(f"codec {spec!r}: {numbers[0]} bits: expected one of {rates}")
        return Shape("vqvae", VQVAE_CODEWORDS[numbers[0]], 16, True, _POSITIONS)
    if name == "learned-sq":
        if numbers[0] not in _LEVELS_BITS:
            raise OptionError(f"codec {spec!r}: expected 1, 2 or 3 bits a dimension")
        return Shape("learned-sq", 1 << numbers[0], 1, False, None)
    codewords, sub_dim = numbers
    if codewords not in {1 << bits for bits in range(1, _bits(_MAX_CODEWORDS) + 1)}:
        raise OptionError(
            f"codec {spec!r}: {codewords} codewords: expected a power of two in "
            f"2 … {_MAX_CODEWORDS}; more take too long to train"
        )
    if sub_dim < 1 or _CHANNELS % sub_dim:
        raise OptionError(
            f"codec {spec!r}: sub-vectors of {sub_dim} channels: expected a divisor of {_CHANNELS}"
        )
    return Shape(f"pqvae {sub_dim}{' own' if own else ''}", codewords, sub_dim, own, _POSITIONS)


def _bits(codewords: int) -> int:
    return (codewords - 1).bit_length()


def _entropy(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of each row of counts (m, K), in bits."""
    p = counts / counts.sum(axis=1, keepdims=True)
    found: NDArray[np.float64] = -(p * np.log2(np.where(p > 0, p, 1))).sum(axis=1)
    return found
