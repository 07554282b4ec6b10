"""A profile: everything frozen that a stream relies on, in one safetensors file.

Tensors plus one metadata entry, `clipcodec`, holding JSON (formats/profile-file.md). A profile is
identified by the SHA-256 of its file; registered ones have a number besides.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .entropy import Coder, FrequencyTables, RawCoder, coders
from .errors import WeightsError
from .quantizers import SharedProductQuantizer
from .statistics import Statistics
from .transforms import KINDS, Layout, PqvaeTransform

METADATA_KEY = "clipcodec"
FILE_VERSION = 1
MAX_FILE_BYTES = 1 << 28
MAX_HEADER_BYTES = 1 << 20
_TABLES = {"frequencies": "uint16", "lengths": "uint8", "table_of": "uint16"}

Tensors = dict[str, NDArray[Any]]
_LARGEST = np.float32(1e18)  # its square is a float32, too


@dataclass(frozen=True, eq=False)
class Profile:
    """One loaded profile. `id` is None for a private one; `digest` is the file's SHA-256."""

    name: str
    id: int | None
    digest: bytes
    kind: str
    backbone: str
    dim: int
    layout: Layout
    card: Mapping[str, Any]
    statistics: Statistics
    tables: FrequencyTables
    _tensors: Tensors

    @cached_property
    def transform(self) -> PqvaeTransform:
        return KINDS[self.kind](self.layout, self._tensors)

    @cached_property
    def quantizer(self) -> SharedProductQuantizer:
        return SharedProductQuantizer(self._tensors["codebook"])

    @cached_property
    def coders(self) -> dict[str, Coder]:
        return coders(self.tables)

    @cached_property
    def packer(self) -> RawCoder:
        return RawCoder(self.tables)


def read_profile(
    path: str | os.PathLike[str], *, id: int | None = None, sha256: str | None = None
) -> Profile:
    """Load and verify a profile file; with `sha256`, only that very file is accepted.

    Raises WeightsError: missing, damaged, foreign, truncated, wrong tensors, values not finite.
    """
    where = os.fspath(path)
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise WeightsError(f"profile {where!r} cannot be read: {why}") from error
    if len(data) > MAX_FILE_BYTES:
        raise WeightsError(f"profile {where}: more than {MAX_FILE_BYTES} bytes")
    digest = hashlib.sha256(data)
    if sha256 is not None and digest.hexdigest() != sha256:
        raise WeightsError(
            f"profile {where} has SHA-256 {digest.hexdigest()}, expected {sha256}: "
            "the file is damaged, reinstall clipcodec"
        )
    try:
        return _parse(data, id, digest.digest())
    except WeightsError as error:
        raise WeightsError(f"profile {where}: {error}") from error


def _parse(data: bytes, id: int | None, digest: bytes) -> Profile:
    meta = _metadata(data)
    tensors = _load_tensors(data)
    try:
        kind, dim = str(meta["kind"]), _integer(meta["dim"], 1, 1 << 14, "dim")
        if kind not in KINDS:
            raise WeightsError(f"kind {kind!r} is unknown; known: {', '.join(KINDS)}")
        layout = Layout.from_config(dim, meta["config"])
        statistics = meta["statistics"]
        low, floor = _real(statistics["low"]), _real(statistics["floor"])
        name, backbone, card = _text(meta["name"]), _text(meta["backbone"]), meta["card"]
        if not isinstance(card, dict):
            raise WeightsError(f"card is {type(card).__name__}, expected an object")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"metadata lacks or misstates {error}") from error
    axes = _integer(statistics.get("axes"), 0, dim, "statistics.axes")
    tables = _integer(meta.get("tables"), 1, layout.size, "tables")
    shapes = KINDS[kind].shapes(layout) | {
        "codebook": (layout.codewords, layout.sub_dim),
        "tables.frequencies": (tables, layout.codewords),
        "tables.lengths": (tables, layout.codewords),
        "tables.table_of": (layout.size,),
        "statistics.mean": (dim,),
        "statistics.basis": (dim, axes),
        "statistics.scale": (axes + 1,),
    }
    _check_tensors(tensors, shapes)
    mean = tensors["statistics.mean"].astype(np.float32)
    if not mean.any() or not tensors["scale"][0] > 0:
        raise WeightsError("statistics.mean is zero, or scale is not positive")
    return Profile(
        name=name, id=id, digest=digest, kind=kind, backbone=backbone, dim=dim, layout=layout,
        card=card, _tensors=tensors,
        tables=FrequencyTables(*(tensors[f"tables.{name}"] for name in _TABLES)),
        statistics=Statistics(
            mean, low, floor,
            tensors["statistics.basis"].astype(np.float32),
            tensors["statistics.scale"].astype(np.float32),
        ),
    )  # fmt: skip


def _metadata(data: bytes) -> dict[str, Any]:
    """The JSON of the one metadata entry, read before any tensor is trusted."""
    try:
        length = int.from_bytes(data[:8], "little")
        if length > MAX_HEADER_BYTES:
            raise ValueError("header too long")
        header = json.loads(data[8 : 8 + length])
        meta = json.loads(header["__metadata__"][METADATA_KEY])
        version = meta["version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError("not a clipcodec profile (safetensors with our metadata)") from error
    if type(version) is not int or version != FILE_VERSION:
        raise WeightsError(f"profile file version {version!r}; this release reads {FILE_VERSION}")
    assert isinstance(meta, dict)  # it answered to a string key
    return meta


def _load_tensors(data: bytes) -> Tensors:
    import safetensors
    import safetensors.numpy

    try:
        return safetensors.numpy.load(data)
    except KeyError as error:
        raise WeightsError(f"tensors of type {error}: floats must be F16, F32 or F64") from error
    except (safetensors.SafetensorError, ValueError, TypeError) as error:
        raise WeightsError(f"damaged safetensors data: {error}") from error


def _check_tensors(tensors: Tensors, shapes: Mapping[str, tuple[int, ...]]) -> None:
    if tensors.keys() != shapes.keys():
        wrong = ", ".join(sorted(tensors.keys() ^ shapes.keys()))
        raise WeightsError(f"missing or unexpected tensors: {wrong}")
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tensor.shape != shape:
            raise WeightsError(f"tensor {name} has shape {tensor.shape}, expected {shape}")
        table = name.startswith("tables.") and _TABLES[name.removeprefix("tables.")]
        if table:
            if tensor.dtype != table:
                raise WeightsError(f"tensor {name} has dtype {tensor.dtype}, expected {table}")
        elif tensor.dtype.kind != "f":
            raise WeightsError(f"tensor {name} has dtype {tensor.dtype}, expected floats")
        elif not _moderate(tensor):
            raise WeightsError(f"tensor {name} holds NaN, infinite or enormous values")


def _integer(value: Any, low: int, high: int, what: str) -> int:
    if type(value) is not int or not low <= value <= high:
        raise WeightsError(f"{what} is {value!r}, expected an integer in {low} … {high}")
    return value


def _moderate(tensor: NDArray[Any]) -> bool:
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
        return bool((np.abs(tensor.astype(np.float32)) <= _LARGEST).all())


def _real(value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) <= 1:
        raise WeightsError(f"a cosine is {value!r}, expected a number in -1 … 1")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise WeightsError(f"a name is {value!r}, expected printable text")
    return value


def write_profile(path: str | os.PathLike[str], meta: Mapping[str, Any], tensors: Tensors) -> None:
    """Write a profile file, atomically; the same content gives the same bytes."""
    import safetensors.numpy

    from .files import write_atomic

    # one metadata key only: safetensors does not fix the order of several
    text = json.dumps({"version": FILE_VERSION, **meta}, sort_keys=True, ensure_ascii=True)
    data = safetensors.numpy.save(tensors, metadata={METADATA_KEY: text})
    write_atomic(path, data, overwrite=True)
