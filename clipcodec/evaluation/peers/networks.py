"""Networks of the learned peers: training them, keeping them, and codebooks of their own.

The transform, its start and the training are those of `clipcodec train pqvae`, so that the codecs
differ in what quantises alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ...embeddings import Embeddings
from ...entropy.tables import Symbols
from ...kinds.pqvae.config import PqvaeConfig
from ...system.files import write_atomic
from ...training.codebook import Nearest
from ...training.network import Network
from ...training.pqvae import Recipe, optimise
from ..codecs import Training
from ..sets import TRAINING, read_tensors

_LLOYD = 4  # rounds of k-means at the start
_BLOCK = 1024  # rows coded at a time
_last: dict[str, Network] = {}  # the network used last, by its digest


@dataclass(frozen=True)
class Settings:
    """What a network is, and how it is trained.

    own   each sub-vector has a codebook of its own; False: one codebook is shared by all
    code  digest of the code that trains it
    """

    config: PqvaeConfig
    recipe: Recipe
    own: bool
    code: str

    @property
    def network(self) -> type[Network]:
        return OwnCodebooks if self.own else Network


class OwnCodebooks(Network):
    """A network each of whose n sub-vectors has a codebook of its own (K, rank).

    The codebooks start from k-means of the training rows' latents; then each codeword is the moving
    average of the latents it codes, as in the appendix of van den Oord et al. 2017
    (arXiv 1711.00937). Product quantisation inside a VQ-VAE: Wu and Flierl 2018 (arXiv 1807.04629).
    """

    codewords: Tensor

    def __init__(
        self, config: PqvaeConfig, x: Tensor, generator: torch.Generator, *, fit: bool = True
    ) -> None:
        super().__init__(config, x, generator, fit=False)
        shared = self.codebook
        self.register_buffer("codewords", shared.codewords.repeat(config.count, 1, 1))
        self.share = torch.ones(config.count, config.codewords)
        self.total = self.codewords.clone()
        if fit:
            self._initialise((x - self.center) / self.scale, generator)

    def _of(self, group: int) -> slice:
        """The sub-vectors of one group."""
        return slice(group * self.config.positions, (group + 1) * self.config.positions)

    def _per_codebook(self, latent: Tensor) -> Tensor:
        """Latents (N, m·rank) as (m, N, rank)."""
        return latent.reshape(len(latent), -1, self.config.rank).transpose(0, 1)

    def nearest(self, latent: Tensor, group: int) -> Nearest:
        codewords = self.codewords[self._of(group)]
        symbols = np.empty((len(codewords), len(latent)), np.int64)
        with torch.autocast("cpu", enabled=False):
            half = codewords.square().sum(dim=2) / 2
            # One codebook at a time stays in cache, and numpy finds the largest faster than torch.
            for i, own in enumerate(self._per_codebook(latent.float())):
                closeness = torch.addmm(-half[i], own, codewords[i].T)
                symbols[i] = closeness.numpy().argmax(axis=1)
        found = torch.from_numpy(symbols).T
        values = codewords[torch.arange(len(codewords)), found]
        return Nearest(found.reshape(-1), values.reshape(-1, self.config.rank))

    def first(self, latent: Tensor, group: int) -> Nearest:
        rows = latent[: max(4096, 8 * self.config.codewords)]  # enough for k-means
        for _ in range(_LLOYD):
            symbols = self.nearest(rows, group).symbols.reshape(len(rows), -1)
            count, total = self._sums(rows, symbols)
            found = total / count.clamp(min=1)[:, :, None]
            part = self.codewords[self._of(group)]
            self.codewords[self._of(group)] = torch.where(count[:, :, None] > 0, found, part)
        self.total[self._of(group)] = self.codewords[self._of(group)]
        return self.nearest(latent, group)

    def _sums(self, latent: Tensor, symbols: Tensor) -> tuple[Tensor, Tensor]:
        """How many latents each codeword codes (m, K), and their sums (m, K, rank)."""
        size, books = self.config.codewords, symbols.shape[1]
        at = (symbols + size * torch.arange(books)).reshape(-1)
        count = torch.bincount(at, minlength=size * books).float()
        total = torch.zeros(size * books, self.config.rank)
        total.index_add_(0, at, latent.reshape(-1, self.config.rank))
        return count.reshape(books, size), total.reshape(books, size, -1)

    @torch.no_grad()
    def update(self, latent: Tensor, symbols: Tensor) -> None:
        """As `Codebook.update`, each codebook by its own sub-vector."""
        book, fair = self.codebook, self.config.codewords / len(latent)
        count, total = self._sums(latent, symbols)
        self.share.lerp_(count * fair, 1 - book.decay)
        self.total.lerp_(total * fair, 1 - book.decay)
        dead = self.share < book.dead
        where = torch.nonzero(dead)
        if len(where):
            rows = torch.randint(len(latent), (len(where),), generator=book.generator)
            self.share[dead] = 10 * book.dead
            moved = self._per_codebook(latent)[where[:, 0], rows]
            self.total[dead] = moved * 10 * book.dead
            book.restarts += len(where)
        self.codewords.copy_(self.total / self.share.clamp(min=1e-3)[:, :, None])


def trained(settings: Settings, training: Training) -> Network:
    """The network, trained on the training rows, or read from `training.kept` if it is there.

    One thread more or less changes its numbers a little, so those that are kept are used again only
    for the same settings, rows and code.
    """
    digest = _digest(settings, training)
    if digest in _last:
        return _last[digest]
    path = training.kept / f"learned-{digest[:24]}.safetensors" if training.kept else None
    network = _read(path, settings, training) if path is not None and path.exists() else None
    if network is None:
        rows = torch.from_numpy(training.rows)
        network = optimise(
            rows, torch.from_numpy(_weights(training)), settings.config, settings.recipe,
            kind=settings.network, quiet=False,
        )  # fmt: skip
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            tensors = {name: t.contiguous() for name, t in network.state_dict().items()}
            tensors["shared_codewords"] = network.codebook.codewords
            write_atomic(path, save(tensors), overwrite=True)
    _last.clear()
    _last[digest] = network
    return network


def _digest(settings: Settings, training: Training) -> str:
    found = hashlib.sha256(repr(asdict(settings)).encode())
    found.update(np.ascontiguousarray(training.rows).tobytes())
    found.update(_weights(training).tobytes())
    return found.hexdigest()


def _read(path: Path, settings: Settings, training: Training) -> Network | None:
    """The network of a file; None if the file is damaged."""
    some = torch.from_numpy(training.rows[:2])
    network = settings.network(settings.config, some, torch.Generator().manual_seed(0), fit=False)
    try:
        tensors = load_file(path)
        network.codebook.codewords = tensors.pop("shared_codewords")
        network.load_state_dict(tensors)
    except (SafetensorError, KeyError, RuntimeError):
        return None
    return network


def _weights(training: Training) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """How often each training row is drawn: rows of labelled sets count three times.

    Those are natural photographs; the shipped profiles were trained in the same way.
    """
    weights = np.ones(len(training.rows))
    if training.folder is not None and not training.quick:
        files = sorted(training.folder.glob(TRAINING))
        plain = sum(len(read_tensors(path, "embeddings")["embeddings"]) for path in files)
        weights[plain:] = 3
    return weights


@torch.no_grad()
def code(network: Network, x: Embeddings) -> tuple[Symbols, Embeddings]:
    """Rows x (N, D) → symbols (N, n) and decoded rows (N, D), not normalised."""
    symbols, rows = [], []
    for at in range(0, len(x), _BLOCK):
        _, quantized, found = network.analyse(torch.from_numpy(x[at : at + _BLOCK]))
        symbols.append(found.numpy())
        rows.append(network.synthesise(quantized).numpy())
    return np.concatenate(symbols), np.concatenate(rows)
