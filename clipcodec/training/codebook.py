"""The shared codebook in training: k-means start, moving averages, dead-codeword restart."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..kinds.pqvae.quantizer import SharedProductQuantizer


class Nearest(NamedTuple):
    symbols: Tensor
    values: Tensor


class Codebook:
    """K codewords (K, rank) kept as exponential moving averages of what they code.

    The averages take the place of the codebook term of eq. 7 (α‖sg(x_c) − x̂_c‖²), whose minimum
    they track. A codeword that codes less than `dead` of its fair share is put on a random latent.
    """

    def __init__(
        self, size: int, rank: int, generator: torch.Generator, *,
        decay: float = 0.99, dead: float = 0.03,
    ) -> None:  # fmt: skip
        self.generator = generator
        self.decay = decay
        self.dead = dead
        self.restarts = 0
        # latents start out whitened, so the best codebook for a Gaussian is where to begin
        samples = torch.randn(max(20_000, 100 * size), rank, generator=generator)
        self.codewords = samples[:size].clone()
        for _ in range(20):
            symbols = self.nearest(samples).symbols
            count = torch.bincount(symbols, minlength=size)
            total = torch.zeros_like(self.codewords).index_add_(0, symbols, samples)
            self.codewords = total / count.clamp(min=1)[:, None]
            empty = count == 0
            self.codewords[empty] = samples[self._pick(len(samples), int(empty.sum()))]
        self.share = torch.ones(size)
        self.total = self.codewords.clone()

    def nearest(self, latents: Tensor) -> Nearest:
        """Rows (M, rank) → index of the nearest codeword (M,), and that codeword (M, rank)."""
        # the codec's own search: the same choice as in use, and faster than torch's argmin
        quantizer = SharedProductQuantizer(self.codewords.numpy())
        symbols = torch.from_numpy(quantizer.quantize(latents.numpy()[:, None])[:, 0])
        return Nearest(symbols, self.codewords[symbols])

    @torch.no_grad()
    def update(self, latents: Tensor, symbols: Tensor) -> None:
        """Move towards latents (M, rank) coded as symbols (M,)."""
        size = len(self.codewords)
        fair = size / len(symbols)
        count = torch.bincount(symbols, minlength=size).float() * fair
        total = torch.zeros_like(self.total).index_add_(0, symbols, latents) * fair
        self.share.lerp_(count, 1 - self.decay)
        self.total.lerp_(total, 1 - self.decay)
        codewords = self.total / self.share.clamp(min=1e-3)[:, None]
        dead = torch.nonzero(self.share < self.dead)[:, 0]
        if len(dead):
            codewords[dead] = latents[self._pick(len(latents), len(dead))]
            self.share[dead] = 10 * self.dead
            self.total[dead] = codewords[dead] * self.share[dead][:, None]
            self.restarts += len(dead)
        self.codewords = codewords

    def _pick(self, high: int, count: int) -> Tensor:
        return torch.randint(high, (count,), generator=self.generator)
