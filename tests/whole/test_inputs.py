"""The form of what is given does not matter: equal values give equal streams, equal bytes decode.

Embeddings of every real dtype, byte order, memory layout and container; streams in every kind of
buffer that Python has.
"""

from __future__ import annotations

import mmap
import subprocess
import sys
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import clipcodec
from clipcodec.embeddings import as_embeddings

PROFILES = ("openai-vit-b-32/predictive", "openai-vit-b-32/pqvae-400", "any/rotation")
# whole numbers that every type below holds: int8 and bfloat16 are the narrowest
WHOLE = np.random.default_rng(0).integers(-127, 128, (3, 512))
WHOLE[:, 0] = (-127, 1, 127)


def sliced(x: np.ndarray) -> np.ndarray:
    wide = np.full((2 * len(x), 3 * x.shape[1]), 99.0)
    wide[1::2, ::3] = x
    return wide[1::2, ::3]


def unaligned(x: np.ndarray) -> np.ndarray:
    raw = np.zeros(x.size * 8 + 1, np.uint8)
    view = raw[1:].view(np.float64).reshape(x.shape)
    view[:] = x
    return view


def field_of_records(x: np.ndarray) -> Any:
    records: Any = np.zeros(x.shape, [("x", "f4"), ("y", "?")]).view(np.recarray)
    records.x = x
    return records.x


def read_only(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float32)
    x.flags.writeable = False
    return x


class Foreign:
    """What another library's array shows to numpy."""

    def __init__(self, x: np.ndarray) -> None:
        self.x = x.astype(np.float32)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.x if dtype is None else self.x.astype(dtype)


DTYPES = ["f2", ">f2", "f4", ">f4", "f8", ">f8", "g", "i1", "i2", ">i2", "i4", ">i4", "i8", ">i8"]
FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    "lists": lambda x: x.tolist(),
    "lists of floats": lambda x: x.astype(float).tolist(),
    "a tuple of arrays": lambda x: tuple(x.astype(np.float32)),
    "lists of numpy scalars": lambda x: [list(row) for row in x.astype(np.float16)],
    "buffers": lambda x: [array("f", row) for row in x.tolist()],
    "an object with __array__": Foreign,
    "sliced": sliced,
    "sliced, byte-swapped": lambda x: sliced(x).astype(">f4")[:, :],
    "turned": lambda x: np.ascontiguousarray(x.T, np.float32).T,
    "Fortran order": lambda x: np.asfortranarray(x, np.float64),
    "backwards": lambda x: np.ascontiguousarray(x[::-1, ::-1], np.float32)[::-1, ::-1],
    "unaligned": unaligned,
    "read-only": read_only,
    "a memoryview": lambda x: x.astype(np.float64).data,
    "a record's field": field_of_records,
    "tensor float16": lambda x: torch.tensor(x, dtype=torch.float16),
    "tensor bfloat16": lambda x: torch.tensor(x, dtype=torch.bfloat16),
    "tensor float32": lambda x: torch.tensor(x, dtype=torch.float32),
    "tensor float64": lambda x: torch.tensor(x, dtype=torch.float64),
    "tensor int8": lambda x: torch.tensor(x, dtype=torch.int8),
    "tensor int64": lambda x: torch.tensor(x),
    "tensor, turned": lambda x: torch.tensor(x.T.copy(), dtype=torch.float32).T,
    "tensor, sliced": lambda x: torch.tensor(sliced(x)),
    "tensor with a gradient": lambda x: torch.tensor(x, dtype=torch.float32, requires_grad=True),
}


@pytest.fixture(scope="module", params=PROFILES)
def expected(request: pytest.FixtureRequest) -> tuple[str, list[bytes]]:
    """A profile and the streams of WHOLE, given as contiguous float64."""
    name = request.param
    return name, clipcodec.encode_embeddings(WHOLE.astype(np.float64), profile=name)


def check(expected: tuple[str, list[bytes]], many: Any, one: Any) -> None:
    name, streams = expected
    assert clipcodec.encode_embeddings(many, profile=name) == streams
    alone = clipcodec.encode_embedding(WHOLE[1].astype(np.float64), profile=name)
    assert clipcodec.encode_embedding(one, profile=name) == alone


@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_values_of_every_dtype_give_equal_streams(
    dtype: str, expected: tuple[str, list[bytes]]
) -> None:
    """Narrow and wide, either byte order, floats and whole numbers."""
    x = WHOLE.astype(dtype)
    check(expected, x, x[1])


@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2", "u4", "u8", ">u8"])
@pytest.mark.parametrize("name", PROFILES)
def test_unsigned_numbers_give_the_streams_of_their_values(dtype: str, name: str) -> None:
    x = WHOLE + 128
    streams = clipcodec.encode_embeddings(x.astype(np.float64), profile=name)
    assert clipcodec.encode_embeddings(x.astype(dtype), profile=name) == streams


@pytest.mark.parametrize("form", FORMS)
def test_equal_values_in_every_form_give_equal_streams(
    form: str, expected: tuple[str, list[bytes]]
) -> None:
    """Whatever their order in memory, their container, or the library that holds them."""
    many = FORMS[form](WHOLE)
    plain = many.detach().double().numpy() if isinstance(many, torch.Tensor) else many
    assert (np.array(plain, np.float64) == WHOLE).all()  # the form under test holds these values
    whole = form in ("a memoryview", "an object with __array__")  # have no rows of their own
    check(expected, many, FORMS[form](WHOLE[1]) if whole else many[1])


def test_a_memory_mapped_file_gives_the_streams_of_its_values(
    tmp_path: Path, expected: tuple[str, list[bytes]]
) -> None:
    np.save(tmp_path / "x.npy", WHOLE.astype(">f4"))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    check(expected, mapped, mapped[1])


@given(arrays(np.float32, (4, 16), elements=st.floats(-(2.0**99), 2.0**99, width=32)))
def test_float32_and_wider_become_the_same_rows_bit_for_bit(x: np.ndarray) -> None:
    """Every float32 is a float64, too: no encoder could tell which was given."""
    x[np.abs(x).max(axis=1) == 0, 0] = 1
    rows = as_embeddings(x)
    for dtype in (">f4", "f8", ">f8", "g"):
        assert as_embeddings(x.astype(dtype)).tobytes() == rows.tobytes(), dtype


def test_the_scale_of_an_embedding_by_a_power_of_two_changes_nothing() -> None:
    """Division by the norm undoes it without rounding, from tiny to huge."""
    x = np.random.default_rng(1).standard_normal((50, 48))
    rows = as_embeddings(x)
    for exponent in (-900, -20, 3, 900):
        assert as_embeddings(np.ldexp(x, exponent)).tobytes() == rows.tobytes(), exponent


def test_what_is_given_is_not_changed() -> None:
    x = WHOLE.astype(np.float32)
    before = x.tobytes()
    clipcodec.encode_embeddings(x, max_bytes=50)
    assert x.tobytes() == before


def mapped(data: bytes, folder: Path) -> mmap.mmap:
    path = folder / "stream"
    path.write_bytes(data)
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


BUFFERS: dict[str, Callable[[bytes, Path], Any]] = {
    "bytes": lambda s, _: s,
    "bytearray": lambda s, _: bytearray(s),
    "memoryview": lambda s, _: memoryview(s),
    "a part of a memoryview": lambda s, _: memoryview(b"??" + s + b"?")[2:-1],
    "every second byte": lambda s, _: memoryview(bytes(b for c in s for b in (c, 255)))[::2],
    "backwards": lambda s, _: memoryview(s[::-1])[::-1],
    "signed bytes": lambda s, _: memoryview(s).cast("b"),
    "rows of bytes": lambda s, _: memoryview(s).cast("B", (1, len(s))),
    "an array's memory": lambda s, _: np.frombuffer(s, np.uint8).data,
    "a mapped file's memory": lambda s, folder: memoryview(mapped(s, folder)),
    "a part of a mapped file": lambda s, folder: mapped(s, folder)[:],
}


@pytest.mark.parametrize("form", BUFFERS)
@pytest.mark.parametrize("name", PROFILES)
def test_a_stream_decodes_from_every_buffer(form: str, name: str, tmp_path: Path) -> None:
    """Its bytes in their order count, wherever they lie in memory."""
    stream = clipcodec.encode_embedding(WHOLE[0], profile=name)
    given = BUFFERS[form](stream, tmp_path)
    assert bytes(given) == stream
    row = clipcodec.decode(stream)
    assert (clipcodec.decode(given) == row).all()
    assert clipcodec.info(given) == clipcodec.info(stream)
    both = clipcodec.decode_batch([stream, stream])
    assert (clipcodec.decode_batch([stream, given]) == both).all()


@pytest.mark.parametrize(
    "given",
    ["a text", 7, None, [65, 66], np.frombuffer(b"\x46\0", np.uint8), array("B", b"\x46\0")],
    ids=lambda x: type(x).__name__,
)
def test_what_holds_no_bytes_is_refused_by_its_type(given: Any) -> None:
    """An array of numbers may mean anything: its memory is taken only when asked for by name."""
    with pytest.raises(clipcodec.DecodeError, match=type(given).__name__):
        clipcodec.decode(given)


def test_a_mapped_file_is_refused_by_its_type(tmp_path: Path) -> None:
    """A whole file, of one stream or many: its part, or its memory, must be named."""
    stream = clipcodec.encode_embedding(WHOLE[0])
    with pytest.raises(clipcodec.DecodeError, match="mmap"):
        clipcodec.decode(mapped(stream, tmp_path))  # type: ignore[arg-type]


def test_a_memory_map_is_read_in_bounded_memory(tmp_path: Path) -> None:
    """Of 400 MB no more than 150 MB are in memory at a time, also as the system counts it."""
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc")
    path = tmp_path / "x.npy"
    rows = np.lib.format.open_memmap(path, "w+", np.float32, (200_000, 512))
    for at in range(0, len(rows), 20_000):
        rows[at : at + 20_000] = 1
    del rows
    code = (
        "import clipcodec, numpy as np, re\n"
        "def most():\n"
        "    return int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
        "codec = clipcodec.Codec()\n"
        "codec.encode_embeddings(np.ones((3, 512)))\n"
        "clipcodec.batches.encode_all = lambda profile, x, *rest: [b''] * len(x)\n"
        "before = most()\n"
        f"assert len(codec.encode_embeddings(np.load({str(path)!r}, mmap_mode='r'))) == 200_000\n"
        "print(most() - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 150_000  # KiB
