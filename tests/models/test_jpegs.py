"""JPEGs decoded and resized by torch: which are taken, and how near the pixels and embeddings are.

torch's CPU stands for a GPU: the same code, another decoder of JPEGs.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clipcodec.errors import OptionError
from clipcodec.images import load_rgb
from clipcodec.models import Backbone, Preprocess, jpegs, shorten
from clipcodec.models.jpegs import DeviceJpegs, Jpeg, plain
from tests.helpers import tiny_models

pytest.importorskip("torchvision")
PIXELS = Preprocess((32, 32), "shortest", "bicubic", 0)


def picture(width: int = 160, height: int = 120, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def saved(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def taken(*files: bytes, preprocess: Preprocess = PIXELS) -> list[Jpeg]:
    found = [plain(file, preprocess) for file in files]
    return [file for file in found if file is not None]


def exact(file: bytes, preprocess: Preprocess = PIXELS) -> np.ndarray:
    return preprocess(shorten(load_rgb(file)))


# --- which ---


@pytest.mark.parametrize("options", [
    {}, {"subsampling": 0}, {"subsampling": 1}, {"progressive": True}, {"quality": 30},
    {"icc_profile": b"any profile"},
])  # fmt: skip
def test_usual_files_are_taken(options: dict[str, Any]) -> None:
    file = saved(picture(), **options)
    assert plain(file, PIXELS) == Jpeg(file, 160 * 120)


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(picture(), exif=exif)


@pytest.mark.parametrize("file", [
    pytest.param(saved(picture().convert("L")), id="grey"),
    pytest.param(saved(picture().convert("CMYK")), id="CMYK"),
    pytest.param(saved(picture(), keep_rgb=True), id="RGB in the file"),
    pytest.param(turned(), id="EXIF orientation"),
    pytest.param(saved(picture(), "PNG"), id="PNG"),
    pytest.param(saved(picture())[:-2], id="cut"),
    pytest.param(b"\xff\xd8\xff\xd9", id="no picture"),
    pytest.param(b"", id="empty"),
    pytest.param(saved(picture(33 * 40, 40)), id="very long"),
    pytest.param(saved(picture(60, 40), "MPO", save_all=True, append_images=[picture(60, 40)]),
                 id="several pictures"),
])  # fmt: skip
def test_odd_files_are_left_to_the_exact_path(file: bytes) -> None:
    assert plain(file, PIXELS) is None


def test_a_margin_is_left_to_the_exact_path() -> None:
    file = saved(picture(160, 120))
    assert plain(file, Preprocess((32, 32), "longest", "bicubic", 0)) is None


def test_limits_and_formats_of_the_program_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    file = saved(picture(160, 120))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 160 * 120 - 1)
    assert plain(file, PIXELS) is None
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert plain(file, PIXELS) is not None
    monkeypatch.setattr(jpegs, "MOST_PIXELS", 160 * 120 - 1)
    assert plain(file, PIXELS) is None
    monkeypatch.undo()
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "JPEG"])
    assert plain(file, PIXELS) is None


# --- how near ---


@pytest.mark.parametrize("preprocess", [
    PIXELS, Preprocess((32, 32), "squash", "bilinear", 0),
    Preprocess((200, 200), "shortest", "bicubic", 0),
    Preprocess((24, 40), "shortest", "bicubic", 0),
])  # fmt: skip
def test_pixels_are_those_of_pillow_but_for_rounding(preprocess: Preprocess) -> None:
    """In the order of the files, whatever their sizes; also where an image is made larger."""
    sizes = [(160, 120), (120, 160), (160, 120), (77, 301)]
    files = [saved(picture(*size, seed=i), quality=95) for i, size in enumerate(sizes)]
    found = DeviceJpegs(preprocess, "cpu").pixels(taken(*files, preprocess=preprocess))
    assert len(found) == 4
    for image, file in zip(found, files, strict=True):
        assert image is not None
        assert str(image.dtype) == "torch.uint8"
        difference = np.abs(image.numpy().astype(int) - exact(file, preprocess))
        assert difference.max() <= 3
        assert difference.mean() < 0.5


def test_large_images_are_resized_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    files = taken(*(saved(picture(seed=i)) for i in range(5)))
    decoder = DeviceJpegs(PIXELS, "cpu")
    together = decoder.pixels(files)
    sizes: list[int] = []
    inner = DeviceJpegs._part

    def part(self: DeviceJpegs, chosen: Any) -> Any:
        sizes.append(len(chosen))
        return inner(self, chosen)

    monkeypatch.setattr(DeviceJpegs, "_part", part)
    monkeypatch.setattr(jpegs, "MOST_PIXELS", 2 * 160 * 120)
    apart = decoder.pixels(files)
    assert sizes == [2, 2, 1]
    for one, other in zip(together, apart, strict=True):
        assert one is not None
        assert other is not None
        assert one.equal(other)


def test_embeddings_are_nearly_those_of_the_exact_path(tmp_path: Path) -> None:
    spec = tiny_models.make_folder(tmp_path / "model")
    weights = tiny_models.save(tiny_models.make_model(spec), tmp_path / "model.safetensors")
    backbone = Backbone.load(spec, device="cpu", weights=weights)
    files = [saved(picture(seed=i)) for i in range(8)]
    found = DeviceJpegs(backbone.preprocess, "cpu").pixels(taken(*files))
    torch = pytest.importorskip("torch")
    near = backbone.embed_pixels(torch.stack([image for image in found if image is not None]))
    there = backbone.embed_pixels(np.stack([exact(file, backbone.preprocess) for file in files]))
    assert near.shape == there.shape
    cosines = (near * there).sum(axis=1)
    assert 0.999 < cosines.min() < 1 - 1e-7, "near, and another arithmetic"


# --- what fails ---


def test_a_file_that_fails_does_not_stop_the_others() -> None:
    good = saved(picture())
    middle = len(good) // 2
    damaged = good[:300] + b"\xff\xd9"  # its tables are missing
    decoder = DeviceJpegs(PIXELS, "cpu")
    found = decoder.pixels([Jpeg(good, 9), Jpeg(damaged, 9), Jpeg(good[middle:], 9), Jpeg(good, 9)])
    assert [image is None for image in found] == [False, True, True, False]


def test_a_device_that_cannot_decode_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision.io

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("decode_jpeg: torchvision not compiled with nvJPEG support\nmore")

    monkeypatch.setattr(torchvision.io, "decode_jpeg", fails)
    with pytest.raises(OptionError, match=r"'cpu' \(.*nvJPEG support\): leave it out"):
        DeviceJpegs(PIXELS, "cpu")
    monkeypatch.delattr(torchvision.io, "decode_jpeg")
    with pytest.raises(OptionError, match="does not decode JPEGs"):
        DeviceJpegs(PIXELS, "cpu")
