"""clipcodec.profile: a profile file is what it says, or WeightsError."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from clipcodec.errors import WeightsError
from clipcodec.profile.file import METADATA_KEY, read_profile, write_profile
from tests.helpers.kinds import pqvae
from tests.helpers.profiles import write_tiny_profile


@pytest.fixture(scope="session", params=["pqvae", "compact"])
def own_path(request: pytest.FixtureRequest, tiny_path: Path, compact_path: Path) -> Path:
    """A small private profile of this kind, with statistics."""
    return {"pqvae": tiny_path, "compact": compact_path}[request.param]


def parts(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return load(data), json.loads(header["__metadata__"][METADATA_KEY])


def rewrite(path: Path, tensors: dict[str, np.ndarray], meta: object) -> Path:
    path.write_bytes(save(tensors, metadata={METADATA_KEY: json.dumps(meta)}))
    return path


def test_what_is_written_is_read(tiny_path: Path) -> None:
    profile = read_profile(tiny_path)
    assert (profile.name, profile.id, profile.dim) == ("private/tiny", None, 8)
    assert profile.digest == hashlib.sha256(tiny_path.read_bytes()).digest()
    assert pqvae(profile).config.count == 12
    assert pqvae(profile).tables.alphabet == 5
    assert profile.card == {"data": "random"}


def test_same_content_same_bytes(tmp_path: Path, tiny_path: Path) -> None:
    """The digest identifies content: writing twice gives one file."""
    again = write_tiny_profile(tmp_path / "again.safetensors")
    assert again.read_bytes() == tiny_path.read_bytes()
    other = write_tiny_profile(tmp_path / "other.safetensors", seed=1)
    assert other.read_bytes() != tiny_path.read_bytes()


def test_only_the_registered_file_is_accepted(tiny_path: Path) -> None:
    digest = hashlib.sha256(tiny_path.read_bytes()).hexdigest()
    assert read_profile(tiny_path, id=3, sha256=digest).id == 3
    with pytest.raises(WeightsError, match="reinstall"):
        read_profile(tiny_path, id=3, sha256="0" * 64)


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"cannot be read: No such file"):
        read_profile(tmp_path / "none.safetensors")
    for path in (tmp_path, "a\0.safetensors"):
        with pytest.raises(WeightsError, match="cannot be read"):
            read_profile(path)
    for data in (b"", b"PK\x03\x04" * 9, save({"x": np.ones(3)}), b"\xff" * 64,
                 (1 << 62).to_bytes(8, "little") + b"{}"):  # fmt: skip
        path = tmp_path / "foreign.safetensors"
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=r"foreign\.safetensors.*not a clipcodec profile"):
            read_profile(path)


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    """A pickle that would run code is just a foreign file."""
    import pickle

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)  # type: ignore[return-value]

    path = tmp_path / "bomb.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(WeightsError):
        read_profile(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("version", 2, "version 2"),
        ("version", True, "version True"),
        ("name", None, "name is None"),
        ("name", "a\x1b[31m", "printable"),
        ("kind", "other", "kind 'other' is unknown"),
        ("kind", ["pqvae"], "kind"),
        ("kind", "rotation", "config"),
        ("dim", 25, "shape"),
        ("dim", "8", "dim is '8'"),
        ("dim", True, "dim is True"),
        ("dim", 1 << 15, "dim is 32768"),
        ("config", {}, "config must state|config is {}, expected the keys"),
        ("config", None, "metadata|config is None"),
        ("statistics", [], "metadata"),
        ("statistics", {"low": 0, "floor": 0, "axes": 99}, "axes is 99"),
        ("statistics", {"low": 0, "floor": 0, "axes": 1, "text": 1}, "text is 1"),
        ("statistics", {"low": 0, "floor": 0, "axes": 1, "bank": -1}, "bank is -1"),
        ("statistics", {"low": 0, "floor": 0, "axes": 1, "bank": 1 << 20}, "bank is 1048576"),
        ("statistics", {"low": float("nan"), "floor": 0, "axes": 1}, "cosine is nan"),
        ("statistics", {"low": 10**400, "floor": 0, "axes": 1}, "cosine is 1000"),
        ("card", 3, "card is int"),
    ],
)
def test_metadata_that_lies_is_refused(
    tmp_path: Path, own_path: Path, key: str, value: object, message: str
) -> None:
    tensors, meta = parts(own_path)
    with pytest.raises(WeightsError, match=message):
        read_profile(rewrite(tmp_path / "p.safetensors", tensors, meta | {key: value}))


@pytest.mark.parametrize("key", ["version", "kind", "name", "dim", "config", "statistics", "card"])
def test_metadata_that_lacks_something_is_refused(tmp_path: Path, own_path: Path, key: str) -> None:
    tensors, meta = parts(own_path)
    del meta[key]
    with pytest.raises(WeightsError, match=r"p\.safetensors"):
        read_profile(rewrite(tmp_path / "p.safetensors", tensors, meta))


def test_the_number_of_tables_is_said_and_in_range(tmp_path: Path, tiny_path: Path) -> None:
    """Of kind pqvae, where it is no part of the sizes."""
    tensors, meta = parts(tiny_path)
    with pytest.raises(WeightsError, match="tables is 1000"):
        read_profile(rewrite(tmp_path / "p.safetensors", tensors, meta | {"tables": 1000}))
    del meta["tables"]
    with pytest.raises(WeightsError, match="tables is None"):
        read_profile(rewrite(tmp_path / "p.safetensors", tensors, meta))


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("codebook", np.zeros((5, 3), np.float32), "codebook has shape"),
        ("codebook", np.zeros((5, 2), np.int32), "dtype"),
        ("codebook", np.full((5, 2), np.nan, np.float32), "NaN"),
        ("center", np.full(8, np.inf, np.float16), "infinite"),
        ("codebook", np.full((5, 2), 1e300), "enormous"),
        ("scale", np.zeros(1, np.float32), "scale is not positive"),
        ("statistics.mean", np.zeros(8, np.float32), "mean is zero"),
        ("tables.table_of", np.zeros(12, np.uint64), "dtype uint64"),
        ("tables.table_of", np.full(12, 99, np.uint16), "outside"),
        ("tables.lengths", None, "missing"),
        ("extra", np.zeros(1), "unexpected"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    tmp_path: Path, tiny_path: Path, name: str, tensor: np.ndarray | None, message: str
) -> None:
    tensors, meta = parts(tiny_path)
    tensors.pop(name, None)
    if tensor is not None:
        tensors[name] = tensor
    path = rewrite(tmp_path / "p.safetensors", tensors, meta)
    with pytest.raises(WeightsError, match=message):
        read_profile(path)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_files_raise_weights_error_or_load(
    tmp_path_factory: pytest.TempPathFactory, own_path: Path, data: st.DataObject
) -> None:
    """Cut or overwritten anywhere: WeightsError, or a profile when only values changed."""
    content = bytearray(own_path.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    for _ in range(data.draw(st.integers(0, 3))):
        if content:
            at = data.draw(st.integers(0, min(len(content), 3000) - 1))
            content[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    path.write_bytes(content)
    with contextlib.suppress(WeightsError):
        assert read_profile(path).dim == read_profile(own_path).dim


def test_endless_files_and_headers_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clipcodec.profile.file.MAX_FILE_BYTES", 1 << 16)
    with pytest.raises(WeightsError, match="more than 65536 bytes"):
        read_profile("/dev/zero")
    path = tmp_path / "long.safetensors"
    path.write_bytes((2 << 20).to_bytes(8, "little") + b"{" * 100)
    with pytest.raises(WeightsError, match="not a clipcodec profile"):
        read_profile(path)


def test_tensor_types_that_numpy_lacks_are_named(tmp_path: Path) -> None:
    header = {"__metadata__": {METADATA_KEY: json.dumps({"version": 1})},
              "x": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}  # fmt: skip
    text = json.dumps(header).encode()
    path = tmp_path / "bf16.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"\0\0")
    with pytest.raises(WeightsError, match=r"BF16.*F16, F32 or F64"):
        read_profile(path)


def test_statistics_of_texts_are_read_and_checked(tmp_path: Path, tiny_path: Path) -> None:
    """The mean of texts, and a bank whose rows have scales of their own; neither may be zero."""
    tensors, meta = parts(tiny_path)
    meta["statistics"] |= {"text": True, "bank": 2}
    tensors["statistics.text"] = np.arange(8).astype(np.float16)
    tensors["statistics.bank"] = np.array([[3, 4, *[0] * 6], [0] * 7 + [-100]], np.int8)
    path = tmp_path / "texts.safetensors"
    found = read_profile(rewrite(path, tensors, meta)).statistics
    assert found is not None
    assert found.text is not None
    assert found.bank is not None
    assert found.text.tolist() == list(range(8))
    expected = np.zeros((2, 8))
    expected[0, :2], expected[1, 7] = (0.6, 0.8), -1
    assert np.allclose(found.bank, expected)
    for name, words in (("text", "statistics.text is zero"), ("bank", "bank has a row of zeros")):
        wrong = {**tensors, f"statistics.{name}": np.zeros_like(tensors[f"statistics.{name}"])}
        with pytest.raises(WeightsError, match=words):
            read_profile(rewrite(path, wrong, meta))
    with pytest.raises(WeightsError, match=r"statistics\.bank"):
        read_profile(
            rewrite(path, tensors, {**meta, "statistics": {**meta["statistics"], "bank": 3}})
        )


def test_views_are_written_as_their_values(tmp_path: Path) -> None:
    """A column, a transpose: safetensors writes what lies in memory."""
    base = np.arange(12, dtype=np.float32).reshape(3, 4)
    views = {"column": base[:, 1], "turned": base.T, "every second": base[::2]}
    write_profile(tmp_path / "p", {"kind": "none"}, views)
    found = load((tmp_path / "p").read_bytes())
    for name, view in views.items():
        np.testing.assert_array_equal(found[name], view)
