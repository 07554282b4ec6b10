"""Batches of any size: `encode_rows` and `decode_columns` in bounded memory, shared by threads.

What is read part by part is given as `Parts`: a function that gives the parts anew each time it is
called, because `mean_bytes` needs more than one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import devices, mean
from .columns import Columns
from .embeddings import Embeddings, forget_pages, normalise
from .errors import ClipcodecError, DecodeError, collected, placed, raise_merged
from .profile import Profile
from .profile.statistics import check_statistics
from .rows import decode_columns, encode_rows
from .system.threads import in_threads, products_of_one_thread, share
from .target import Target

Parts = Callable[[], Iterable[Embeddings]]  # rows (n, D) of unit norm, all each time it is called

_ENCODED = 2048  # embeddings that a thread encodes at a time: enough for fast matrix products
_DECODED = 4096  # streams that a thread decodes at a time: each step of numpy serves them all
_THIN = 256
_WIDTH = 768  # for wider embeddings fewer: bounds memory, some 64 bytes per number and thread
_PASSES = 3  # over all embeddings for mean_bytes; more than one only if a sample misleads


# encode


def unit_parts(
    profile: Profile, X: Any, rows: NDArray[Any], device: str | None = None
) -> Callable[[], Iterator[Embeddings]]:
    """What gives all rows with unit norm, in parts of bounded memory, each time it is called.

    The first time it warns of rows that another model seems to have made.

    X     what the caller gave; where it is a memory map, pages that were read are let go
    rows  the same as an array (N, D)
    """
    step = 8 * _at_a_time(rows.shape[1], _ENCODED)  # enough for several threads
    if devices.used(device):
        step = max(step, _at_a_time(rows.shape[1], devices.TOGETHER))
    warned = False

    def parts() -> Iterator[Embeddings]:
        nonlocal warned
        for at in range(0, len(rows), step):
            with placed(at):
                x = normalise(rows[at : at + step])
                warned = warned or check_model(profile, x, ours=False)
            yield x
            forget_pages(X)
        warned = True

    return parts


def check_model(profile: Profile, x: Embeddings, *, ours: bool) -> bool:
    """Warn of embeddings that another model seems to have made; whether it did.

    ours  they were made by the profile's backbone, here
    """
    if profile.statistics is None:
        return False
    return check_statistics(x, profile.statistics, profile.backbone, ours=ours)


def encode_parts(
    profile: Profile, parts: Parts, target: Target, count: int, device: str | None = None
) -> list[bytes]:
    """Streams of all `count` rows, in order.

    With mean_bytes, one quality and weight are found on a sample; all rows are encoded again where
    that was not like the whole. Raises RateError naming the rows at fault.
    """
    if target.mean_bytes is None or not count:
        streams, at = list[bytes](), 0
        for x in parts():
            with placed(at):
                streams += encode_all(profile, x, target, device)
            at += len(x)
        return streams
    found = mean.sample(parts)
    point = _point(profile, found, target, device)
    if found.whole:
        order = np.argsort(found.places).tolist()
        return [point.streams[i] for i in order]
    sought, size = point.target, point.on_curve
    for _ in range(_PASSES):
        streams = encode_parts(profile, parts, sought, count, device)
        off = mean.mean_length(streams) / target.mean_bytes
        if abs(off - 1) <= mean.NEAR / 2:
            break
        size /= off  # the sample was not like the whole
        sought = point.curve.at(size)
    return streams


def resolve_parts(
    profile: Profile, parts: Parts, target: Target, device: str | None = None
) -> Target:
    """The quality and weight that `mean_bytes` becomes; another target, or of no rows, as it is."""
    found = mean.sample(parts) if target.mean_bytes is not None else None
    if found is None or not found.count:
        return target
    return _point(profile, found, target, device).target


def _point(profile: Profile, found: mean.Sample, target: Target, device: str | None) -> mean.Point:
    with placed(found.places):
        encode = partial(encode_each, profile, device=device)
        return mean.resolve(encode, found.rows, target, profile)


def encode_each(
    profile: Profile, rows: Sequence[Embeddings], target: Target, device: str | None = None
) -> list[bytes]:
    """Streams of rows (D,) of unit norm that may differ in width.

    Raises RateError naming the rows at fault.
    """
    widths: dict[int, list[int]] = {}
    for i, row in enumerate(rows):
        widths.setdefault(len(row), []).append(i)
    streams = [b""] * len(rows)
    for chosen in widths.values():
        with placed(chosen):
            made = encode_all(profile, np.stack([rows[i] for i in chosen]), target, device)
        for i, stream in zip(chosen, made, strict=True):
            streams[i] = stream
    return streams


def encode_all(
    profile: Profile, x: Embeddings, target: Target, device: str | None = None
) -> list[bytes]:
    """`encode_rows` of rows that are in memory, some at a time."""
    if devices.used(device, len(x), target):
        made = devices.encoded(devices.chosen(str(device)), profile, x, target)
        if made is not None:
            return made
    step = share(len(x), _at_a_time(x.shape[1], _ENCODED))
    streams, faults = [b""] * len(x), list[ClipcodecError]()

    def work(at: int) -> None:
        with collected(faults, at):
            streams[at : at + step] = encode_rows(profile, x[at : at + step], target)

    with _products(len(x)):
        in_threads(work, range(0, len(x), step))
    raise_merged(faults)
    return streams


# decode


def decode_all(columns: Sequence[Columns], device: str | None = None) -> Embeddings:
    """`decode_columns` of all streams of an input, at least one, some at a time.

    They may differ in all but width. Raises DecodeError naming the rows at fault.
    """
    dim = min(columns, key=lambda group: int(group.rows[0])).dim  # of the first row
    others = {
        row: f"{group.dim} dimensions, the first has {dim}: decode each width apart"
        for group in columns
        if group.dim != dim
        for row in group.rows.tolist()
    }
    if others:
        raise DecodeError.of_rows(others)
    out = np.empty((sum(len(group.rows) for group in columns), dim), np.float32)
    faults: list[ClipcodecError] = []

    def work(part: Columns) -> None:
        with collected(faults, part.rows):
            out[part.rows] = decode_columns(part)

    def on_device(group: Columns) -> bool:
        if not devices.used(device, len(group.rows)):
            return False
        with collected(faults, group.rows):
            found = devices.decoded(devices.chosen(str(device)), group)
            if found is None:
                return False
            out[group.rows] = found
        return True

    parts: list[Columns] = []
    for group in columns:
        if on_device(group):
            continue
        count = len(group.rows)
        step = share(count, _at_a_time(max(group.count, dim), _DECODED))
        parts += [group.part(slice(at, at + step)) for at in range(0, count, step)]
    with _products(len(out)):
        in_threads(work, parts)
    raise_merged(faults)
    return out


def _products(count: int) -> AbstractContextManager[None]:
    """Products of so few rows take one thread: BLAS's own would mostly wait for one another."""
    return products_of_one_thread() if count <= _THIN else nullcontext()


def _at_a_time(width: int, most: int) -> int:
    """How many embeddings, or rows of symbols, of this width are processed at a time."""
    return max(1, min(most, most * _WIDTH // max(width, 1)))
