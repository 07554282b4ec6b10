"""The shared codebook in training: start by k-means, moving averages, restart of dead codewords."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..kinds.pqvae.quantizer import SharedProductQuantizer


class Nearest(NamedTuple):
    """symbols (M,): index of the nearest codeword; values (M, rank): that codeword."""

    symbols: Tensor
    values: Tensor


class Codebook:
    """`size` codewords (K, rank), each the exponential moving average of the latents it codes.

    The averages replace the codebook term of eq. 7 in arXiv 2509.05925 (α‖sg(x_c) − x̂_c‖²): they
    follow its minimum. A codeword is dead if it codes less than `dead` of its fair share (1 / K of
    all latents); it is then moved to a random latent.

    decay  of the moving averages, per update
    """

    def __init__(
        self, size: int, rank: int, generator: torch.Generator, *,
        decay: float = 0.99, dead: float = 0.03,
    ) -> None:  # fmt: skip
        self.generator = generator
        self.decay = decay
        self.dead = dead
        self.restarts = 0
        # The first latents are whitened, so begin with a good codebook for a Gaussian.
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
        """Latents (M, rank) → the nearest codeword of each."""
        # The codec's own search chooses the same codeword as in use, and is faster than torch's.
        quantizer = SharedProductQuantizer(self.codewords.numpy())
        symbols = torch.from_numpy(quantizer.quantize(latents.numpy()[:, None])[:, 0])
        return Nearest(symbols, self.codewords[symbols])

    @torch.no_grad()
    def update(self, latents: Tensor, symbols: Tensor) -> None:
        """Move the codewords towards the latents (M, rank) that they code by symbols (M,)."""
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
