"""What the codec asks of every scheme, and how profile files are checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings
from ..entropy import Symbols
from ..errors import WeightsError

Tensors = Mapping[str, NDArray[Any]]
Shapes = dict[str, tuple[int, ...]]
_PIECE = 1 << 20  # values looked at together: a file's check takes little memory beside the file
_LARGEST = np.float32(1e18)  # its square is a float32, too


class Parameters(NamedTuple):
    """What the header says after the profile: quality (0: none) and number of symbols."""

    quality: int
    size: int


class Kind(Protocol):
    """Between embeddings (N, D) of unit norm, symbols (N, n) and bodies.

    coders     the entropy coders that its streams may use
    qualities  how many there are, 1 … qualities; 0 for a fixed rate
    dim        width D, or None where any will do
    """

    coders: tuple[str, ...]
    tables_types: Mapping[str, str]
    qualities: int
    dim: int | None

    def __init__(self, meta: Mapping[str, Any], tensors: Tensors) -> None: ...

    @staticmethod
    def shapes(meta: Mapping[str, Any]) -> Shapes:
        """Name and shape of every tensor but the statistics'."""
        ...

    def parameters(self, quality: int, size: int) -> bytes:
        """The header's bytes after the profile."""
        ...

    def split(self, rest: bytes) -> tuple[Parameters, bytes]:
        """Parameters and body; raises TruncatedError or CorruptError."""
        ...

    def packed(self, symbols: Symbols) -> Sequence[bytes]:
        """Each row of symbols (N, n) as the bytes that its check value covers."""
        ...

    def encode(
        self, coder: str, symbols: Symbols, qualities: Symbols, checks: list[int]
    ) -> list[bytes]: ...

    def decode(
        self, coder: str, bodies: list[bytes], parameters: Sequence[Parameters]
    ) -> tuple[Symbols, list[int]]: ...

    def reconstruct(self, symbols: Symbols, qualities: Symbols) -> Embeddings:
        """Embeddings (N, D), not yet of unit norm."""
        ...

    def information(self, symbols: Symbols, qualities: Symbols) -> NDArray[np.float64]:
        """(N,) ideal code length in bits."""
        ...


def integer(value: Any, low: int, high: int, what: str) -> int:
    """A whole number of a profile's metadata; WeightsError if it is none or out of range."""
    if type(value) is not int or not low <= value <= high:
        raise WeightsError(f"{what} is {value!r}, expected an integer in {low} … {high}")
    return value


def config_of(meta: Mapping[str, Any], keys: set[str]) -> Mapping[str, Any]:
    config = meta["config"]
    if not isinstance(config, dict) or config.keys() != keys:
        raise WeightsError(f"config is {config!r}, expected the keys {', '.join(sorted(keys))}")
    return config


def check_tensors(tensors: Tensors, shapes: Shapes, tables: Mapping[str, str]) -> None:
    """Exactly these tensors, of these shapes; `tables` are of the type named, the rest floats."""
    if tensors.keys() != shapes.keys():
        wrong = ", ".join(sorted(tensors.keys() ^ shapes.keys()))
        raise WeightsError(f"missing or unexpected tensors: {wrong}")
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tensor.shape != shape:
            raise WeightsError(f"tensor {name} has shape {tensor.shape}, expected {shape}")
        if name in tables:
            if tensor.dtype != tables[name]:
                raise WeightsError(f"tensor {name} has dtype {tensor.dtype}, not {tables[name]}")
        elif tensor.dtype.kind != "f":
            raise WeightsError(f"tensor {name} has dtype {tensor.dtype}, expected floats")
        elif not _moderate(tensor):
            raise WeightsError(f"tensor {name} holds NaN, infinite or enormous values")


def _moderate(tensor: NDArray[Any]) -> bool:
    flat = tensor.reshape(-1)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
        return all(
            bool((np.abs(flat[at : at + _PIECE].astype(np.float32)) <= _LARGEST).all())
            for at in range(0, flat.size, _PIECE)
        )
