"""The contract of a kind of profile: everything between embeddings and payloads.

    embeddings ──quantize───▶ symbols ──encode──▶ payloads
    embeddings ◀─reconstruct─ symbols ◀──decode── payloads
               transform, rate search,   entropy coder
               quantiser

Nothing else in the package knows what a kind does inside. To add one: a folder here with a subclass
of `Kind`, a row in `kinds/__init__.py`, a page in formats/.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..bitstream import check_value
from ..embeddings import Embeddings
from ..entropy import Payloads, Symbols
from ..errors import WeightsError
from ..target import Target

Tensors = Mapping[str, NDArray[Any]]
Shapes = dict[str, tuple[int, ...]]
MAX_DIM = 1 << 14  # of an embedding, in every kind
_PIECE = 1 << 20  # values checked at a time: a file's check takes little memory beside the file
_LARGEST = np.float32(1e18)  # its square is a float32, too


class Parameters(NamedTuple):
    """What the header says after the profile: quality (0: none) and number of symbols."""

    quality: int
    symbols: int


class Quantized(NamedTuple):
    """Embeddings as symbols (N, n), and the quality of each (N,); 0 for a kind of one rate."""

    symbols: Symbols
    qualities: Symbols


class OnDevice(ABC):
    """What a kind does of large batches on a device, such as a GPU: the bytes and embeddings of
    `Kind`'s methods.

    Rows out of the ordinary, and those at fault, it does not do but names: the caller has `Kind`
    do them, which raises the errors. Raises OptionError if the device fails.
    """

    @abstractmethod
    def decode(
        self, payloads: Payloads, qualities: Symbols, seeds: Symbols
    ) -> tuple[Embeddings, NDArray[np.bool_]]:
        """Embeddings (N, D) of unit norm, check values verified; (N,) rows that are not done.

        seeds  (N,) state of the check value after each header
        """

    @abstractmethod
    def meets(self, target: Target) -> bool:
        """Whether `encode` can do this; else `Kind` does it for all rows."""

    @abstractmethod
    def encode(
        self, x: Embeddings, target: Target, header: int, seeds: Symbols
    ) -> tuple[list[bytes], Symbols, NDArray[np.bool_]]:
        """Payloads of unit-norm embeddings (N, D), qualities (N,); (N,) rows that are not done.

        header  as in `Kind.quantize`
        seeds   (1 + qualities,) state of the check value after a header, by its quality
        """


class Sketch(ABC):
    """About what embeddings are, found in a fraction of the time of `Kind.reconstruct`: for
    searches, which decode what may be a hit.
    """

    @abstractmethod
    def project(self, queries: Embeddings) -> NDArray[np.float32]:
        """Unit-norm queries (Q, D) → (F, Q) float32, what `scores` takes."""

    @abstractmethod
    def scores(
        self, projected: NDArray[np.float32], symbols: Symbols, qualities: Symbols
    ) -> NDArray[np.float32]:
        """(N, Q) about the cosines of symbols (N, n) of these qualities (N,) with the queries.

        They may be infinite or NaN where a profile's numbers overflow.
        """


class Kind(ABC):
    """One profile's transform, quantiser, rate search and tables, made from its file.

    Subclasses say, as class attributes:

    name          in profile files and the registry
    coders        the entropy coders that its streams may use, in the order they are tried
    table_dtypes  tensor name → dtype, for tensors that are no floats

    and, as attributes of each object:

    profile_name  of the profile, for messages
    dim           width D of an embedding; None where any will do
    qualities     how many there are, 1 … qualities; 0 for a fixed rate
    default_quality   the one to use if nothing is asked for; None for a fixed rate
    bits          bits of an embedding's packed symbols; None if the rate is chosen on encoding

    Symbols are int64 (N, n), qualities int64 (N,). Errors about rows name them (`rows`).
    """

    name: ClassVar[str]
    coders: ClassVar[tuple[str, ...]]
    table_dtypes: ClassVar[Mapping[str, str]]

    profile_name: str
    dim: int | None
    qualities: int = 0
    default_quality: int | None = None
    bits: int | None = None

    @abstractmethod
    def __init__(self, meta: Mapping[str, Any], tensors: Tensors) -> None:
        """From a profile file's metadata and tensors, whose shapes and dtypes are checked already.

        Raises WeightsError if their values do not fit each other.
        """

    @staticmethod
    @abstractmethod
    def shapes(meta: Mapping[str, Any]) -> Shapes:
        """Name and shape of every tensor but the statistics'. Raises WeightsError.

        Called before any tensor is trusted: sizes are bounded here.
        """

    # header

    def parameters(self, quality: int, count: int) -> bytes:
        """The header's bytes after the profile, for `count` symbols. Raises EmbeddingError."""
        return b""

    @abstractmethod
    def split(self, rest: bytes) -> tuple[Parameters, bytes]:
        """What follows the profile in a stream, as parameters and payload.

        The parameters say themselves where they end: no byte behind them changes what they are.

        Raises TruncatedError or CorruptError.
        """

    # encode

    @abstractmethod
    def quantize(
        self, x: Embeddings, target: Target, header: int, texts: Embeddings | None = None
    ) -> Quantized:
        """Unit-norm embeddings (N, D) to symbols that meet the target, as far as can be foreseen.

        header  bytes of every stream before its payload; they count in `target.max_bytes`
        texts   (M, D), unit norm: whose probabilities should stay the same; with an effort above 1

        With a quality, `target.weight` multiplies what a bit costs: streams between two qualities.
        `target.mean_bytes` is none here: it has become a quality and a weight (mean.py).

        A kind of one rate need not look at the target. Raises RateError if it is out of reach.
        """

    @abstractmethod
    def packed(self, symbols: Symbols) -> Sequence[bytes]:
        """Each row of symbols as the bytes that its check value covers."""

    def check_values(self, symbols: Symbols, seeds: Symbols) -> Symbols:
        """(N,) the check value of each row of symbols, continued from its seed (N,)."""
        rows = zip(seeds.tolist(), self.packed(symbols), strict=True)
        return np.array([check_value(seed, packed) for seed, packed in rows], np.int64)

    @abstractmethod
    def encode(
        self, coder: str, symbols: Symbols, qualities: Symbols, checks: Sequence[int]
    ) -> list[bytes]:
        """Payloads of N rows of symbols, with their check values (16 bits) inside."""

    # decode

    @abstractmethod
    def decode(
        self, coder: str, payloads: Sequence[bytes], qualities: Symbols, count: int
    ) -> tuple[Symbols, list[int]]:
        """Symbols (N, count) and check values of N payloads of these qualities (N,).

        The payloads are a list or, of many, `entropy.Payloads`.

        Raises TruncatedError or CorruptError.
        """

    @abstractmethod
    def reconstruct(self, symbols: Symbols, qualities: Symbols) -> Embeddings:
        """Symbols to embeddings (N, D), float32, not yet of unit norm."""

    def sketches(self) -> Sequence[Sketch]:
        """Cheaper approximations of `reconstruct`, the quickest first; none where it is quick."""
        return ()

    def on_device(self, device: Any) -> OnDevice | None:
        """What does large batches on a device of torch; None: nothing, so all is done here."""
        return None

    @abstractmethod
    def information(self, symbols: Symbols, qualities: Symbols) -> NDArray[np.float64]:
        """(N,) ideal code length in bits."""


def integer(value: Any, low: int, high: int, what: str) -> int:
    """A whole number of a profile's metadata; WeightsError if it is none or out of range."""
    if type(value) is not int or not low <= value <= high:
        raise WeightsError(f"{what} is {value!r}, expected an integer in {low} … {high}")
    return value


def config_of(meta: Mapping[str, Any], keys: set[str]) -> Mapping[str, Any]:
    """The metadata's `config`, with exactly these keys; WeightsError otherwise."""
    config = meta["config"]
    if not isinstance(config, dict) or config.keys() != keys:
        raise WeightsError(f"config is {config!r}, expected the keys {', '.join(sorted(keys))}")
    return config


def check_tensors(tensors: Tensors, shapes: Shapes, table_dtypes: Mapping[str, str]) -> None:
    """Exactly these tensors, of these shapes; tables of the dtype named, the rest floats."""
    if tensors.keys() != shapes.keys():
        wrong = ", ".join(sorted(tensors.keys() ^ shapes.keys()))
        raise WeightsError(f"missing or unexpected tensors: {wrong}")
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tensor.shape != shape:
            raise WeightsError(f"tensor {name} has shape {tensor.shape}, expected {shape}")
        if name in table_dtypes:
            if tensor.dtype != table_dtypes[name]:
                raise WeightsError(
                    f"tensor {name} has dtype {tensor.dtype}, not {table_dtypes[name]}"
                )
        elif tensor.dtype.kind != "f":
            raise WeightsError(f"tensor {name} has dtype {tensor.dtype}, expected floats")
        elif not _within_range(tensor):
            raise WeightsError(f"tensor {name} holds NaN, infinite or enormous values")


def _within_range(tensor: NDArray[Any]) -> bool:
    flat = tensor.reshape(-1)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
        return all(
            bool((np.abs(flat[at : at + _PIECE].astype(np.float32)) <= _LARGEST).all())
            for at in range(0, flat.size, _PIECE)
        )
