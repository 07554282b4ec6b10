"""Pixels in memory that workers share: results as through a pipe, and nothing left behind."""

from __future__ import annotations

import gc
import io
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clipcodec import Codec
from clipcodec.bulk import decoding, pipeline, shared, workers
from clipcodec.bulk.entries import Entry
from clipcodec.errors import ClipcodecError, WeightsError, WorkerError
from clipcodec.models import Preprocess
from clipcodec.target import Target

linux = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="no memory without a name")
PIXELS = Preprocess((16, 16), "shortest", "bicubic", 0)


def png(seed: int) -> bytes:
    file = io.BytesIO()
    rng = np.random.default_rng(seed)
    Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def pixels(seed: int) -> np.ndarray:
    (found,) = workers.decode([png(seed)], PIXELS)
    assert isinstance(found, np.ndarray)
    return found


class Few(Codec):
    """Embeds an image as some of its pixels."""

    batches: list[np.ndarray]

    def backbone(self) -> Any:
        def embed(batch: np.ndarray) -> np.ndarray:
            self.__dict__.setdefault("batches", []).append(batch)
            rows = batch[:, 0, :, 0].astype(np.float32) + 1
            return rows / np.linalg.norm(rows, axis=1, keepdims=True)

        return SimpleNamespace(preprocess=PIXELS, embed_pixels=embed)


def entries(count: int, bad: int | None = 7) -> Iterator[Entry]:
    """Every one of `bad` is no image."""
    for i in range(count):
        yield Entry(str(i), f"image {i}", b"no image" if bad and i % bad == 5 else png(i))


def results(found: Any) -> list[tuple[str, str]]:
    return [(one.id, str(one.stream)) for group in found for one in group]


def open_memory() -> int:
    """How many rings this process has."""
    folder = Path("/proc/self/fd")
    names = [os.readlink(path) for path in folder.iterdir() if path.is_symlink()]
    return sum("memfd:clipcodec" in name for name in names)


# --- the ring ---


@linux
def test_places_are_given_in_order_and_again_when_they_are_free() -> None:
    ring = shared.ring(4, (2, 3))
    assert ring is not None
    taken = [ring.take(3), ring.take(1), ring.take(1)]
    assert [place and place.first for place in taken] == [0, 3, None]
    ring.free(2)
    place = ring.take(2)
    assert place is not None
    assert (place.first, place.shape) == (4, (4, 2, 3, 3))
    assert ring.take(1) is None
    ring.close()


@linux
def test_a_batch_in_one_piece_is_not_copied_and_any_other_is() -> None:
    ring = shared.ring(4, (16, 16))
    assert ring is not None
    place = ring.take(4)
    contents = [png(i) for i in range(4)]
    assert shared.decode_into(place, contents, PIXELS) == [None] * 4
    whole = ring.stack([0, 1, 2, 3])
    assert np.array_equal(whole, [pixels(i) for i in range(4)])
    assert np.shares_memory(whole, ring.stack([5, 6])), "places 4 and on are the first again"
    gap, around, mixed = ring.stack([0, 2]), ring.stack([3, 4]), ring.stack([1, pixels(9)])
    assert np.array_equal(gap, [pixels(0), pixels(2)])
    assert np.array_equal(around, [pixels(3), pixels(0)])
    assert np.array_equal(mixed, [pixels(1), pixels(9)])
    assert not any(np.shares_memory(whole, other) for other in (gap, around, mixed))
    ring.close()
    assert np.array_equal(whole[0], pixels(0)), "who still looks at it has it"


@linux
def test_errors_and_pixels_of_another_size_take_no_place() -> None:
    ring = shared.ring(3, (16, 16))
    assert ring is not None
    found = shared.decode_into(ring.take(2), [b"no image", png(1)], PIXELS)
    assert isinstance(found[0], ClipcodecError)
    assert found[1] is None
    (other,) = shared.decode_into(ring.take(1), [png(2)], Preprocess((8, 8), "squash", "", 0))
    assert isinstance(other, np.ndarray)
    ring.close()


def test_without_the_memory_pixels_are_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    place = shared.Place("/proc/0/fd/none", (4, 16, 16, 3), 0)
    for where in (None, place):
        (found,) = shared.decode_into(where, [png(3)], PIXELS)
        assert isinstance(found, np.ndarray)
        assert np.array_equal(found, pixels(3))

    def refused(*_: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "memfd_create", refused, raising=False)
    assert shared.ring(4, (16, 16)) is None
    monkeypatch.delattr(os, "memfd_create")
    assert shared.ring(4, (16, 16)) is None


# --- many images ---


def test_results_are_the_same_with_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """With errors in between, more images than places, too few places, and none."""
    monkeypatch.setattr(decoding, "CHUNK", 3)
    expected = results(pipeline.compress(Few("any/rotation"), entries(60), workers=0, batch_size=8))
    assert sum(stream.startswith("b") for _, stream in expected) == 52
    inner, made = shared.ring, list[int]()

    for limit in (1000, 4, 0):

        def limited(count: int, size: Any, limit: int = limit) -> Any:
            made.append(min(count, limit))
            return inner(made[-1], size) if limit else None

        monkeypatch.setattr(decoding, "ring", limited)
        found = pipeline.compress(Few("any/rotation"), entries(60), workers=1, batch_size=8)
        assert results(found) == expected
    assert made[0] < 60, "bounded, however many images there are"
    assert made[1:] == [4, 0]


@linux
def test_batches_of_sound_images_are_not_copied_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "CHUNK", 3)
    codec = Few("any/rotation")
    found = pipeline.compress(codec, entries(64, bad=None), workers=1, batch_size=8)
    assert len(results(found)) == 64
    assert len(codec.batches) == 8
    memory = codec.batches[0].base
    assert memory is not None
    assert all(batch.base is memory for batch in codec.batches)


@linux
def test_a_worker_killed_in_mid_batch_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "GROUP", 8)
    found = pipeline.compress(Few("any/rotation"), entries(4000), workers=2, batch_size=8)
    next(found)
    assert open_memory() > 0
    for child in multiprocessing.active_children():
        child.kill()
        child.join()
    with pytest.raises(WorkerError, match=r"was killed, .* during work on image \d+ or one"):
        list(found)
    assert not multiprocessing.active_children()
    del found
    gc.collect()
    assert open_memory() == 0


# --- the start ---


class Slow(Few):
    """Sees how many workers there are when it is loaded."""

    workers = -1
    error: Exception | None = None

    def backbone(self) -> Any:
        if self.workers < 0:
            self.workers = len(multiprocessing.active_children())
        if self.error is not None:
            raise self.error
        return super().backbone()


@pytest.mark.parametrize(("images", "expected"), [(None, 2), (1000, 2), (3, 1)])
def test_workers_start_before_the_backbone_is_loaded(images: int | None, expected: int) -> None:
    """As many as there is work for."""
    codec, target = Slow("any/rotation"), Target()
    executor = pipeline.started(codec, target, 2, images)
    assert codec.workers == expected
    found = pipeline.compress(codec, entries(3), target, workers=2, executor=executor)
    assert len(results(found)) == 3
    assert not multiprocessing.active_children()


def test_a_backbone_that_cannot_be_loaded_ends_the_workers() -> None:
    codec = Slow("any/rotation")
    codec.error = WeightsError("model.safetensors: no such weights")
    with pytest.raises(WeightsError, match="no such weights"):
        pipeline.started(codec, Target(), 2, None)
    assert codec.workers == 2
    assert not multiprocessing.active_children()


def test_no_workers_are_started_for_none() -> None:
    codec = Slow("any/rotation")
    executor = pipeline.started(codec, Target(), 0, 100)
    assert codec.workers == 0
    found = pipeline.compress(codec, entries(3), workers=0, executor=executor)
    assert len(results(found)) == 3


def test_an_image_file_may_be_a_path(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    expected = results(pipeline.compress(Few("any/rotation"), [Entry("a", "a", png(1))], workers=0))
    entry = Entry("a", "a", str(tmp_path / "a.png"))
    assert results(pipeline.compress(Few("any/rotation"), [entry], workers=1)) == expected
