"""What a program has set up in its process holds in its workers: images do not depend on them."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile, PngImagePlugin

from clipcodec import Codec
from clipcodec.bulk import entries, pipeline, workers
from clipcodec.bulk.program import captured
from clipcodec.errors import ClipcodecError, WorkerError
from clipcodec.target import Target
from tests.helpers import pillow_plugin

GREY = Image.linear_gradient("L")


def save(kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    GREY.save(file, kind, **options)
    return file.getvalue()


PIXELS: Any = np.asarray  # in place of the backbone's preprocessing
JPEG = save("JPEG")
TEXT = PngImagePlugin.PngInfo()
TEXT.add_text("note", "x" * 5000, zip=True)


@pytest.fixture(scope="module")
def worker() -> Iterator[Executor]:
    """One worker for all tests here: each takes over another set-up, and then the usual one."""
    executor = workers.pool(1, workers.Task(Codec("any/rotation").profile, Target()))
    yield executor
    executor.shutdown()


@pytest.fixture(autouse=True)
def pillow_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    Image.init()
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    for name in ("OPEN", "DECODERS"):
        monkeypatch.setattr(Image, name, dict(getattr(Image, name)))


def told(found: Any) -> str:
    if isinstance(found, ClipcodecError):
        return f"{type(found).__name__}: {found.reason}"
    return f"{found.shape}, mean {round(found.mean())}"


def check(executor: Executor, image: bytes | str, expected: str) -> None:
    """Here and in the worker the same comes out: what is expected."""
    (here,) = workers.decode([image], PIXELS)
    future = executor.submit(workers.decode, [image], PIXELS, captured())
    (there,) = future.result(timeout=60)
    assert expected in told(here)
    assert told(there) == told(here)


def set_to(module: ModuleType, name: str, value: Any) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda monkeypatch: monkeypatch.setattr(module, name, value)


def without_gif(monkeypatch: pytest.MonkeyPatch) -> None:
    Image.ID.remove("GIF")


def with_toy(monkeypatch: pytest.MonkeyPatch) -> None:
    pillow_plugin.register()


def with_toy_of_another_level(monkeypatch: pytest.MonkeyPatch) -> None:
    pillow_plugin.register()
    monkeypatch.setattr(pillow_plugin, "LEVEL", 20)


def with_toy_instead_of_jpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    pillow_plugin.register()
    Image.OPEN["JPEG"] = (pillow_plugin.ToyFile, None)


WHOLE = "(256, 256, 3), mean 128"


@pytest.mark.parametrize(
    ("image", "usual", "change", "changed"),
    [
        (JPEG, WHOLE, set_to(Image, "MAX_IMAGE_PIXELS", 5000), "above the limit of 5000 pixels"),
        (JPEG, WHOLE, set_to(Image, "MAX_IMAGE_PIXELS", np.int64(9)), "above the limit of 9 pix"),
        (JPEG[: len(JPEG) // 2], "truncated", set_to(ImageFile, "LOAD_TRUNCATED_IMAGES", True),
         "(256, 256, 3)"),
        (save("PNG", pnginfo=TEXT), WHOLE, set_to(PngImagePlugin, "MAX_TEXT_CHUNK", 100),
         "too large"),
        (save("GIF"), WHOLE, without_gif, "not an image file of a known format"),
        (b"TOY!", "not an image file", with_toy, "(1, 1, 3), mean 10"),
        (b"TOY!", "not an image file", with_toy_of_another_level, "(1, 1, 3), mean 20"),
        (JPEG, WHOLE, with_toy_instead_of_jpeg, "(1, 1, 3), mean 10"),
    ],
)  # fmt: skip
def test_a_change_of_pillow_holds_in_a_worker_and_ends_there_too(
    image: bytes, usual: str, change: Callable[[pytest.MonkeyPatch], None], changed: str,
    worker: Executor, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    check(worker, image, usual)
    with monkeypatch.context() as patched:
        for name in ("OPEN", "DECODERS"):
            patched.setattr(Image, name, dict(getattr(Image, name)))
        patched.setattr(Image, "ID", list(Image.ID))
        change(patched)
        check(worker, image, changed)
    check(worker, image, usual)


def test_the_limit_of_a_files_size_holds_too(
    worker: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jpg").write_bytes(JPEG)
    monkeypatch.setattr(entries, "LARGEST", 99)
    check(worker, str(tmp_path / "a.jpg"), "above the limit of 99 for an image file")


def test_a_plugin_that_only_this_process_has_is_refused(
    worker: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    remedy = "define it at the top of a module that can be imported, or give workers=0"
    Image.register_open("LOCAL", lambda *_: None)  # type: ignore[arg-type]
    with pytest.raises(WorkerError, match=f"format LOCAL, which this program .*{remedy}"):
        captured()
    Image.ID.remove("LOCAL")

    hidden: Any = ModuleType("hidden_plugin")
    monkeypatch.setitem(sys.modules, "hidden_plugin", hidden)
    hidden.Decoder = type("Decoder", (), {"__module__": "hidden_plugin"})
    Image.register_decoder("hidden", hidden.Decoder)
    future = worker.submit(workers.decode, [JPEG], PIXELS, captured())
    with pytest.raises(WorkerError, match=f"decoder hidden, .*No module named .*{remedy}"):
        future.result(timeout=60)


class FewPixels(Codec):
    """Embeds an image as 16 of its pixels."""

    def backbone(self) -> Any:
        def embed(batch: np.ndarray) -> np.ndarray:
            rows = batch[:, ::17, 0, 0].astype(np.float32) + 1
            return rows / np.linalg.norm(rows, axis=1, keepdims=True)

        return SimpleNamespace(preprocess=np.asarray, embed_pixels=embed)


def test_a_run_has_the_same_items_with_any_number_of_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With what is set when its first image is read."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    found = []
    for count in (0, 1, 2):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)

        def images() -> Iterator[entries.Entry]:
            Image.MAX_IMAGE_PIXELS = 70_000
            large = save_large()
            for i in range(20):
                content = (JPEG, JPEG[: len(JPEG) // 2], large)[i % 3]
                yield entries.Entry(str(i), f"image {i}", content)

        groups = list(pipeline.compress(FewPixels("any/rotation"), images(), workers=count))
        found.append([(r.id, str(r.stream)) for group in groups for r in group])
    assert found[0] == found[1] == found[2]
    kinds = ["b'" if stream.startswith("b'") else "error" for _, stream in found[0]]
    assert kinds == [("b'", "b'", "error")[i % 3] for i in range(20)]


def save_large() -> bytes:
    file = io.BytesIO()
    Image.new("L", (300, 300)).save(file, "PNG")
    return file.getvalue()
