"""The recipe `pqvae`: train PQVAE-shared (arXiv 2509.05925) and write a profile of kind pqvae."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable, Mapping
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
from ..kinds.pqvae.config import PqvaeConfig
from ..profile.file import read_profile
from . import export
from .data import load_embeddings
from .network import Network

HELD_OUT = 0.02  # share of the rows that are kept for measuring the result


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are those of the shipped profiles.

    The loss is eq. 7 of arXiv 2509.05925.

    codewords      K of the shared codebook, a power of two
    sub_dim        channels per sub-vector; a divisor of the embedding's width
    rank           dimensions that the channels of a sub-vector span; None: see `_rank`
    steps, batch   of the optimiser; batch in rows
    warmup         steps over which the learning rate rises
    cosine_weight  of 1 − cosine in the loss
    commitment     weight of the commitment term (latent to its codeword) in the loss
    """

    codewords: int = 4
    sub_dim: int = 16
    rank: int | None = None
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
    """The result, measured on rows held out from the training files.

    rows, held_out   distinct rows in all, and those held out
    cosine           mean cosine between decoded and original rows
    bytes            mean size of a stream
    bits_per_symbol  mean, ideal, by the frequency tables
    restarts         of dead codewords in training
    seconds          the whole training took
    """

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

    The same files, recipe, name, card, machine and torch give the same profile. Raises
    TrainingError for the data, OptionError for the recipe.
    """
    started = time.perf_counter()
    _checked_layout(recipe, dim=1)  # a recipe that cannot work is refused before files are read
    x, counts = load_embeddings(paths)
    config = _checked_layout(recipe, x.shape[1])
    fit, held = _hold_out(len(x), recipe.seed)
    rows, weights = torch.from_numpy(x[fit]), torch.from_numpy(counts[fit]).double()
    network = optimise(rows, weights, config, recipe, quiet=quiet)
    embeddings = {
        "files": [Path(path).name for path in paths],
        "rows": len(x),
        "sha256": hashlib.sha256(x.tobytes()).hexdigest(),
    }
    tensors = export.to_half(network.tensors())
    export.write(
        out, name=name, backbone=backbone, config=config, tensors=tensors, rows=x[fit],
        card={**(card or {}), "embeddings": embeddings,
              "recipe": {"name": "pqvae", **asdict(recipe)}},
    )  # fmt: skip
    return _measure(out, x[held], len(x), network, time.perf_counter() - started)


def _checked_layout(recipe: Recipe, dim: int) -> PqvaeConfig:
    """The config of a profile for embeddings of width `dim`. Raises OptionError."""
    if recipe.steps < 1:
        raise OptionError(f"steps={recipe.steps}: at least 1")
    if not 0 < recipe.learning_rate <= 1:
        raise OptionError(f"learning_rate={recipe.learning_rate} is not above 0 and at most 1")
    if not 0 <= recipe.seed < 1 << 32:
        raise OptionError(f"seed={recipe.seed} is not in 0 … 2**32 - 1")
    try:
        return PqvaeConfig(
            dim, sub_dim=recipe.sub_dim, codewords=recipe.codewords,
            rank=_rank(recipe),
        )  # fmt: skip
    except WeightsError as error:
        raise OptionError(str(error)) from error


def _rank(recipe: Recipe) -> int:
    """Dimensions that a sub-vector spans: 2 is best with few codewords, 3 with more than 32."""
    rank = recipe.rank or (2 if recipe.codewords <= 32 else 3)
    return min(rank, recipe.sub_dim)


def _hold_out(rows: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the rows to train on, and of those to measure on."""
    order = np.random.default_rng(seed).permutation(rows)
    count = min(2000, max(1, round(HELD_OUT * rows)))
    return np.sort(order[count:]), np.sort(order[:count])


def optimise(
    x: Tensor, weights: Tensor, config: PqvaeConfig, recipe: Recipe, *,
    kind: Callable[[PqvaeConfig, Tensor, torch.Generator], Network] = Network, quiet: bool = True,
) -> Network:  # fmt: skip
    """Minimise eq. 7 over rows x (N, D), drawn in proportion to weights (N,).

    kind  makes the network from its config, some rows and a source of random numbers

    AdamW; the learning rate rises during the warm-up, then falls to zero along a cosine.
    """
    generator = torch.Generator().manual_seed(recipe.seed)
    cumulative = weights.cumsum(0) / weights.sum()

    def draw(count: int) -> Tensor:
        where = torch.rand(count, generator=generator, dtype=torch.float64)
        return x[torch.searchsorted(cumulative, where).clamp(max=len(x) - 1)]

    network = kind(config, draw(20_000), generator)
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
        network.update(latent.detach(), symbols)
        if step % 50 == 0:
            bar.set_postfix(cosine=f"{cosine.item():.4f}", restarts=network.codebook.restarts)
    return network


def _measure(
    out: str | os.PathLike[str], held: Embeddings, rows: int, network: Network, seconds: float
) -> Result:
    """Encode and decode the held-out rows with the new profile file, as a user would."""
    profile = read_profile(out)
    codec = Codec(profile)
    streams = codec.encode_embeddings(held)
    kind = profile.kind
    assert isinstance(kind, PqvaeKind)  # it was made by this recipe
    symbols = np.stack([codec.symbols(stream) for stream in streams])
    used = np.bincount(symbols.ravel(), minlength=kind.config.codewords)
    return Result(
        rows=rows,
        held_out=len(held),
        cosine=float((codec.decode_batch(streams) * held).sum(axis=1).mean()),
        bytes=float(np.mean([len(s) for s in streams])),
        bits_per_symbol=float(kind.tables.information(symbols).mean()) / kind.config.count,
        codewords_used=int((used > 0).sum()),
        restarts=network.codebook.restarts,
        seconds=seconds,
    )
