"""Ray Data on a local cluster of several worker processes, one of which dies."""

from __future__ import annotations

import gc
import io
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from clipcodec import Codec, OptionError, WeightsError
from tests.helpers import pillow_plugin, ray_cluster, tiny_models
from tests.helpers.profiles import cone
from tests.helpers.public import public_names, run_examples, write_folder

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pa_fs = pytest.importorskip("pyarrow.fs")
fsspec = pytest.importorskip("fsspec.implementations.local")

from clipcodec.integrations.arrow import encode_table  # noqa: E402
from clipcodec.integrations.ray import compress_dataset, decompress_dataset  # noqa: E402

D = 24  # of the profile `rates`
FILES, ROWS = 12, 50  # in each


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    with ray_cluster.running():
        yield


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return cone(FILES * ROWS, D, seed=5)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, rows: np.ndarray) -> Path:
    """A folder of Parquet files; every tenth embedding is null."""
    folder = tmp_path_factory.mktemp("source")
    for i in range(FILES):
        ids = range(i * ROWS, (i + 1) * ROWS)
        vectors = [None if n % 10 == 0 else rows[n] for n in ids]
        made = pa.table({"id": ids, "v": pa.array(vectors, pa.list_(pa.float32(), D))})
        pq.write_table(made, folder / f"{i:02d}.parquet")
    return folder


@pytest.fixture(scope="module")
def expected(rates: Any, rows: np.ndarray) -> dict[int, bytes | None]:
    streams = Codec(rates).encode_embeddings(rows, max_bytes=14)
    return {n: None if n % 10 == 0 else stream for n, stream in enumerate(streams)}


class Mortal(Codec):
    """A codec whose process is killed, once among all workers, in the midst of a batch."""

    def __init__(self, profile: Path, folder: Path) -> None:
        super().__init__(profile)
        self.folder = folder

    def encode_embeddings(self, X: Any, target: Any = None, /, **options: Any) -> list[bytes]:
        streams = super().encode_embeddings(X, target, **options)
        (self.folder / f"pid-{os.getpid()}").touch()
        die(self.folder, after=3)
        return streams


def die(folder: Path, after: int) -> None:
    """Count calls by files, as several processes can; one of them dies at the call `after`."""
    for n in range(1, after + 1):
        try:
            os.close(os.open(folder / f"call-{n}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        if n == after:
            (folder / f"dead-{os.getpid()}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return


class MortalFiles(pa_fs.FSSpecHandler):  # type: ignore[misc, name-defined]
    """Local files; the process is killed, once, when a file is written but for its end."""

    def __init__(self, folder: Path) -> None:
        super().__init__(fsspec.LocalFileSystem())
        self.folder = folder

    def open_output_stream(self, path: str, metadata: Any) -> Any:
        with open(path, "wb") as file:
            file.write(b"half a file")
        die(self.folder, after=1)
        return super().open_output_stream(path, metadata)


def read(folder: Path) -> dict[int, bytes | None]:
    """Every row of every file: no id twice."""
    found: dict[int, bytes | None] = {}
    for path in sorted(folder.glob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            assert row["id"] not in found
            found[row["id"]] = row["v"]
    return found


def fails(ds: Any, match: str) -> None:
    """Taking its rows raises; then its workers end, as the next run waits for their processors."""
    with pytest.raises(Exception, match=match):
        ds.take_all()
    gc.collect()  # the error's traceback, a cycle, holds them


class Batches:
    """In place of a dataset: one batch, through a worker's class or function, in this process."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def map_batches(self, work: Any, **options: Any) -> Any:
        assert options["batch_format"] == "pyarrow"
        if isinstance(work, type):
            work = work(**options["fn_constructor_kwargs"])
        return Batches(work(self.table))


def test_a_batch_there_and_back_without_a_cluster(
    rates_path: Path, rows: np.ndarray, expected: dict[int, bytes | None]
) -> None:
    vectors = [None if n % 10 == 0 else row for n, row in enumerate(rows)]
    given: Any = Batches(pa.table({"v": pa.array(vectors, pa.list_(pa.float32(), D))}))
    ds: Any = compress_dataset(given, "v", max_bytes=14, profile=rates_path)
    assert ds.table["v"].to_pylist() == [*expected.values()]
    back: Any = decompress_dataset(ds, "v", profile=rates_path)
    assert back.table["v"].null_count == len(rows) // 10
    with pytest.raises(OptionError, match="contradict"):
        compress_dataset(given, "v", profile=rates_path, max_bytes=14, quality=3)
    with pytest.raises(OptionError, match="registered"):  # at once, not in a worker
        compress_dataset(given, "v", embed_profile=True)


@pytest.mark.slow
def test_a_worker_killed_in_mid_run_loses_and_doubles_nothing(
    cluster: None, source: Path, tmp_path: Path, rates_path: Path,
    expected: dict[int, bytes | None],
) -> None:  # fmt: skip
    """Two workers, one killed by SIGKILL in its work; every id is in the files exactly once."""
    marks, out = tmp_path / "marks", tmp_path / "out"
    marks.mkdir()
    ds: Any = compress_dataset(
        ray.data.read_parquet(str(source)).repartition(FILES), "v", max_bytes=14,
        profile=Mortal(rates_path, marks), concurrency=2, batch_size=ROWS,
        ray_remote_args={"num_cpus": 0.5},
    )  # fmt: skip
    ds.write_parquet(str(out), mode="error")
    dead = [path.name.removeprefix("dead-") for path in marks.glob("dead-*")]
    workers = {path.name.removeprefix("pid-") for path in marks.glob("pid-*")}
    assert len(dead) == 1
    assert len(workers - {*dead}) >= 1
    assert read(out) == expected
    field = pq.read_schema(next(out.glob("*.parquet"))).field("v")
    assert field.metadata[b"clipcodec.profile"] == b"private/rates"
    with pytest.raises(ValueError, match="already exists"):
        ds.write_parquet(str(out), mode="error")


@pytest.mark.slow
def test_a_writer_killed_in_mid_file_leaves_no_half_file(
    cluster: None, source: Path, tmp_path: Path, rates_path: Path,
    expected: dict[int, bytes | None],
) -> None:  # fmt: skip
    """The retried task writes a file of the same name; mode="overwrite" clears an older job's."""
    marks, out = tmp_path / "marks", tmp_path / "out"
    marks.mkdir()
    out.mkdir()
    (out / "of-a-job-that-died.parquet").write_bytes(b"PAR1")
    ds: Any = compress_dataset(ray.data.read_parquet(str(source)), "v", max_bytes=14,
                               profile=rates_path)  # fmt: skip
    files = pa_fs.PyFileSystem(MortalFiles(marks))
    ds.write_parquet(f"file://{out}", mode="overwrite", filesystem=files)
    assert len([*marks.glob("dead-*")]) == 1
    assert read(out) == expected


@pytest.mark.slow
def test_streams_to_vectors(
    cluster: None, rows: np.ndarray, rates_path: Path, source: Path
) -> None:
    """The profile travels with the column, through Ray's store, so nobody else needs its file."""
    codec = Codec(rates_path)
    ds = compress_dataset(ray.data.read_parquet(str(source)), "v", into="clip", keep=True,
                          embed_profile=True, profile=codec)  # fmt: skip
    back = decompress_dataset(ds, "clip", into="back", batch_size=64)
    decoded = codec.decode_batch(codec.encode_embeddings(rows))
    found = back.take_all()
    assert sorted(row["id"] for row in found) == [*range(FILES * ROWS)]
    for row in found:
        assert (row["back"] is None) == (row["v"] is None) == (row["id"] % 10 == 0)
        if row["v"] is not None:
            assert np.allclose(row["back"], decoded[row["id"]], atol=1e-5)


@pytest.mark.slow
def test_images_of_any_size(cluster: None, tmp_path: Path) -> None:
    """As Ray reads them: tensors of many shapes."""
    pytest.importorskip("open_clip")
    spec = tiny_models.make_folder(tmp_path / "model")
    weights = tiny_models.save(tiny_models.make_model(spec), tmp_path / "w.safetensors")
    codec = Codec("any/rotation", backbone=spec.name, weights=weights, device="cpu")
    rng = np.random.default_rng(0)
    expected = {}
    for i in range(6):
        pixels = rng.integers(0, 256, (8 + i // 4, 9, 3), dtype=np.uint8)
        folder = tmp_path / ("same" if i < 4 else "other")
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{i}.png")
        expected[str(folder / f"{i}.png")] = codec.encode(pixels)
    folders = [str(tmp_path / "same"), str(tmp_path / "other")]
    ds = ray.data.read_images(folders, include_paths=True).repartition(1)
    made = compress_dataset(ds, "image", profile=codec, batch_size=256).take_all()
    assert {row["path"]: row["image"] for row in made} == expected


def png(width: int) -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize((width, 256)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def small_model(tmp_path: Path) -> Codec:
    pytest.importorskip("open_clip")
    spec = tiny_models.make_folder(tmp_path / "model")
    weights = tiny_models.save(tiny_models.make_model(spec), tmp_path / "w.safetensors")
    return Codec("any/rotation", backbone=spec.name, weights=weights, device="cpu")


def with_settings(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Pillow with settings of the program and a plugin, and a table that shows each of them."""
    Image.init()
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    for name in ("OPEN", "DECODERS"):
        monkeypatch.setattr(Image, name, dict(getattr(Image, name)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 256 * 256)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    pillow_plugin.register()
    images = [png(256), png(257), png(256)[:300], b"TOY!", b"no image"]
    return pa.table({"n": range(5), "image": pa.array(images, pa.binary())})


@pytest.mark.slow
def test_workers_read_images_as_the_program_does(
    cluster: None, small_model: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lowered limit, which is there for safety; cut files; a format that a plugin reads."""
    table = with_settings(monkeypatch)
    here = encode_table(table, "image", profile=small_model, on_bad_row=print).to_pylist()
    assert [row["image"] is None for row in here] == [False, True, False, False, True]
    ds = compress_dataset(ray.data.from_arrow(table), "image", profile=small_model,
                          on_bad_row=print)  # fmt: skip
    assert sorted(ds.take_all(), key=lambda row: row["n"]) == here


@pytest.mark.slow
def test_a_plugin_that_workers_cannot_have_is_named_if_there_are_images(
    cluster: None, small_model: Codec, rates_path: Path, rows: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    table = with_settings(monkeypatch)
    Image.register_open("LOCAL", lambda *_: None)  # type: ignore[arg-type]
    ds = compress_dataset(ray.data.from_arrow(table), "image", profile=small_model)
    fails(ds, "worker processes cannot use Pillow's format LOCAL")
    vectors = pa.table({"v": pa.array(list(rows[:3]), pa.list_(pa.float32(), D))})
    ds = compress_dataset(ray.data.from_arrow(vectors), "v", profile=rates_path)
    assert [row["v"] for row in ds.take_all()] == Codec(rates_path).encode_embeddings(rows[:3])


@pytest.mark.slow
def test_errors_are_ours_inside_rays(cluster: None, tmp_path: Path, rates_path: Path) -> None:
    """And bad rows can be made null by the workers."""
    vectors = [[1.0] * D, [float("nan")] * D, [1.0] * D]
    ds = ray.data.from_arrow(pa.table({"v": pa.array(vectors)}))
    fails(compress_dataset(ds, "v", profile=rates_path), "column 'v', row 1: NaN")
    with pytest.raises(WeightsError, match="cannot be read"):  # before any worker starts
        compress_dataset(ds, "v", profile=tmp_path / "none.safetensors")
    with pytest.raises(OptionError, match="contradict"):
        compress_dataset(ds, "v", profile=rates_path, max_bytes=14, quality=3)
    made = compress_dataset(ds, "v", profile=rates_path, on_bad_row=print).take_all()
    assert [row["v"] is None for row in made] == [False, True, False]


def test_the_examples_in_the_docstrings_give_what_they_show(
    cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_folder(tmp_path))
    for public in public_names("clipcodec.integrations.ray"):
        assert "".join(run_examples(public)) == ""
