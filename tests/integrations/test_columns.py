"""What a column may be made of: lists in lists, tensors, structs that hold no image."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clipcodec import ClipcodecError, Codec, EmbeddingError, ImageError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from clipcodec.integrations import arrow  # noqa: E402

D = 16
ROWS = np.random.default_rng(0).standard_normal((4, D)).astype(np.float32)
PIXELS = np.random.default_rng(1).integers(0, 256, (3, 8, 9, 3), dtype=np.uint8)


class Seeing(Codec):
    """Keeps the images that it is given, instead of embedding them."""

    def encode_batch(self, images: Any, *_: Any, **__: Any) -> list[bytes]:
        self.seen = [*getattr(self, "seen", []), *map(np.asarray, images)]
        return [b"stream"] * len(images)


@pytest.fixture
def eye() -> Seeing:
    return Seeing("any/rotation")


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec("any/rotation")


@pytest.fixture(scope="module")
def streams(codec: Codec) -> list[bytes]:
    return codec.encode_embeddings(ROWS)


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


# --- lists in lists and tensors ---

_FLOATS = pa.list_(pa.float32())
NESTED = {
    "list of one list": lambda: pa.array([[row] for row in ROWS], pa.list_(_FLOATS)),
    "three levels": lambda: pa.array([[[row]] for row in ROWS], pa.list_(pa.list_(_FLOATS))),
    "large": lambda: pa.array([[row] for row in ROWS], pa.large_list(pa.large_list(pa.float32()))),
    "fixed": lambda: pa.array([[row] for row in ROWS], pa.list_(pa.list_(pa.float32(), D), 1)),
    "half": lambda: pa.array(
        [[row] for row in ROWS.astype(np.float16)], pa.list_(pa.list_(pa.float16()))
    ),
    "tensor [1, D]": lambda: pa.FixedShapeTensorArray.from_numpy_ndarray(ROWS.reshape(4, 1, D)),
    "tensor [D, 1]": lambda: pa.FixedShapeTensorArray.from_numpy_ndarray(ROWS.reshape(4, D, 1)),
    "tensor [1, 1, 1, D]": lambda: pa.FixedShapeTensorArray.from_numpy_ndarray(
        ROWS.reshape(4, 1, 1, 1, D)
    ),
}


@pytest.mark.parametrize("kind", NESTED)
def test_embeddings_inside_further_lists(codec: Codec, streams: list[bytes], kind: str) -> None:
    array = NESTED[kind]()
    expected = codec.encode_embeddings(ROWS.astype(np.float16)) if kind == "half" else streams
    assert arrow.encode_array(array, profile=codec).to_pylist() == expected
    assert arrow.encode_array(array.slice(1, 2), profile=codec).to_pylist() == expected[1:3]
    t = arrow.encode_table(pa.table({"e": array}), "e", profile=codec)
    width = t.schema.field("e").metadata.get(b"clipcodec.dimensions")
    assert width == (b"16" if kind == "fixed" or kind.startswith("tensor") else None)


def test_rows_that_are_not_one_embedding_are_named(codec: Codec, streams: list[bytes]) -> None:
    one, two = [ROWS[0].tolist()], ROWS[:2].tolist()
    rows = [one, None, two, one, [], [None], [[None, *one[0][1:]]], one]
    array = pa.array(rows, pa.list_(_FLOATS))
    with pytest.raises(EmbeddingError, match="row 2 and 1 more: 2 lists, expected one embedding"):
        arrow.encode_array(array, profile=codec)
    errors: list[ClipcodecError] = []
    coded = arrow.encode_array(array, profile=codec, on_bad_row=errors.append)
    assert coded.to_pylist() == [
        streams[0] if row is one else None for row in rows
    ]  # fmt: skip
    assert [error.rows for error in errors] == [(2,), (4,), (5,), (6,)]
    assert "0 lists" in str(errors[1])


@pytest.mark.parametrize("type", [
    pa.list_(pa.list_(pa.float32(), D), 3), pa.list_(pa.list_(pa.string())),
    pa.list_(pa.struct({"x": pa.float32()})), pa.list_(pa.list_(pa.list_(pa.list_(pa.uint8())))),
])  # fmt: skip
def test_other_nested_types_are_refused_before_any_row(codec: Codec, type: Any) -> None:
    with pytest.raises(EmbeddingError, match="expected embeddings"):
        arrow.encode_array(pa.nulls(2, type), profile=codec)


@pytest.mark.parametrize("shape", [(8, 9, 3), (8, 9)])
def test_lists_of_pixels(eye: Seeing, shape: tuple[int, ...]) -> None:
    pixels = PIXELS if len(shape) == 3 else PIXELS[..., 0]
    type: Any = pa.uint8()
    for _ in shape:
        type = pa.list_(type)
    rows: Any = pixels.tolist()
    top: Any = rows[0]
    ragged = [*top[:-1], top[-1][:-1]]
    holed = [[*top[0][:-1], None], *top[1:]]
    array = pa.array([rows[0], None, rows[1], ragged, holed, [], rows[2]], type)
    errors: list[ClipcodecError] = []
    coded = arrow.encode_array(array, profile=eye, on_bad_row=errors.append)
    assert coded.is_valid().to_pylist() == [True, False, True, False, False, False, True]
    assert [(error.index, isinstance(error, ImageError)) for error in errors] == [
        (3, True), (4, True), (5, True),
    ]  # fmt: skip
    for seen, given in zip(eye.seen, pixels, strict=True):
        assert np.array_equal(seen.reshape(8, 9, -1)[..., 0], given.reshape(8, 9, -1)[..., 0])


def test_tensors_of_hugging_face(
    tmp_path: Path, codec: Codec, eye: Seeing, streams: list[bytes]
) -> None:
    """Array2D and Array3D, from `datasets`, and from Parquet as `datasets` writes them."""
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({
        "e": datasets.Array2D((1, D), "float32"), "p": datasets.Array3D((8, 9, 3), "uint8"),
        "no": datasets.Array2D((2, D), "float32"),
    })  # fmt: skip
    ds = datasets.Dataset.from_dict(
        {"e": ROWS[:3, None].tolist(), "p": PIXELS.tolist(), "no": np.ones((3, 2, D)).tolist()},
        features=features,
    )
    ds.to_parquet(tmp_path / "t.parquet")
    for table in (ds.data.table, pq.read_table(tmp_path / "t.parquet")):
        eye.seen = []
        assert arrow.encode_table(table, "e", profile=codec)["e"].to_pylist() == streams[:3]
        assert arrow.encode_table(table, "p", profile=eye)["p"].to_pylist() == [b"stream"] * 3
        assert np.array_equal(eye.seen, PIXELS)
        errors: list[ClipcodecError] = []
        coded = arrow.encode_table(table, "no", profile=eye, on_bad_row=errors.append)
        assert coded["no"].null_count == len(errors) == 3


def test_tensors_of_ray(codec: Codec, eye: Seeing, streams: list[bytes]) -> None:
    tensors = pytest.importorskip("ray.data.extensions")
    array = tensors.ArrowTensorArray.from_numpy(ROWS.reshape(4, 1, D))
    assert arrow.encode_array(array, profile=codec).to_pylist() == streams
    many = tensors.ArrowVariableShapedTensorArray.from_numpy([PIXELS[0], PIXELS[1][:4]])
    assert arrow.encode_array(many, profile=eye).null_count == 0
    assert [image.shape for image in eye.seen] == [(8, 9, 3), (4, 9, 3)]


# --- rows that are there but hold nothing ---


def test_a_row_without_image_is_not_null(eye: Seeing) -> None:
    """Only Arrow's null becomes null unasked."""
    rows: list[Any] = [{"bytes": png(PIXELS[0]), "path": None}, {"bytes": None, "path": None}, None,
            {"bytes": None, "path": ""}]  # fmt: skip
    for array in (pa.array(rows), pa.array([None if r is None else {"bytes": r["bytes"]}
                                            for r in rows])):  # fmt: skip
        with pytest.raises(ImageError, match=r"^row 1: neither bytes nor a path"):
            arrow.encode_array(array, profile=eye)
        errors: list[ClipcodecError] = []
        coded = arrow.encode_array(array, profile=eye, on_bad_row=errors.append)
        assert coded.is_valid().to_pylist() == [True, False, False, False]
        assert [error.index for error in errors] == [1, 3]


def test_a_tensor_without_data_or_of_another_size_is_named(eye: Seeing) -> None:
    tensors = pytest.importorskip("ray.data.extensions")
    many = tensors.ArrowVariableShapedTensorArray.from_numpy([PIXELS[0], PIXELS[1]])
    flat = PIXELS[0].reshape(-1).tolist()
    rows = [{"data": None, "shape": [8, 9, 3]}, {"data": flat, "shape": None},
            {"data": flat, "shape": [8, 9, 4]}, {"data": [None, *flat[1:]], "shape": [8, 9, 3]},
            None, {"data": flat, "shape": [8, 9, 3]}]  # fmt: skip
    array = pa.ExtensionArray.from_storage(many.type, pa.array(rows, many.type.storage_type))
    errors: list[ClipcodecError] = []
    coded = arrow.encode_array(array, profile=eye, on_bad_row=errors.append)
    assert coded.is_valid().to_pylist() == [False] * 5 + [True]
    assert [(error.index, type(error)) for error in errors] == [(i, ImageError) for i in range(4)]
    assert np.array_equal(eye.seen, PIXELS[:1])
