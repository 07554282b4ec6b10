"""Small profiles at the edges of what the format allows, and damaged profile files."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from clipcodec.entropy.tables import FrequencyTables
from clipcodec.errors import WeightsError
from clipcodec.kinds.pqvae.config import PqvaeConfig
from clipcodec.kinds.pqvae.transform import PqvaeTransform
from clipcodec.kinds.trellis import CompactKind
from clipcodec.kinds.trellis.compact import MAX_SHIFT, CompactTransform, rounded
from clipcodec.kinds.trellis.predictive import PredictiveTransform
from clipcodec.kinds.trellis.quantizer import groups
from clipcodec.kinds.trellis.staged import StagedTransform
from clipcodec.profile.file import METADATA_KEY

from .mutate import damaged, damaged_json, dumps

Tensors = dict[str, NDArray[Any]]
TOTAL = 1 << 16
_DIMS = (1, 2, 8, 16, 17, 33)


def draw(r: Random) -> tuple[dict[str, Any], Tensors]:
    """Metadata and tensors of a valid profile."""
    kind = r.choice([*_DRAWN])
    meta, tensors = _DRAWN[kind](r)
    meta |= {"version": 1, "kind": kind, "name": "private/fuzz", "backbone": "none",
             "card": {"data": "drawn", "more": [1, {"a": None}]}}  # fmt: skip
    if kind != "rotation" and r.random() < 0.3:
        axes = r.randint(0, meta["dim"])
        meta["statistics"] = {"low": 0.5, "floor": r.choice((-1, 0, 1.0)), "axes": axes}
        shapes = {"mean": (meta["dim"],), "basis": (meta["dim"], axes), "scale": (axes + 1,)}
        for key, shape in shapes.items():
            tensors[f"statistics.{key}"] = _floats(r, shape)
        if not tensors["statistics.mean"].any():
            tensors["statistics.mean"][0] = 1
    return meta, tensors


def pack(meta: Any, tensors: Tensors) -> bytes:
    return bytes(save(tensors, metadata={METADATA_KEY: dumps(meta)}))


def damaged_file(r: Random) -> bytes:
    """A profile file with one thing or two wrong: its bytes, metadata, header or tensors."""
    meta, tensors = draw(r)
    for _ in range(r.choice((0, 1, 1, 2))):
        way = r.randrange(3)
        if way == 0:
            meta = damaged_json(r, meta)
        elif way == 1:
            _spoil(r, tensors)
    data = pack(meta, tensors)
    if r.random() < 0.4:
        data = _other_header(r, data)
    if r.random() < 0.2:
        data = damaged(r, data, [data, b"PK\x03\x04", bytes(64)])
    return data


def _spoil(r: Random, tensors: Tensors) -> None:
    name = r.choice(sorted(tensors))
    tensor = tensors[name]
    way = r.randrange(7)
    if way == 0:
        del tensors[name]
    elif way == 1:
        tensors[r.choice(("extra", "x" * 300, *sorted(tensors)))] = tensor
    elif way == 2:
        tensors[name] = tensor.astype(r.choice(("f2", "f4", "f8", "u1", "u2", "i8", "?")))
    elif way == 3:
        tensors[name] = tensor.reshape(-1)
    elif tensor.size:
        flat = tensor.copy().reshape(-1)
        with np.errstate(over="ignore"):
            if tensor.dtype.kind == "f":
                values = (0.0, -1.0, 1e-45, 1e-30, 1e18, 1e19, 1e300, np.nan, np.inf)
                value = np.float64(r.choice(values)).astype(tensor.dtype)
            else:
                bits = r.choice((0, 1, 127, 255, 65535)) % 256**tensor.itemsize
                value = np.array(bits, f"u{tensor.itemsize}").astype(tensor.dtype)
        if way == 4:
            flat[:] = value
        else:
            flat[r.randrange(flat.size)] = value
        tensors[name] = flat.reshape(tensor.shape)


def _other_header(r: Random, data: bytes) -> bytes:
    """Another safetensors header for the same tensors: types, shapes, offsets, its own length."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    if r.random() < 0.3:
        name = r.choice(sorted(header))
        if isinstance(header[name], dict) and "shape" in header[name]:
            header[name]["shape"] = [0, r.choice((1 << 31, (1 << 63) - 1, 1 << 63, (1 << 64) - 1))]
            header[name]["data_offsets"] = [0, 0]
    else:
        header = damaged_json(r, header)
    text = dumps(header).encode("utf-8")
    claimed = len(text)
    if r.random() < 0.2:
        claimed = r.choice((0, 1, claimed - 1, claimed + 1, 1 << 20, (1 << 20) + 1, 1 << 40,
                            (1 << 63) - 1, (1 << 64) - 1))  # fmt: skip
    return claimed.to_bytes(8, "little") + text + data[8 + length :]


# one profile of each kind


def _pqvae(r: Random) -> tuple[dict[str, Any], Tensors]:
    groups_, sub_dim = r.choice((1, 1, 2, 3)), r.randint(1, 4)
    config = PqvaeConfig(
        r.choice((1, 2, 8, 17)), positions=r.randint(1, 5), channels=groups_ * sub_dim,
        sub_dim=sub_dim, codewords=_alphabet(r, 2, 1 << 15), rank=r.randint(1, sub_dim),
        analysis=r.randint(1, 3), synthesis=r.randint(1, 3), blocks=r.randint(1, 2),
    )  # fmt: skip
    tensors = {name: _floats(r, shape) for name, shape in PqvaeTransform.shapes(config).items()}
    tensors["scale"] = _positive(r, (1,))
    tensors["codebook"] = _floats(r, (config.codewords, sub_dim))
    number = 1 if config.codewords > 300 else r.randint(1, config.count)
    frequencies = np.stack([_frequencies(r, config.codewords, 1) for _ in range(number)])
    table_of = np.array([r.randrange(number) for _ in range(config.count)])
    tensors["tables.frequencies"] = frequencies.astype(np.uint16)
    tensors["tables.lengths"] = np.stack([_lengths(r, row) for row in frequencies])
    tensors["tables.table_of"] = table_of.astype(np.uint16)
    return {"dim": config.dim, "config": config.to_meta(), "tables": number}, tensors


def _predictive(r: Random) -> tuple[dict[str, Any], Tensors]:
    dim = r.choice(_DIMS)
    meta, tensors = _staged(r, dim, dim, PredictiveTransform.shapes)
    if r.random() < 0.7:  # else an encoder and a decoder that have nothing in common
        tensors["analysis"] = _turn(r, dim)
        tensors["synthesis"] = tensors["analysis"].T.copy()
    return meta, _fitting(PredictiveTransform, meta, tensors)


def _compact(r: Random) -> tuple[dict[str, Any], Tensors]:
    dim = r.choice(_DIMS)
    rank = r.randint(1, dim)
    meta, tensors = _staged(r, dim, rank, partial(CompactTransform.shapes, dim))
    tensors["shift"] %= MAX_SHIFT + 1
    if r.random() < 0.7:  # else rows that are far from orthonormal
        tensors["basis"], tensors["shift"] = rounded(_turn(r, dim)[:rank], 2.0 ** -r.randint(2, 9))
    return meta, _fitting(CompactTransform, meta, tensors)


def _fitting(kind: type[StagedTransform], meta: dict[str, Any], tensors: Tensors) -> Tensors:
    """The same with values so small that its sums are exact, as they must be."""
    tensors["center"] = np.clip(tensors["center"], -1e3, 1e3)
    while True:
        try:
            kind(tensors, meta["config"]["bands"]).check()
            return tensors
        except WeightsError:
            smaller = tensors["scale"].astype(np.float32) / 16
            tensors["scale"] = np.maximum(smaller, np.float32(1e-18))


def _turn(r: Random, dim: int) -> NDArray[np.float64]:
    drawn = np.random.default_rng(r.getrandbits(32)).normal(size=(dim, dim))
    turn: NDArray[np.float64] = np.linalg.qr(drawn)[0]
    return turn


def _staged(
    r: Random, dim: int, rank: int, shapes_of: Callable[..., dict[str, tuple[int, ...]]]
) -> tuple[dict[str, Any], Tensors]:
    hidden, restore = r.choice((0, 1, 3)), r.choice((0, 2))
    bands = sorted({0, rank, *(r.randint(0, rank) for _ in range(r.randint(0, 3)))})
    number = sum(len(groups(a, b)) for a, b in pairwise(bands))
    config, tensors = _levels(r, rank, number)
    dtypes = CompactKind.table_dtypes
    shapes = shapes_of(bands, hidden, restore, config["qualities"])
    tensors |= {
        name: _whole(r, shape, dtypes[name]) if name in dtypes else _floats(r, shape)
        for name, shape in shapes.items()
    }
    for part in ("predict", "restore"):
        gain = tensors[f"{part}.gain"]
        tensors[f"{part}.gain"] = np.clip(np.abs(gain), 0, 4).astype(gain.dtype)
    tensors["scale"] = np.maximum(_positive(r, (rank,)), np.float32(1e-18))  # the least allowed
    return {
        "dim": dim,
        "config": config | {"bands": bands, "hidden": hidden, "restore": restore},
    }, tensors


def _rotation(r: Random) -> tuple[dict[str, Any], Tensors]:
    config, tensors = _levels(r, 1, 1)
    return {"dim": 0, "config": config | {"seed": r.choice((0, 7, (1 << 64) - 2))}}, tensors


def _levels(r: Random, width: int, number: int) -> tuple[dict[str, Any], Tensors]:
    qualities, rows = r.choice((1, 2, 5, 255)), r.choice((2, 3, 6))
    alphabet = _alphabet(r, 4, 256)
    frequencies = np.stack([_frequencies(r, alphabet, 0) for _ in range(rows)])
    tensors = {
        "steps": _positive(r, (qualities,)),
        "weights": _positive(r, (qualities,)),
        "tables.frequencies": frequencies.astype(np.uint16),
        "tables.class_of": _rows(r, (qualities, width), rows - 1),
        "tables.flag_of": _rows(r, (qualities, 2 * number), rows),
    }
    default = r.randint(1, qualities)
    return {
        "qualities": qualities, "default_quality": default, "rows": rows, "alphabet": alphabet,
    }, tensors  # fmt: skip


_DRAWN = {
    "pqvae": _pqvae, "predictive": _predictive, "compact": _compact, "rotation": _rotation,
}  # fmt: skip


def _alphabet(r: Random, least: int, most: int) -> int:
    if r.random() < 0.02:
        return most
    return r.choice([k for k in (2, 3, 4, 5, 15, 16, 17, 25, 255, 256) if least <= k <= most])


def _frequencies(r: Random, k: int, least: int) -> NDArray[np.int64]:
    """Sums to 2**16: flat, steep, all in one symbol, or full of the least that is allowed."""
    rng = np.random.default_rng(r.getrandbits(32))
    way = r.randrange(4)
    share = np.ones(k) if way == 0 else rng.exponential(size=k) ** (6 if way == 1 else 1)
    if way == 2:
        share[:] = 0
        share[r.randrange(k)] = 1
    f: NDArray[np.int64] = least + np.floor(share / share.sum() * (TOTAL - k * least)).astype(int)
    f[f.argmax()] += TOTAL - f.sum()
    if f.max() == TOTAL:  # sixteen bits cannot say so
        f[f.argmax()] -= 1
        f[f.argmin()] += 1
    return f


def _lengths(r: Random, frequencies: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Of a Huffman code, or of the steepest code that there is."""
    k = len(frequencies)
    if k <= 25 and r.random() < 0.3:
        comb = np.minimum(np.arange(1, k + 1), k - 1)
        return np.random.default_rng(r.getrandbits(32)).permutation(comb).astype(np.uint8)
    return FrequencyTables.from_counts(frequencies[None], [0]).lengths[0].astype(np.uint8)


def _rows(r: Random, shape: tuple[int, ...], below: int) -> NDArray[np.uint16]:
    rng = np.random.default_rng(r.getrandbits(32))
    return rng.integers(0, below, shape).astype(np.uint16)


def _whole(r: Random, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Weights of any size, biases that leave room for their sums."""
    most = 128 if dtype.endswith("int8") else r.choice((1, 100, 2000))
    rng = np.random.default_rng(r.getrandbits(32))
    return rng.integers(0 if dtype == "uint8" else -most, most, shape).astype(dtype)


def _floats(r: Random, shape: tuple[int, ...]) -> NDArray[Any]:
    values = np.random.default_rng(r.getrandbits(32)).normal(size=shape)
    if r.random() < 0.05:
        values *= 10.0 ** r.choice((-44, -30, -20, -5, 2, 4, 9, 17))
    dtype = r.choice((np.float16, np.float32, np.float32, np.float64))
    limit = 6e4 if dtype is np.float16 else 1e18
    return np.clip(values, -limit, limit).astype(dtype)


def _positive(r: Random, shape: tuple[int, ...]) -> NDArray[Any]:
    values = np.abs(_floats(r, shape).astype(np.float32))
    values[values == 0] = 1
    return values
