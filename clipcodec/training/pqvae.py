"""The recipe `pqvae`: train PQVAE-shared on embeddings and write a profile."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cosine_similarity, mse_loss
from tqdm import tqdm

from ..codec import Codec
from ..embeddings import Embeddings
from ..errors import OptionError, WeightsError
from ..kinds.pqvae import PqvaeKind
from ..kinds.pqvae.layout import Layout
from ..profile.file import read_profile
from . import export
from .data import load_embeddings
from .network import Network

HELD_OUT = 0.02  # share of the rows kept for the final table


@dataclass(frozen=True)
class Recipe:
    """How the shipped profiles are trained: eq. 7 of arXiv 2509.05925, the cosine weighed by 10."""

    codewords: int = 4
    sub_dim: int = 16
    rank: int | None = None  # None: see `_rank`
    steps: int = 6000
    batch: int = 1024
    learning_rate: float = 5e-3
    warmup: int = 100
    weight_decay: float = 1e-2
    cosine_weight: float = 10.0
    commitment: float = 1.5
    seed: int = 0


@dataclass(frozen=True)
class Result:
    """What was reached on rows held out from the training file."""

    rows: int
    held_out: int
    cosine: float
    bytes: float
    bits_per_symbol: float
    codewords_used: int
    restarts: int
    seconds: float


def train(
    paths: list[str],
    out: str | os.PathLike[str],
    recipe: Recipe,
    *,
    name: str,
    backbone: str,
    card: Mapping[str, Any] | None = None,
    quiet: bool = True,
) -> Result:
    """Train on the embeddings in `paths` and write the profile `out`.

    Seeded: the same files, recipe, name, card, machine and torch give the same file. Raises
    TrainingError for the data, OptionError for the recipe.
    """
    started = time.perf_counter()
    _layout(recipe, dim=1)  # a recipe that cannot work is told before files are read
    x, counts = load_embeddings(paths)
    layout = _layout(recipe, x.shape[1])
    fit, held = _hold_out(len(x), recipe.seed)
    rows, weights = torch.from_numpy(x[fit]), torch.from_numpy(counts[fit]).double()
    network = optimise(rows, weights, layout, recipe, quiet=quiet)
    embeddings = {
        "files": [Path(path).name for path in paths],
        "rows": len(x),
        "sha256": hashlib.sha256(x.tobytes()).hexdigest(),
    }
    tensors = export.to_half(network.tensors())
    export.write(
        out, name=name, backbone=backbone, layout=layout, tensors=tensors, rows=x[fit],
        card={**(card or {}), "embeddings": embeddings,
              "recipe": {"name": "pqvae", **asdict(recipe)}},
    )  # fmt: skip
    return _judge(out, x[held], len(x), network, time.perf_counter() - started)


def _layout(recipe: Recipe, dim: int) -> Layout:
    if recipe.steps < 1:
        raise OptionError(f"steps={recipe.steps}: at least 1")
    if not 0 < recipe.learning_rate <= 1:
        raise OptionError(f"learning_rate={recipe.learning_rate} is not above 0 and at most 1")
    if not 0 <= recipe.seed < 1 << 32:
        raise OptionError(f"seed={recipe.seed} is not in 0 … 2**32 - 1")
    try:
        return Layout(
            dim, sub_dim=recipe.sub_dim, codewords=recipe.codewords,
            rank=_rank(recipe),
        )  # fmt: skip
    except WeightsError as error:
        raise OptionError(str(error)) from error


def _rank(recipe: Recipe) -> int:
    """Directions that a sub-vector spans: few bits fill two of them best, more bits three."""
    rank = recipe.rank or (2 if recipe.codewords <= 32 else 3)
    return min(rank, recipe.sub_dim)


def _hold_out(rows: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    order = np.random.default_rng(seed).permutation(rows)
    count = min(2000, max(1, round(HELD_OUT * rows)))
    return np.sort(order[count:]), np.sort(order[:count])


def optimise(
    x: Tensor, weights: Tensor, layout: Layout, recipe: Recipe, *, quiet: bool = True
) -> Network:
    """Minimise eq. 7 over rows x (N, D), drawn in proportion to weights (N,).

    AdamW with a warm-up, then a cosine down to zero.
    """
    generator = torch.Generator().manual_seed(recipe.seed)
    cumulative = weights.cumsum(0) / weights.sum()

    def draw(count: int) -> Tensor:
        where = torch.rand(count, generator=generator, dtype=torch.float64)
        return x[torch.searchsorted(cumulative, where).clamp(max=len(x) - 1)]

    network = Network(layout, draw(20_000), generator)
    optimiser = torch.optim.AdamW(
        network.parameters(),
        lr=recipe.learning_rate,
        betas=(0.9, 0.99),
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    bar = tqdm(range(recipe.steps), disable=True if quiet else None, unit="step", leave=False)
    for step in bar:
        warm = min(1.0, (step + 1) / recipe.warmup)
        for group in optimiser.param_groups:
            group["lr"] = (
                recipe.learning_rate * warm * (1 + math.cos(math.pi * step / recipe.steps)) / 2
            )
        batch = draw(recipe.batch)
        with torch.autocast("cpu", torch.bfloat16):
            latent, quantized, symbols = network.analyse(batch)
            decoded = network.synthesise(quantized)
        cosine = cosine_similarity(decoded, batch, dim=1).mean()
        loss = recipe.cosine_weight * (1 - cosine)
        loss = loss + recipe.commitment * mse_loss(latent, quantized.detach())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        few = slice(0, 256)  # enough for moving averages
        network.codebook.update(
            latent[few].detach().reshape(-1, layout.rank), symbols[few].reshape(-1)
        )
        if step % 50 == 0:
            bar.set_postfix(cosine=f"{cosine.item():.4f}", restarts=network.codebook.restarts)
    return network


def _judge(
    out: str | os.PathLike[str], held: Embeddings, rows: int, network: Network, seconds: float
) -> Result:
    """Encode and decode held-out rows with the file just written, as a user would."""
    profile = read_profile(out)
    codec = Codec(profile)
    streams = codec.encode_embeddings(held)
    kind = profile.kind
    assert isinstance(kind, PqvaeKind)  # it was made by this recipe
    symbols = np.stack([codec.symbols(stream) for stream in streams])
    used = np.bincount(symbols.ravel(), minlength=kind.layout.codewords)
    return Result(
        rows=rows,
        held_out=len(held),
        cosine=float((codec.decode_batch(streams) * held).sum(axis=1).mean()),
        bytes=float(np.mean([len(s) for s in streams])),
        bits_per_symbol=float(kind.tables.information(symbols).mean()) / kind.layout.size,
        codewords_used=int((used > 0).sum()),
        restarts=network.codebook.restarts,
        seconds=seconds,
    )
