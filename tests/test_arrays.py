"""clipcodec.arrays: the same rows from every kind of file; and what is wrong with a file."""

from __future__ import annotations

import io
import os
import sys
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save, save_file

from clipcodec import arrays
from clipcodec.errors import EmbeddingError, MissingDependencyError

ROWS = np.random.default_rng(0).standard_normal((3, 64)).astype(np.float32)


def of_file(path: Path) -> Any:
    kind = arrays.kind_of_file(str(path))
    assert kind is not None
    rows = arrays.read(str(path), kind)
    data = path.read_bytes()
    assert arrays.kind_of(path.name, data[: arrays.HEAD]) == kind
    assert np.array_equal(arrays.read(data, kind), rows), "from bytes as from the file"
    return rows


def fault(path: Path) -> str:
    with pytest.raises(EmbeddingError) as info:
        arrays.read(str(path), arrays.kind_of_file(str(path)) or "none")
    with pytest.raises(EmbeddingError):
        arrays.read(path.read_bytes(), arrays.kind_of_file(str(path)) or "none")
    return str(info.value)


def test_npy_and_npz(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ROWS)
    np.savez(tmp_path / "a.npz", ROWS)
    np.savez_compressed(tmp_path / "b.npz", labels=np.arange(3), embeddings=ROWS, other=ROWS + 1)
    np.savez(tmp_path / "c.npz", labels=np.arange(3), vectors=ROWS)
    for name in ("a.npy", "a.npz", "b.npz", "c.npz"):
        assert np.array_equal(of_file(tmp_path / name), ROWS), name
    (tmp_path / "nameless").write_bytes((tmp_path / "c.npz").read_bytes())
    assert np.array_equal(of_file(tmp_path / "nameless"), ROWS)


def test_safetensors_of_every_type(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for dtype in ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1"):
        rows = (np.abs(ROWS) * 9).astype(dtype)
        save_file({"b": rows + 1, "embeddings": rows, "ids": np.arange(3)}, path)
        found = of_file(path)
        assert found.dtype == rows.dtype
        assert np.array_equal(found, rows)
    assert isinstance(arrays.read(str(path), ".safetensors"), np.memmap)
    save_file({"x": ROWS, "ids": np.arange(3)}, path)
    assert np.array_equal(of_file(path), ROWS), "the only one with two axes"


def test_bfloat16(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_tensors

    tensor = torch.from_numpy(ROWS).bfloat16()
    save_tensors({"embeddings": tensor}, tmp_path / "a.safetensors")
    torch.save(tensor, tmp_path / "a.pt")
    for name in ("a.safetensors", "a.pt"):
        found = of_file(tmp_path / name)
        assert found.dtype == np.float32
        assert np.array_equal(found, tensor.float().numpy())
    np.save(tmp_path / "a.npy", (ROWS.view("u4") >> 16).astype("u2").view("V2"))
    assert "bfloat16" in fault(tmp_path / "a.npy")


def test_torch_files(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(ROWS)
    torch.save(tensor, tmp_path / "a.pt")
    torch.save(tensor.requires_grad_(), tmp_path / "b.pth")
    torch.save({"step": 3, "bias": torch.ones(4), "weight": tensor}, tmp_path / "c.pt")
    torch.save(tensor, tmp_path / "d.pt", _use_new_zipfile_serialization=False)
    torch.save(tensor, tmp_path / "nameless")
    for name in ("a.pt", "b.pth", "c.pt", "d.pt", "nameless"):
        assert np.array_equal(of_file(tmp_path / name), ROWS), name
    torch.save([1, 2], tmp_path / "list.pt")
    assert "a list, expected a tensor" in fault(tmp_path / "list.pt")


class Runs:
    """Its pickle makes a folder when it is loaded."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.made),)


def test_code_in_a_pickle_is_not_run(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    made = tmp_path / "made"
    torch.save({"embeddings": torch.ones(3, 4), "x": Runs(made)}, tmp_path / "a.pt")
    torch.save(Runs(made), tmp_path / "b.pt", _use_new_zipfile_serialization=False)
    objects = np.array([Runs(made)])
    np.savez(tmp_path / "c.npz", objects, allow_pickle=True)
    np.save(tmp_path / "d.npy", objects, allow_pickle=True)
    for name in ("a.pt", "b.pt"):
        why = fault(tmp_path / name)
        assert "code is never run" in why
        assert "weights_only=False" not in why
    for name in ("c.npz", "d.npy"):
        fault(tmp_path / name)
    assert not made.exists()


def test_torch_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match="pip install torch"):
        arrays.read(b"", ".pt")


@pytest.mark.parametrize("separator", [",", ";", "\t", " "])
@pytest.mark.parametrize("names", ["", "names", "numbers"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_csv(tmp_path: Path, separator: str, names: str, encoding: str) -> None:
    lines = [separator.join(map(repr, row)) for row in ROWS.tolist()]
    if names:
        lines.insert(
            0, separator.join(("d" if names == "names" else "") + str(i) for i in range(64))
        )
    path = tmp_path / "a.csv"
    path.write_bytes("\r\n".join([*lines, ""]).encode(encoding))
    assert np.array_equal(of_file(path), ROWS)


def test_csv_without_a_name() -> None:
    data = io.BytesIO()
    np.savetxt(data, np.ones((2, 5000)), delimiter=",")
    assert arrays.kind_of("", data.getvalue()[: arrays.HEAD]) == ".csv"
    for text in (b"", b"a.jpg\nb.jpg\n", b"P3\n1 1\n", b"1\n2\n", b"a,b\n1,2\n"):
        assert arrays.kind_of("", text) is None, text


def test_csv_faults(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for text, why in (
        ("", "empty"),
        ("a,b\n1,2\nx,3\n", "one embedding in each line"),
        ("1,2\n3\n", "one embedding in each line"),
        ("1,,2\n3,4,5\n6,7,8\n", "one embedding in each line"),
        (",0,1\n0,.5,.5\n", "index=False"),
        (",a,b\n0,.5,.5\n", "index=False"),
        ("a,b\n", "one embedding in each line"),
    ):
        path.write_text(text)
        assert why in fault(path), text
    path.write_bytes(b"1,2\n\xff\xff\n")
    assert "not a readable .csv file" in fault(path)


def test_several_arrays_are_named_with_how_to_choose(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=ROWS, b=ROWS, n=np.ones(3))
    save_file({"a": ROWS, "b": ROWS}, tmp_path / "a.safetensors")
    for name, how in (("a.npz", "numpy.load(FILE)[NAME]"), ("a.safetensors", "load_file")):
        why = fault(tmp_path / name)
        assert "'a' (3, 64), 'b' (3, 64)" in why
        assert "expected one called 'embeddings'" in why
        assert how in why
    save_file({"a" * 9999: ROWS, "b" * 9999: ROWS}, tmp_path / "a.safetensors")
    assert len(fault(tmp_path / "a.safetensors")) < 1000
    save_file({}, tmp_path / "a.safetensors")
    assert "no arrays" in fault(tmp_path / "a.safetensors")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("kind", [".npy", ".npz", ".safetensors", ".pt"])
def test_damaged_files_are_typed_errors(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a{kind}"
    if kind == ".npy":
        np.save(path, ROWS)
    elif kind == ".npz":
        np.savez(path, ROWS)
    elif kind == ".safetensors":
        save_file({"embeddings": ROWS}, path)
    else:
        pytest.importorskip("torch").save(pytest.importorskip("torch").from_numpy(ROWS), path)
    data = path.read_bytes()
    for size in (0, 1, 9, 40, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        if kind == ".npz" and size == len(data) - 1:
            continue  # zipfile reads it: only the length of its comment is cut
        assert f"not a readable {kind} file" in fault(path), size
    r = np.random.default_rng(1)
    for _ in range(100):
        damaged = bytearray(data)
        for at in r.integers(0, min(len(data), 300), 3):
            damaged[at] = r.integers(256)
        with suppress(EmbeddingError):
            arrays.read(bytes(damaged), kind)


def test_a_size_that_is_not_there_takes_no_memory() -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"shape": (1 << 40, 4), "fortran_order": False, "descr": "<f4"}
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.npy", header.getvalue())
    with pytest.raises(EmbeddingError, match="1099511627776"):
        arrays.read(buffer.getvalue(), ".npz")
    data = save({"a": ROWS}).replace(b"[3,64]", b"[9,64]")
    with pytest.raises(EmbeddingError, match=r"\(9, 64\)"):
        arrays.read(data, ".safetensors")


def test_shapes_that_hold_no_rows(tmp_path: Path) -> None:
    for shape in ((2, 3, 4), (0, 4), ()):
        np.savez(tmp_path / "a.npz", np.ones(shape))
        save_file({"a": np.ones(shape)}, tmp_path / "a.safetensors")
        for name in ("a.npz", "a.safetensors"):
            assert "expected (D,) or (N, D), N > 0" in fault(tmp_path / name)
