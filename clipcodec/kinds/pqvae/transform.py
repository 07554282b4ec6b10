"""The networks of PQVAE-shared in numpy (formats/pqvae.md; arXiv 2509.05925).

A linear path with small ReLU networks beside it, in both directions. The symbols of a group (the
g-th sub-vector of every position) are chosen after those of the groups before it, whose codewords
are known then: later groups reduce the error that earlier ones left.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...embeddings import Embeddings
from ...entropy.tables import Symbols
from ...system.forks import cached_property
from ..exact import Doubles, ExactProduct
from .config import PqvaeConfig
from .quantizer import SharedProductQuantizer

Array = NDArray[np.float32]


class PqvaeTransform:
    """Analysis and synthesis of one profile. Weights are kept as float32, read on first use."""

    def __init__(self, config: PqvaeConfig, tensors: Mapping[str, NDArray[Any]]) -> None:
        self.config = config
        self._tensors = tensors

    @staticmethod
    def shapes(config: PqvaeConfig) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor of the networks."""
        d, width = config.dim, config.count * config.rank
        return {
            "center": (d,),
            "scale": (1,),
            "analysis.linear": (d, width),
            "analysis.bias": (width,),
            "analysis.hidden": (d, config.analysis),
            "analysis.hidden_bias": (config.analysis,),
            "analysis.out": (config.analysis, width),
            "analysis.feedback": feedback_shape(config),
            "analysis.lift": (config.rank, config.sub_dim),
            "synthesis.lower": (config.sub_dim, config.rank),
            "synthesis.linear": (width, d),
            "synthesis.bias": (d,),
            "synthesis.hidden": (config.blocks, d, config.synthesis),
            "synthesis.hidden_bias": (config.blocks, config.synthesis),
            "synthesis.out": (config.blocks, config.synthesis, d),
        }

    def _load(self, part: str) -> dict[str, Array]:
        prefix = f"{part}."
        return {
            name.removeprefix(prefix): tensor.astype(np.float32)
            for name, tensor in self._tensors.items()
            if name.startswith(prefix)
        }

    @cached_property
    def _synthesis(self) -> dict[str, Array]:
        return self._load("synthesis")

    @cached_property
    def _center(self) -> Array:
        return self._tensors["center"].astype(np.float32)

    @cached_property
    def _scale(self) -> Array:
        return self._tensors["scale"].astype(np.float32)

    @cached_property
    def _analysis(self) -> _Analysis:
        norm = (1 + float(np.linalg.norm(self._center))) / float(self._scale[0])
        return _Analysis(self.config, self._load("analysis"), self._synthesis["lower"], norm)

    def analyse(self, x: Embeddings, quantizer: SharedProductQuantizer) -> Symbols:
        """Embeddings (N, D) → symbols (N, n), group by group, nearest codeword each.

        The quantiser takes coordinates along `analysis.lift`.
        """
        return self._analysis((x - self._center) / self._scale, quantizer)

    def synthesise(self, latent: Array) -> Embeddings:
        """Codewords (N, n, d_sub) → embeddings (N, D), not yet of unit norm."""
        w = self._synthesis
        y = (latent @ w["lower"]).reshape(len(latent), -1) @ w["linear"] + w["bias"]
        for hidden, bias, out in zip(w["hidden"], w["hidden_bias"], w["out"], strict=True):
            y += np.maximum(y @ hidden + bias, 0) @ out
        return np.asarray(y * self._scale + self._center, np.float32)


class _Analysis:
    """The encoder's networks, in products whose sums are exact."""

    def __init__(self, config: PqvaeConfig, w: dict[str, Array], lower: Array, norm: float) -> None:
        """lower: what a codeword adds to the latent; norm: of the largest input."""
        self.config, self.bias, self.hidden_bias = config, w["bias"], w["hidden_bias"]
        self.linear = ExactProduct(w["linear"], norm)
        self.hidden = ExactProduct(w["hidden"], norm)
        units = np.abs(self.hidden_bias) + norm * np.sqrt((w["hidden"] ** 2).sum(axis=0))
        self.out = ExactProduct(w["out"], units)
        self.lower, self.feedback = lower, w["feedback"]

    @lru_cache(maxsize=4)  # noqa: B019 - as long-lived as its profile
    def _lowered(self, quantizer: SharedProductQuantizer) -> tuple[Doubles, list[ExactProduct]]:
        """Each codeword's part in the latent, and what it feeds back to each group after it."""
        lowered = ExactProduct(self.lower, np.abs(quantizer.codebook).max())(quantizer.codebook)
        step = self.config.positions * self.config.rank
        bounds = [step * (g * (g - 1) // 2) for g in range(1, self.config.groups + 1)]
        reach = np.abs(lowered).max()
        return lowered, [ExactProduct(self.feedback[a:b], reach) for a, b in pairwise(bounds)]

    def __call__(self, x: Array, quantizer: SharedProductQuantizer) -> Symbols:
        config = self.config
        lowered, feedback = self._lowered(quantizer)
        open_loop = self.linear(x) + self.bias
        open_loop += self.out(np.maximum(self.hidden(x) + self.hidden_bias, 0))
        step = config.positions * config.rank
        chosen = np.empty_like(open_loop)
        symbols = np.empty((len(x), config.count), np.int64)
        for group in range(config.groups):
            end = group * step
            latent = open_loop[:, end : end + step]
            if group:
                latent = latent + feedback[group - 1](chosen[:, :end])
            columns = slice(group * config.positions, (group + 1) * config.positions)
            symbols[:, columns] = quantizer.quantize(
                latent.reshape(len(x), config.positions, config.rank)
            )
            chosen[:, end : end + step] = lowered[symbols[:, columns]].reshape(len(x), step)
        return symbols


def feedback_shape(config: PqvaeConfig) -> tuple[int, int]:
    """The matrices from groups 0 … g-1 to group g, for g = 1, 2, …, one below the other."""
    step = config.positions * config.rank
    return step * (config.groups * (config.groups - 1) // 2), step
