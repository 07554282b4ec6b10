"""Files of embeddings as programs keep them: .npy, .npz, .safetensors, .pt and .csv → an array.

What a file is, its first bytes say; its name is asked where they do not. Of a file with several
arrays the one called `embeddings` is taken, else the only one with two axes. Numbers keep their
type, but bfloat16, which NumPy does not know, becomes float32.

No file can run code: pickles are read by torch alone, with `weights_only=True`.
"""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .errors import ClipcodecError, EmbeddingError, brief
from .system.forks import loading
from .system.optional import missing_named

HEAD = 1 << 10  # bytes of a file by which `kind_of` knows it
NPY = b"\x93NUMPY"
_NAME = "embeddings"
_ZIP = b"PK\x03\x04"
_OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # before torch 1.6
_BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_PROFILE = "clipcodec"  # key of the metadata of a profile file
_LONGEST_HEADER = 100 << 20  # bytes, as in safetensors
_SHOWN = 10  # arrays named in a message

_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4",
    "I16": "<i2", "I8": "|i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1",
}  # fmt: skip

Source = str | bytes  # the path of a file, or all its bytes


def kind_of(name: str, head: bytes) -> str | None:
    """The suffix of the kind of embedding file that this is; None: it is another file.

    head  its first bytes, `HEAD` of them if it has as many
    """
    if head.startswith(NPY):
        return ".npy"
    if head.startswith(_ZIP):
        first = head[30 : 30 + int.from_bytes(head[26:28], "little")]
        if first.endswith(b".npy"):
            return ".npz"
        if first.endswith(b"/data.pkl"):
            return ".pt"
    if head.startswith(_OLD_TORCH):
        return ".pt"
    if head[8:10] == b'{"' and head[5:8] == bytes(3):  # after the length of the header
        return ".safetensors"
    return suffix_of(name) or (".csv" if _begins_with_numbers(head) else None)


def _begins_with_numbers(head: bytes) -> bool:
    """As a .csv file in a pipe, which has no name, without a line of names."""
    line, end, _ = head.partition(b"\n")
    fields = line.removesuffix(b"\r").split(b",")
    fields = fields if end else fields[:-1]  # the last may be cut
    return len(fields) > 1 and _numbers(fields)


def is_profile(head: bytes) -> bool:
    """Is this safetensors file a profile, by the first bytes of its header?"""
    return b'"__metadata__":{"clipcodec":' in head


def suffix_of(name: str) -> str | None:
    """The kind of embedding file that a name says."""
    suffix = os.path.splitext(name)[1].lower()
    suffix = {".pth": ".pt"}.get(suffix, suffix)
    return suffix if suffix in _READERS else None


def kind_of_file(path: str) -> str | None:
    """As `kind_of`, of a file; None also where it is no file or cannot be read."""
    if not os.path.isfile(path):
        return None
    try:
        with open(path, "rb") as file:
            return kind_of(path, file.read(HEAD))
    except OSError:
        return None


def read(source: Source, kind: str) -> NDArray[Any]:
    """The rows (N, D) of a file of embeddings, N > 0, memory-mapped where the file allows it.

    kind  what `kind_of` says

    Raises EmbeddingError, and MissingDependencyError for a .pt file where torch is not installed.
    """
    try:
        rows = _READERS[kind](source)
    except ClipcodecError:
        raise
    except Exception as error:  # damaged files make NumPy, zipfile and torch raise nearly anything
        why = brief(error) or type(error).__name__
        raise EmbeddingError(
            f"not a readable {kind} file: {why}; expected embeddings as {_WRITERS[kind]} writes "
            "them: write it again, or get a whole copy"
        ) from error
    if rows.dtype == np.dtype("V2"):
        raise EmbeddingError(
            "numbers of type V2, as NumPy writes bfloat16, whose type is lost: save float32, or "
            "write a .safetensors file"
        )
    if rows.ndim not in (1, 2) or not len(rows):
        raise EmbeddingError(f"an array of shape {rows.shape}: expected (D,) or (N, D), N > 0")
    return np.atleast_2d(rows)


def _opened(source: Source) -> Any:
    return io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb")


def _chosen(shapes: Mapping[str, tuple[int, ...]], how: str) -> str:
    """The name of the array to take.

    how  an expression for Python that gives the array of a name, for the message
    """
    if _NAME in shapes:
        return _NAME
    if len(shapes) == 1:
        return next(iter(shapes))
    tables = [name for name, shape in shapes.items() if len(shape) == 2]
    if len(tables) == 1:
        return tables[0]
    if not shapes:
        raise EmbeddingError(f"no arrays: expected one called {_NAME!r}")
    shown = ", ".join(f"{name!r} {shape}" for name, shape in [*shapes.items()][:_SHOWN])
    more = f" and {len(shapes) - _SHOWN} more" if len(shapes) > _SHOWN else ""
    raise EmbeddingError(
        f"{len(shapes)} arrays, {brief(shown)}{more}: expected one called {_NAME!r}, or "
        f"only one with two axes; to choose one, numpy.save('rows.npy', {how})"
    )


def _npy(source: Source) -> NDArray[Any]:
    rows: NDArray[Any]
    if isinstance(source, bytes):
        rows = np.load(io.BytesIO(source), allow_pickle=False)
    else:
        rows = np.load(source, mmap_mode="r", allow_pickle=False)
    return rows


def _npz(source: Source) -> NDArray[Any]:
    with _opened(source) as file, zipfile.ZipFile(file) as archive:
        shapes = {}
        for name in archive.namelist():
            if name.endswith(".npy"):
                with archive.open(name) as member:
                    shapes[name.removesuffix(".npy")] = _npy_shape(member)
        chosen = _chosen(shapes, "numpy.load(FILE)[NAME]")
        size = archive.getinfo(f"{chosen}.npy").file_size
        if math.prod(shapes[chosen]) > size:  # before memory is taken for it
            raise ValueError(f"{shapes[chosen]} numbers in {size} bytes")
        with archive.open(f"{chosen}.npy") as member:
            rows: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
    return rows


def _npy_shape(member: Any) -> tuple[int, ...]:
    version = np.lib.format.read_magic(member)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape: tuple[int, ...] = read(member)[0]
    return shape


def metadata(source: Source) -> dict[str, str]:
    """The metadata entries of a safetensors file; ValueError if it is none, or has none."""
    with _opened(source) as file:
        found = json.loads(_header(file)[0]).get("__metadata__")
    if not isinstance(found, dict):
        raise ValueError("no metadata")
    return {str(key): str(value) for key, value in found.items()}


def _header(file: Any) -> tuple[bytes, int]:
    """The header of a safetensors file, JSON, and the size of the data behind it."""
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= _LONGEST_HEADER:
        raise ValueError(f"a header of {length} bytes")
    header = file.read(length)
    size = file.seek(0, os.SEEK_END) - 8 - length
    if size < 0:
        raise ValueError("cut inside its header")
    return header, size


def _safetensors(source: Source) -> NDArray[Any]:
    """Read here: the package's reader for NumPy has no bfloat16 and copies the whole file."""
    with _opened(source) as file:
        header, size = _header(file)
    length = len(header)
    tensors = json.loads(header)
    if _PROFILE in (tensors.pop("__metadata__", None) or {}):
        raise EmbeddingError(
            "a profile, expected embeddings: `clipcodec profiles FILE` shows it, and --profile "
            "takes it"
        )
    shapes = {name: tuple(tensor["shape"]) for name, tensor in tensors.items()}
    tensor = tensors[_chosen(shapes, "safetensors.numpy.load_file(FILE)[NAME]")]
    stored, shape = tensor["dtype"], tuple(tensor["shape"])
    if stored not in _TYPES:
        raise EmbeddingError(
            f"a tensor of type {brief(stored)}: expected one of {', '.join(_TYPES)}"
        )
    dtype = np.dtype(_TYPES[stored])
    begin, end = tensor["data_offsets"]
    if not all(type(n) is int and n >= 0 for n in (begin, end, *shape)):
        raise ValueError("sizes that are not numbers")
    if end > size or end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError(
            f"{shape} of type {stored} lie at {begin} … {end}, "
            f"and it has {size} bytes of data: cut or damaged"
        )
    rows: NDArray[Any]
    if isinstance(source, bytes) or begin == end:
        data = source[8 + length + begin : 8 + length + end] if isinstance(source, bytes) else b""
        rows = np.frombuffer(data, dtype).reshape(shape)
    else:
        rows = np.memmap(source, dtype, "r", 8 + length + begin, shape)
    if stored == "BF16":  # the upper half of a float32
        rows = (rows.astype(np.uint32) << 16).view(np.float32)
    return rows


def _torch(source: Source) -> NDArray[Any]:
    with missing_named(), loading:
        import torch

    try:
        with _opened(source) as file:
            found: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        if "weights_only" not in str(error).lower() and "weights only" not in str(error).lower():
            raise
        raise EmbeddingError(  # torch's own message advises to run the code
            "not a readable .pt file, expected tensors: it is damaged, or holds other objects, "
            "whose code is never run: torch.save one tensor, or a dict of tensors"
        ) from error
    if isinstance(found, Mapping):
        tensors = {str(k): v for k, v in found.items() if isinstance(v, torch.Tensor)}
        name = _chosen({k: tuple(v.shape) for k, v in tensors.items()}, "torch.load(FILE)[NAME]")
        found = tensors[name]
    if not isinstance(found, torch.Tensor):
        raise EmbeddingError(
            f"a {type(found).__name__}, expected a tensor or a dict of tensors: torch.save one"
        )
    found = found.detach()
    if found.dtype == torch.bfloat16:
        found = found.float()
    rows: NDArray[Any] = found.numpy()
    return rows


def _csv(source: Source) -> NDArray[Any]:
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    text = data.decode(_BYTE_ORDER_MARKS.get(data[:2], "utf-8-sig"))
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise EmbeddingError("an empty .csv file: expected lines of numbers, one per embedding")
    separator = next((mark for mark in ",;\t" if mark in lines[0] or mark in lines[-1]), None)
    first = lines[0].split(separator)
    unnamed = first[0].strip(' "') == ""
    counted = first[unnamed:] == [str(i) for i in range(len(first) - unnamed)]  # pandas' names
    if len(lines) > 1 and (counted or not any(_numbers([field]) for field in first)):
        if unnamed:
            raise EmbeddingError(
                "its first column has no name, as the row numbers that pandas writes: write it "
                "without them, DataFrame.to_csv(FILE, index=False)"
            )
        lines = lines[1:]
    try:
        rows: NDArray[Any] = np.loadtxt(lines, np.float64, comments=None, delimiter=separator,
                                        ndmin=2)  # fmt: skip
    except ValueError as error:
        raise EmbeddingError(
            f"not a readable .csv file: {brief(error)}; expected the numbers of one embedding in "
            "each line, separated by commas, and at most one line of names before them"
        ) from error
    return rows


def _numbers(fields: Iterable[str | bytes]) -> bool:
    try:
        [float(field) for field in fields]
    except ValueError:
        return False
    return True


_READERS: dict[str, Callable[[Source], NDArray[Any]]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".safetensors": _safetensors,
    ".pt": _torch,
    ".csv": _csv,
}
_WRITERS = {
    ".npy": "numpy.save",
    ".npz": "numpy.savez",
    ".safetensors": "safetensors.numpy.save_file",
    ".pt": "torch.save",
    ".csv": "numpy.savetxt(…, delimiter=',')",
}


# written


_NPY_HEADER = 128  # bytes


def write_npy(file: BinaryIO, parts: Iterable[NDArray[Any]]) -> int | None:
    """Write parts (n, D) as one `.npy` of float32, to a file that can seek; D, None without parts.

    Parts of no rows may have another width. Raises EmbeddingError if others differ.
    """
    begin = file.tell()
    file.write(bytes(_NPY_HEADER))
    count, width = 0, None
    for rows in parts:
        if width not in (None, rows.shape[1]) and count and len(rows):
            raise EmbeddingError("embeddings of several widths cannot be one array")
        width = rows.shape[1] if width is None or len(rows) else width
        count += len(rows)
        file.write(np.ascontiguousarray(rows, "<f4").data)
    end = file.tell()
    file.seek(begin)
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({count}, {width or 0}), }}"
    text = header.encode().ljust(_NPY_HEADER - 11) + b"\n"
    file.write(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    file.seek(end)
    return width
