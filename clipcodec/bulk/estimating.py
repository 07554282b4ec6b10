"""About how many bytes a job will take, by a few of its rows, before it runs."""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import Any

import numpy as np

from ..codec import Codec
from ..errors import InputError, each_row
from ..profile.samples import draw
from ..target import Target

_SAMPLES = 64  # embeddings that are encoded


class Sample:
    """Some of the rows that are added, evenly chosen. count: how many were added."""

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self.count = 0
        self._step = 1

    def add(self, row: Any) -> None:
        if self.count % self._step == 0:
            self.kept.append(row)
        self.count += 1
        if len(self.kept) > 2 * _SAMPLES:
            self.kept, self._step = self.kept[::2], 2 * self._step


def estimate(
    codec: Codec, target: Target, images: int, rows: Sample, bytes_per_item: float | None
) -> int | None:
    """About how many bytes the streams of so many images and of these rows take; None: unknown.

    bytes_per_item  in the container that is resumed, if there is one
    """
    if target.mean_bytes is not None:
        return round(target.mean_bytes * (images + rows.count))
    total = 0.0
    if rows.count:
        size = _mean_size(codec, target, rows.kept)
        if size is None:
            return None
        total += size * rows.count
    if images:
        size = bytes_per_item or _image_size(codec, target)
        if size is None:
            return None
        total += size * images
    return round(total)


def _image_size(codec: Codec, target: Target) -> float | None:
    """Bytes of an image's stream, measured on samples that the profile draws."""
    if codec.profile.statistics is None:
        return target.max_bytes
    return _mean_size(codec, target, list(draw(codec.profile, _SAMPLES)))


def _mean_size(codec: Codec, target: Target, embeddings: list[Any]) -> float | None:
    """Mean bytes of their streams; None if none can be encoded."""

    def work(chosen: list[int]) -> list[bytes]:
        return codec.encode_embeddings([embeddings[i] for i in chosen], target)

    with suppress(InputError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the run will say it
        streams = each_row(work, len(embeddings), InputError)
        sizes = [len(stream) for stream in streams if isinstance(stream, bytes)]
        return float(np.mean(sizes)) if sizes else None
    return None
