"""`clipcodec demo`: what every profile costs and keeps, on samples drawn here and on an image."""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from pathlib import Path

import numpy as np

from ..codec import Codec
from ..embeddings import Embeddings
from ..errors import MissingDependencyError, WeightsUnavailableError
from ..profile.registry import DEFAULT, registered
from ..system.optional import missing_named
from .suffixes import STREAM_SUFFIX
from .terminal import tell

_BUDGETS = (25, 50, 100)  # for profiles of all rates
_HEAD = (
    f"{'profile':<44} {'bytes':>6} {'bpd':>6} {'cosine':>7} {'lowest':>7} {'write':>8} {'read':>8}"
)


def run(args: argparse.Namespace) -> int:
    statistics = Codec(DEFAULT).profile.statistics
    assert statistics is not None  # the default profile is a trained one
    samples = statistics.draw(args.count, seed=0)
    tell(f"{args.count} sample embeddings, drawn from the statistics of profile {DEFAULT}.")
    tell("Samples of a Gaussian are harder to compress than real embeddings: see docs/profiles.md.")
    _table(samples)
    tell()
    return _image(args)


def _table(embeddings: Embeddings) -> None:
    """One line per profile and size: compressed to files, read back, compared."""
    tell(_HEAD)
    for row in registered():
        if row.dim in (None, embeddings.shape[1]):
            for budget in _BUDGETS if row.bits is None else (None,):
                _line(row.name, budget, embeddings)


def _line(profile: str, budget: int | None, embeddings: Embeddings) -> None:
    codec = Codec(profile)
    codec.decode(codec.encode_embedding(embeddings[0]))  # loading is not what is timed
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        streams = codec.encode_embeddings(embeddings, max_bytes=budget)
        for i, stream in enumerate(streams):
            (Path(folder) / f"{i:06}{STREAM_SUFFIX}").write_bytes(stream)
        middle = time.perf_counter()
        files = sorted(Path(folder).iterdir())
        decoded = codec.decode_batch(path.read_bytes() for path in files)
        end = time.perf_counter()
    cosines = (decoded * embeddings).sum(axis=1)
    size = np.mean([len(stream) for stream in streams])
    write, read = (1e3 * t / len(streams) for t in (middle - began, end - middle))
    name = profile if budget is None else f"{profile}, at most {budget} bytes"
    tell(f"{name:<44} {size:>6.1f} {8 * size / embeddings.shape[1]:>6.3f} {cosines.mean():>7.4f} "
          f"{cosines.min():>7.4f} {write:>5.2f} ms {read:>5.2f} ms")  # fmt: skip


def _image(args: argparse.Namespace) -> int:
    """The same for one image, if CLIP's weights are at hand or can be fetched."""
    name = args.image or "a picture drawn here"
    try:
        image: str | bytes = args.image or _drawing()
        embedding = Codec(device=args.device, weights=args.weights).embed_images([image])
    except (WeightsUnavailableError, MissingDependencyError) as error:
        if args.image is not None and isinstance(error, MissingDependencyError):
            raise  # it was asked for
        tell(f"No image was compressed: {error}")
        return 0
    tell(f"The embedding of {name}:")
    _table(embedding)
    return 0


@missing_named()
def _drawing() -> bytes:
    """A small PNG: a yellow sun over a green hill."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (320, 240), (120, 180, 235))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((210, 30, 270, 90), fill=(250, 220, 80))
    draw.ellipse((-80, 140, 400, 420), fill=(70, 140, 60))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
