"""PQVAE-shared in torch: a differentiable twin of `kinds.pqvae.transform` (arXiv 2509.05925).

A sub-vector has `sub_dim` channels that span only `rank` dimensions. Here it is trained in `rank`
coordinates; the orthonormal `lift` turns codewords into channels when the profile is written.
Distances are the same in both.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..kinds.pqvae.config import PqvaeConfig
from ..kinds.pqvae.transform import PqvaeTransform
from .codebook import Codebook, Nearest

_RIDGE = 1e-2  # of least squares, per row
_FEW = 256  # rows of a batch, enough for the moving averages


class Network(nn.Module):
    """Analysis, which quantises group after group, and synthesis."""

    center: Tensor
    scale: Tensor
    lift: Tensor

    def __init__(
        self, config: PqvaeConfig, x: Tensor, generator: torch.Generator, *, fit: bool = True
    ) -> None:
        """Initialise from training rows x (N, D), as `_initialise` says.

        fit  False: leave all weights zero, since others are to be loaded
        """
        super().__init__()
        self.config = config
        self.step = config.positions * config.rank  # latent values of one group
        self.register_buffer("center", x.mean(dim=0))
        self.register_buffer("scale", (x - self.center).std(dim=0).square().mean().sqrt())
        random = torch.randn(config.sub_dim, config.rank, generator=generator)
        self.register_buffer("lift", torch.linalg.qr(random).Q.T.contiguous())
        shapes = PqvaeTransform.shapes(config)
        fixed = ("center", "scale", "analysis.lift", "synthesis.lower")
        self.weights = nn.ParameterDict(
            {
                name.replace(".", "_"): nn.Parameter(torch.zeros(shape))
                for name, shape in shapes.items()
                if name not in fixed
            }
        )
        self.codebook = Codebook(config.codewords, config.rank, generator)
        if fit:
            self._initialise((x - self.center) / self.scale, generator)

    @torch.no_grad()
    def _initialise(self, x: Tensor, generator: torch.Generator) -> None:
        """Start as residual quantisation in the KLT, from normalised rows x (N, D).

        Each group codes the leading principal axes, whitened, of the residual that the groups
        before it leave. The hidden layers start with small weights, so they change little at first.
        """
        w, step = self.weights, self.step
        residual = x.clone()
        maps: list[Tensor] = []
        latents: list[Tensor] = []
        for group in range(self.config.groups):
            values, vectors = torch.linalg.eigh(residual.T @ residual / len(x))
            # If the group has more values than D, some axes are coded more than once.
            axes = torch.arange(step) % x.shape[1]
            order = values.argsort(descending=True)[axes]
            whiten = vectors[:, order] / values[order].clamp(min=1e-6).sqrt()
            quantized = self.first(residual @ whiten, group).values.reshape(len(x), step)
            back = _least_squares(quantized, residual)
            at = group * step
            w["analysis_linear"][:, at : at + step] = whiten
            if group:
                w["analysis_feedback"][self._feedback_rows(group)] = -torch.cat(maps) @ whiten
            residual = residual - quantized @ back
            maps.append(back)
            latents.append(quantized)
        w["synthesis_linear"].copy_(_least_squares(torch.cat(latents, dim=1), x))
        for name, gain in (("analysis_hidden", 1.0), ("analysis_out", 0.1),
                           ("synthesis_hidden", 1.0), ("synthesis_out", 0.1)):  # fmt: skip
            std = gain * math.sqrt(2 / w[name].shape[-2])
            w[name].normal_(0, std, generator=generator)

    def first(self, latent: Tensor, group: int) -> Nearest:
        """As `nearest`, while the group is initialised."""
        return self.nearest(latent, group)

    def nearest(self, latent: Tensor, group: int) -> Nearest:
        """Latent of one group (N, positions·rank) → nearest codewords, as `Codebook.nearest`."""
        return self.codebook.nearest(self._sub_vectors(latent))

    def update(self, latent: Tensor, symbols: Tensor) -> None:
        """Move the codewords towards the latents (N, n·rank) that symbols (N, n) code."""
        self.codebook.update(self._sub_vectors(latent[:_FEW]), symbols[:_FEW].reshape(-1))

    def _sub_vectors(self, latent: Tensor) -> Tensor:
        return latent.reshape(-1, self.config.rank)

    def _feedback_rows(self, group: int) -> slice:
        start = self.step * (group * (group - 1) // 2)
        return slice(start, start + self.step * group)

    def analyse(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (N, D) → latent (N, n·rank), quantised latent (N, n·rank), symbols (N, n).

        The gradient of the quantised latent is passed to the latent (straight-through estimator).
        """
        w, step = self.weights, self.step
        x = (x - self.center) / self.scale
        open_loop = x @ w["analysis_linear"] + w["analysis_bias"]
        hidden = torch.relu(x @ w["analysis_hidden"] + w["analysis_hidden_bias"])
        open_loop = open_loop + hidden @ w["analysis_out"]
        latents: list[Tensor] = []
        chosen: list[Tensor] = []
        symbols: list[Tensor] = []
        for group in range(self.config.groups):
            latent = open_loop[:, group * step : (group + 1) * step]
            if group:
                feedback = w["analysis_feedback"][self._feedback_rows(group)]
                latent = latent + torch.cat(chosen, dim=1) @ feedback
            latent = latent.float()
            with torch.no_grad():
                nearest = self.nearest(latent.detach(), group)
                quantized = nearest.values.reshape(latent.shape)
            latents.append(latent)
            chosen.append(latent + (quantized - latent).detach())
            symbols.append(nearest.symbols.reshape(len(x), -1))
        return torch.cat(latents, dim=1), torch.cat(chosen, dim=1), torch.cat(symbols, dim=1)

    def synthesise(self, quantized: Tensor) -> Tensor:
        """Quantised latent (N, n·rank) → embeddings (N, D), not normalised."""
        w = self.weights
        y = quantized @ w["synthesis_linear"] + w["synthesis_bias"]
        for i in range(self.config.blocks):
            hidden = torch.relu(y @ w["synthesis_hidden"][i] + w["synthesis_hidden_bias"][i])
            y = y + hidden @ w["synthesis_out"][i]
        rows: Tensor = y.float() * self.scale + self.center
        return rows

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """All tensors that `PqvaeTransform` and its quantiser need, by the names they use."""
        named = {name: self.weights[name.replace(".", "_")]
                 for name in PqvaeTransform.shapes(self.config)
                 if name.replace(".", "_") in self.weights}  # fmt: skip
        named |= {
            "center": self.center,
            "scale": self.scale.reshape(1),
            "analysis.lift": self.lift,
            "synthesis.lower": self.lift.T,
            "codebook": self.codebook.codewords @ self.lift,
        }
        return {name: t.detach().float().contiguous().numpy() for name, t in named.items()}


def _least_squares(a: Tensor, b: Tensor) -> Tensor:
    """The matrix m with a @ m ≈ b, by ridge regression."""
    gram = a.T @ a
    ridge = _RIDGE * len(a) * torch.eye(a.shape[1])
    solution: Tensor = torch.linalg.solve(gram + ridge, a.T @ b)
    return solution
