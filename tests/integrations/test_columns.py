"""What a column may be made of: lists in lists, tensors, dictionaries, runs, empty structs."""

from __future__ import annotations

import io
from collections.abc import Sequence
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


# --- dictionaries and runs ---


def dictionary(values: Any, index: str = "int32") -> Any:
    """Its rows: value 1, 0, null, 0, value 2, which is null."""
    indices = pa.array([1, 0, None, 0, 2], index)
    return pa.DictionaryArray.from_arrays(indices, values)


def runs(values: Any) -> Any:
    """Its rows: value 1, twice 0, twice value 2, which is null."""
    own = pa.array([values[i].as_py() for i in (1, 0, 2)], values.type)
    return pa.RunEndEncodedArray.from_arrays(pa.array([1, 3, 5], pa.int16()), own)


ENCODED = {"dictionary": (dictionary, [1, 0, 2, 0, 2]), "runs": (runs, [1, 0, 0, 2, 2])}


@pytest.mark.parametrize("way", ENCODED)
@pytest.mark.parametrize("type", [
    _FLOATS, pa.large_list(pa.float64()), pa.list_(pa.float32(), D), pa.list_(pa.float16()),
    pa.list_(_FLOATS),
], ids=str)  # fmt: skip
def test_repeated_embeddings(codec: Codec, way: str, type: Any) -> None:
    number = np.float16 if "half" in str(type) else np.float32
    rows = [row.astype(number) for row in ROWS[:2]]
    nested = type == pa.list_(_FLOATS)
    values = pa.array([*([row] if nested else row for row in rows), None], type)
    make, order = ENCODED[way]
    array, streams = make(values), [*codec.encode_embeddings(np.array(rows)), None]
    expected = [streams[i] for i in order]
    coded = arrow.encode_array(array, profile=codec)
    assert coded.type == pa.binary()
    assert coded.to_pylist() == expected
    assert arrow.encode_array(array.slice(1, 3), profile=codec).to_pylist() == expected[1:4]


@pytest.mark.parametrize("way", ENCODED)
@pytest.mark.parametrize("type", ["binary", "large_binary", "binary_view"])
def test_repeated_streams(codec: Codec, streams: list[bytes], way: str, type: str) -> None:
    make, order = ENCODED[way]
    array = make(pa.array([*streams[:2], None], pa.type_for_alias(type)))
    back = arrow.decode_array(array, profile=codec)
    vectors = [*codec.decode_batch(streams[:2]).tolist(), None]
    assert back.to_pylist() == [vectors[i] for i in order]
    assert arrow.decode_array(array.slice(3), profile=codec).to_pylist() == back.to_pylist()[3:]
    chunked = pa.chunked_array([array.slice(4), array])
    assert arrow.decode_array(chunked, profile=codec).to_pylist()[1:] == back.to_pylist()


@pytest.mark.parametrize("way", ENCODED)
def test_repeated_images(tmp_path: Path, eye: Seeing, way: str) -> None:
    make, order = ENCODED[way]
    files = [png(pixels) for pixels in PIXELS[:2]]
    paths = [tmp_path / f"{i}.png" for i in range(2)]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    structs = [{"bytes": files[0], "path": None}, {"bytes": None, "path": str(paths[1])}]
    names = [*map(str, paths), None]
    kinds = (pa.array([*files, None]), pa.array(names), pa.array(names, pa.string_view()),
             pa.array([*structs, None]))  # fmt: skip
    for kind in kinds:
        eye.seen = []
        coded = arrow.encode_array(make(kind), profile=eye)
        assert coded.is_valid().to_pylist() == [i < 2 for i in order]
        assert np.array_equal(eye.seen, PIXELS[[i for i in order if i < 2]])


def test_faults_in_dictionaries_name_rows(codec: Codec, streams: list[bytes]) -> None:
    """Rows of the column, not of its dictionary."""
    array = dictionary(pa.array([ROWS[0], [np.nan] * D, None], _FLOATS))
    with pytest.raises(EmbeddingError, match=r"^row 0: NaN"):
        arrow.encode_array(array, profile=codec)
    with pytest.raises(ClipcodecError, match=r"^row 1 and 1 more: "):
        arrow.decode_array(dictionary(pa.array([b"?", streams[0], None])), profile=codec)


def test_dictionaries_of_nothing(codec: Codec) -> None:
    nothing = pa.array([None, None]).dictionary_encode()
    assert arrow.encode_array(nothing, profile=codec).to_pylist() == [None, None]
    assert arrow.decode_array(nothing, profile=codec).to_pylist() == [None, None]
    numbers = pa.array([1, 1]).dictionary_encode()
    with pytest.raises(EmbeddingError, match="expected embeddings"):
        arrow.encode_array(numbers, profile=codec)


def test_dictionaries_in_parquet(tmp_path: Path, codec: Codec, streams: list[bytes]) -> None:
    """A column of categories, as pandas and Polars write it, and one read as such."""
    array = pa.array(streams * 3).dictionary_encode()
    pq.write_table(pa.table({"s": array, "n": range(12)}), tmp_path / "t.parquet")
    assert pa.types.is_dictionary(pq.read_schema(tmp_path / "t.parquet").field("s").type)
    arrow.decompress_parquet(tmp_path / "t.parquet", tmp_path / "b.parquet", "s", profile=codec)
    back = pq.read_table(tmp_path / "b.parquet")["s"].to_pylist()
    assert np.allclose(back, np.tile(codec.decode_batch(streams), (3, 1)))


# --- an average over the column ---

WIDE = np.random.default_rng(2).standard_normal((400, 64)).astype(np.float32)


def average(streams: Sequence[bytes | None]) -> float:
    sizes = [len(stream) for stream in streams if stream is not None]
    return sum(sizes) / len(sizes)


def column(rows: np.ndarray) -> Any:
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])


def test_an_average_is_that_of_the_whole_column(tmp_path: Path, codec: Codec) -> None:
    """In one array or several, in a file, and as encode_embeddings makes it."""
    expected = codec.encode_embeddings(WIDE, mean_bytes=30)
    assert average(expected) == pytest.approx(30, 0.01)
    options: Any = {"profile": codec, "mean_bytes": 30}
    assert arrow.encode_array(column(WIDE), **options).to_pylist() == expected
    chunks = pa.chunked_array([column(WIDE[:150]), column(WIDE[150:])])
    assert arrow.encode_array(chunks, **options).to_pylist() == expected
    table = pa.table({"e": chunks})
    assert arrow.encode_table(table, "e", **options)["e"].to_pylist() == expected
    pq.write_table(table, tmp_path / "t.parquet")
    arrow.compress_parquet(tmp_path / "t.parquet", tmp_path / "s.parquet", "e", **options)
    assert pq.read_table(tmp_path / "s.parquet")["e"].to_pylist() == expected
    read = arrow.read_streams(tmp_path / "t.parquet", "e", **options)
    assert [stream for batch in read for stream in batch] == expected


def test_an_average_leaves_bad_rows_out(codec: Codec) -> None:
    """They are named once."""
    x = WIDE.copy()
    x[3] = np.nan
    bad: list[ClipcodecError] = []
    made = arrow.encode_array(column(x), profile=codec, mean_bytes=30, on_bad_row=bad.append)
    assert [error.rows for error in bad] == [(3,)]
    assert made[3].as_py() is None
    assert average(made.to_pylist()) == pytest.approx(30, 0.01)
    with pytest.raises(EmbeddingError, match="row 3"):
        arrow.encode_array(column(x), profile=codec, mean_bytes=30)
    nulls = pa.nulls(2, pa.list_(pa.float32(), 64))
    assert arrow.encode_array(nulls, profile=codec, mean_bytes=30).null_count == 2


def test_batches_that_come_one_by_one_adapt_and_say_so(codec: Codec) -> None:
    x = np.random.default_rng(3).standard_normal((3000, 64)).astype(np.float32)
    batches = [pa.record_batch({"e": column(x[at : at + 250])}) for at in range(0, len(x), 250)]
    with pytest.warns(UserWarning, match="adapted batch by batch"):
        made = [*arrow.encode_batches(batches, "e", profile=codec, mean_bytes=30)]
    streams = [stream for batch in made for stream in batch["e"].to_pylist()]
    assert average(streams) == pytest.approx(30, 0.01)


def test_images_have_one_quality_in_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = Codec("any/rotation")
    monkeypatch.setattr(
        Codec, "embed_images", lambda self, images: WIDE[: len(images)].astype(np.float32)
    )
    images = pa.array([png(PIXELS[0])] * 70, pa.binary())
    made = arrow.encode_array(images, profile=codec, mean_bytes=30).to_pylist()
    assert average(made) == pytest.approx(30, 0.02)
    assert len({codec.info(stream).quality for stream in made}) == 1
