"""What is measured of pixel codecs and of streams on the same images."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Embeddings
from ..errors import ClipcodecError, ImageError, RateError, WeightsUnavailableError
from ..images import load_rgb
from ..models import BATCH, Backbone, Templates, TextTower, sha256
from ..system.threads import in_threads
from .bench import Bench
from .codecs import Coded, MeasuredCodec, Training
from .evaluate import MEASURED_BY
from .image_sets import ImageSet
from .pixel_codecs import MODULES, PixelCodec
from .results import Point, Results, code_digest
from .sets import EmbeddingSet

if TYPE_CHECKING:
    from PIL import Image

    from ..models.device import Device, Weights

STREAM_BYTES = (25, 50, 100)
FILES, STREAM = "files", "stream"  # keys of points: the source files, streams of a given size
RATES_BY = ("evaluation/pixel_bench.py", "images.py")  # what decides rates and PSNR, with MODULES


@dataclass(frozen=True)
class Pictures:
    """Images that can be read, and what is known of them.

    images  the set, without those that cannot be read
    pixels  (N,) of each
    bytes   (N,) of each file
    digest  SHA-256 of all files, and of the weights of the model
    bench   with a model: the embeddings of the images, and what is measured on them
    embed   with a model: images to embeddings
    failed  what is wrong with each image left out
    """

    images: ImageSet
    pixels: NDArray[np.int64]
    bytes: NDArray[np.int64]
    digest: str
    failed: tuple[str, ...] = ()
    bench: Bench | None = None
    embed: Callable[[Sequence[Image.Image]], Embeddings] | None = None


def pictures_of(
    source: ImageSet,
    *,
    backbone: str | None = None,
    templates: Templates = None,
    device: Device = None,
    weights: Weights = None,
    quiet: bool = False,
) -> Pictures:
    """Read all images once; with a backbone embed them and the class names.

    Of a set with classes held out of training, only these are measured. Raises ImageError if no
    image can be read, and what `Backbone.load` and `TextTower.load` raise.
    """
    source = source.only_held_out()
    tower = None if backbone is None else Backbone.load(backbone, device=device, weights=weights)
    digest = hashlib.sha256(b"" if tower is None else sha256(tower.path).encode())
    kept, pixels, sizes, failed, rows = [], [], [], [], []
    for images, batch in _batches(source, "reading", quiet):
        ready = []
        for item, image in zip(images, batch, strict=True):
            if isinstance(image, ImageError):
                failed.append(str(image))
                continue
            ready.append(image)
            data = item.path.read_bytes()
            digest.update(hashlib.sha256(data).digest())
            digest.update(str(item.label).encode())
            kept.append(item)
            pixels.append(image.width * image.height)
            sizes.append(len(data))
        if tower is not None and ready:
            rows.append(tower.embed(ready))
    if not kept:
        first = f"; {failed[0]}" if failed else ""
        raise ImageError(f"none of the {len(source.images)} images can be read{first}")
    readable = ImageSet(source.name, tuple(kept), source.classes, source.templates)
    counts = np.array(pixels, np.int64)
    found = Pictures(readable, counts, np.array(sizes, np.int64), digest.hexdigest(), tuple(failed))
    if tower is None or backbone is None:
        return found
    forms = source.templates if templates is None else templates
    labels = texts = None
    if source.classes:
        labels = np.array([item.label for item in kept], np.int64)
        text_tower = TextTower.load(backbone, device=device, weights=weights)
        texts = text_tower.embed(source.classes, forms)
        digest.update(texts.tobytes())
    data_set = EmbeddingSet(
        source.name, np.concatenate(rows), digest.hexdigest(), labels=labels, texts=texts,
        pixels=counts,
    )  # fmt: skip
    return Pictures(readable, counts, found.bytes, digest.hexdigest(), tuple(failed),
                    Bench([data_set]), tower.embed)  # fmt: skip


def measure_pixels(
    pictures: Pictures,
    codecs: Sequence[PixelCodec],
    results: Results,
    *,
    streams: Sequence[MeasuredCodec] = (),
    quiet: bool = False,
) -> list[str]:
    """Measure pixel codecs and streams on the same images, point by point, into a result file.

    streams  codecs of embeddings; they need pictures with a model. Without one there are points
             for streams of `STREAM_BYTES`, which say what that is in bits per pixel

    Returns what could not be measured, one line each.
    """
    failed = []
    points: list[tuple[str, tuple[str, ...], str, Callable[[], Point]]] = [
        (FILES, (), "", partial(_files, pictures))
    ]
    for codec in codecs:
        measure = partial(_coded, pictures, codec, quiet)
        points.append((codec.spec, MODULES, codec.weights, measure))
    for stream in streams:
        coded = partial(_stream, pictures, stream)
        points.append((stream.spec, stream.modules, stream.weights, coded))
    if pictures.bench is None:
        for size in STREAM_BYTES:
            points.append((f"{STREAM}@{size}", (), "", partial(_of_size, pictures, size)))
    measured_by = RATES_BY if pictures.bench is None else (*RATES_BY, *MEASURED_BY)
    for key, modules, weights, make in points:
        own = {
            "modules": list(modules or measured_by),
            "weights": weights,
            "code": code_digest(modules or measured_by, weights),
            "measured": code_digest(measured_by),
            "data": pictures.digest,
        }
        old = results.points.get(key, {})
        if any(old.get(name) != value for name, value in own.items()):
            try:
                results.add({"key": key, **own, **make()})
            except (RateError, ImageError, ImportError, WeightsUnavailableError) as error:
                failed.append(f"{key}: {error}")
            except ClipcodecError as error:
                raise type(error)(f"{key}: {error}") from error
    results.keep_only([key for key, *_ in points])
    return failed


def _batches(
    source: ImageSet, what: str, quiet: bool
) -> Iterator[tuple[Sequence[Any], list[Image.Image | ImageError]]]:
    """The images of a set, some at a time, each with what it is or why it cannot be read."""
    from tqdm import tqdm

    def load(item: Any) -> Image.Image | ImageError:
        try:
            return load_rgb(item.path)
        except ImageError as error:
            return error

    total = len(source.images)
    with tqdm(total=total, disable=True if quiet else None, unit="image", leave=False) as bar:
        bar.set_description(what)
        for at in range(0, total, BATCH):
            part = source.images[at : at + BATCH]
            yield part, in_threads(load, part)
            bar.update(len(part))


def _coded(pictures: Pictures, codec: PixelCodec, quiet: bool) -> Point:
    """Every image through a pixel codec, and the decoded one through the model."""
    sizes: list[int] = []
    quality: list[float] = []
    rows = []
    for _, batch in _batches(pictures.images, codec.spec, quiet):
        images = []
        for image in batch:
            if isinstance(image, ImageError):  # it could be read before
                raise image
            images.append(image)
        coded = in_threads(codec.code, images) if codec.threads else list(map(codec.code, images))
        sizes += [size for size, _ in coded]
        decoded = [result for _, result in coded]
        quality += map(psnr, images, decoded)
        if pictures.embed is not None:
            rows.append(pictures.embed(decoded))
    mean = float(np.mean(quality))
    return {
        "series": codec.series, "setting": codec.setting,
        **_measured(pictures, np.array(sizes), np.concatenate(rows) if rows else None),
        "psnr": round(mean, 3) if math.isfinite(mean) else None,
    }  # fmt: skip


def _stream(pictures: Pictures, stream: MeasuredCodec) -> Point:
    """The embeddings of the images through a codec of embeddings."""
    assert pictures.bench is not None
    coded = stream.code(pictures.bench.rows, Training(None))
    return {
        "series": stream.series, "setting": stream.setting,
        **_measured(pictures, coded.bytes, coded.rows),
    }  # fmt: skip


def _files(pictures: Pictures) -> Point:
    """The source files as they are: what no codec can be better than, and what it compresses."""
    rows = None if pictures.bench is None else pictures.bench.rows
    return {
        "series": "files as they are", "setting": "", **_measured(pictures, pictures.bytes, rows)
    }  # fmt: skip


def _of_size(pictures: Pictures, size: int) -> Point:
    sizes = np.full(len(pictures.pixels), size)
    return {
        "series": "clipcodec stream", "setting": f"{size} bytes", **_measured(pictures, sizes, None)
    }  # fmt: skip


def _measured(pictures: Pictures, sizes: NDArray[Any], rows: Embeddings | None) -> dict[str, Any]:
    """Rates, and measures of decoded rows."""
    found: dict[str, Any] = {"bytes": round(float(sizes.mean()), 3), "most": int(sizes.max())}
    if pictures.bench is not None and rows is not None:
        found = pictures.bench.measure(Coded(rows, sizes.astype(np.float64)))
        del found["bpd"]  # it would be of the embedding, which a pixel codec does not code
    found["bpp"] = float(8 * sizes.sum() / pictures.pixels.sum())
    found["images"] = len(pictures.pixels)
    return found


def psnr(original: Image.Image, decoded: Image.Image) -> float:
    """Peak signal-to-noise ratio over the RGB values, in dB; infinite if they are the same.

    An image of another size is scaled to that of the original first.
    """
    from PIL import Image

    if decoded.size != original.size:
        decoded = decoded.resize(original.size, Image.Resampling.BICUBIC)
    a, b = (np.asarray(image, np.float32) for image in (original, decoded))
    error = float(((a - b) ** 2).mean(dtype=np.float64))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)
