"""`clipcodec demo`: what every profile costs and keeps, on samples drawn here and on an image."""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import textwrap
import time
from pathlib import Path

import numpy as np

from ..codec import Codec
from ..embeddings import Embeddings
from ..errors import MissingDependencyError, WeightsUnavailableError
from ..profile.registry import DEFAULT, UNTRAINED, ProfileInfo, by_name, registered
from ..profile.samples import draw
from ..system.optional import missing_named
from .common import words
from .suffixes import STREAM_SUFFIX
from .terminal import tell

_BUDGETS = (25, 50, 100)  # of profiles of all rates
_UNTRAINED_BUDGETS = (50, 100, 250)  # what is not trained needs more
_WIDTH = 80
_HEAD = (
    f"{'':26}  {'bytes':^12}  {'cosine':^14}  {'real':>6}  {'ms each':>9}",
    f"{'profile':26}  {'limit':>5} {'mean':>6}  {'mean':>6}  {'lowest':>6}  {'images':>6}"
    f"  {'write':>6} {'read':>5}",
)


def run(args: argparse.Namespace) -> int:
    samples = draw(by_name(DEFAULT), args.count)
    _paragraph(
        f"{args.count} sample embeddings, made at random by the statistics in profile {DEFAULT}. "
        "For this profile they are about as hard to compress as those of real images, for "
        "the others harder. Each profile writes them to files and reads them back."
    )
    tell()
    _table(samples)
    tell()
    _paragraph(
        "bytes: of one stream; a profile without a limit has one rate. cosine: between what was "
        "read and the sample; 1 is the same direction. real images: the mean cosine of embeddings "
        "of images that no profile was trained on, as measured for the documentation. As float32 "
        f"numbers each embedding takes {4 * samples.shape[1]:,} bytes."
    )
    tell()
    _image(args)
    tell()
    tell("To go on:")
    for command, purpose in (
        ("clipcodec compress embeddings.npy --max-bytes 50", "embeddings that you have"),
        ("clipcodec compress photo.jpg --max-bytes 50", "an image; needs CLIP's weights"),
        ("clipcodec --help", "all that there is"),
    ):
        tell(f"  {command:<50} # {purpose}")
    return 0


def _paragraph(text: str) -> None:
    for line in textwrap.wrap(text, _WIDTH, break_on_hyphens=False):
        tell(line)


def _table(embeddings: Embeddings) -> None:
    """One line per profile and size: compressed to files, read back, compared."""
    real = _real()
    for line in _HEAD:
        tell(line)
    rows = [row for row in registered() if row.dim in (None, embeddings.shape[1])]
    for row in sorted(rows, key=lambda row: row.name != DEFAULT):
        for budget in _budgets(row):
            _line(row.name, budget, embeddings, real)


def _budgets(row: ProfileInfo) -> tuple[int | None, ...]:
    if row.bits is not None:
        return (None,)
    return _UNTRAINED_BUDGETS if row.name == UNTRAINED else _BUDGETS


def _real() -> dict[str, float]:
    """Mean cosine of real embeddings, by profile and size: written by docs/render.py."""
    kept = json.loads(Path(__file__).with_name("measured.json").read_text("utf-8"))
    cosines: dict[str, float] = kept["cosine"]
    return cosines


def _line(profile: str, budget: int | None, embeddings: Embeddings, real: dict[str, float]) -> None:
    codec = Codec(profile)
    # loading is not what is timed
    codec.decode(codec.encode_embedding(embeddings[0], max_bytes=budget))
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
    known = real.get(profile if budget is None else f"{profile}@max_bytes={budget}")
    tell(f"{profile:26}  {budget or '':>5} {size:>6.1f}  {cosines.mean():>6.4f}"
         f"  {cosines.min():>6.4f}  {'' if known is None else f'{known:.4f}':>6}"
         f"  {write:>6.2f} {read:>5.2f}")  # fmt: skip


def _image(args: argparse.Namespace) -> None:
    """The same for one image, if CLIP's weights are at hand or can be fetched."""
    name = args.image or "a picture drawn here"
    try:
        image: str | bytes = args.image or _drawing()
        embedding = Codec(device=args.device, weights=args.weights).embed_images([image])
    except (WeightsUnavailableError, MissingDependencyError) as error:
        if args.image is not None and isinstance(error, MissingDependencyError):
            raise  # it was asked for
        _paragraph(f"No image was compressed: {words(error)}")
        return
    tell(f"The embedding of {name}:")
    _table(embedding)


@missing_named()
def _drawing() -> bytes:
    """A small PNG: a yellow sun over a green hill."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (320, 240), (120, 180, 235))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((210, 30, 270, 90), fill=(250, 220, 80))
    pen.ellipse((-80, 140, 400, 420), fill=(70, 140, 60))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
