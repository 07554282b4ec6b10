"""What worker processes do: decode images, and encode embeddings. Imports nothing heavy by itself.

A worker uses one thread, ignores Ctrl-C, which is for the main process, and ends with that.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

from ..errors import ClipcodecError, ImageError, InputError, brief, each_row
from .program import adopt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..models import Preprocess
    from ..profile.file import Profile
    from ..target import Target

P = ParamSpec("P")
T = TypeVar("T")

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Task(NamedTuple):
    """How embeddings become streams."""

    profile: Profile
    target: Target


_task: Task | None = None  # set once in every worker


def pool(workers: int, task: Task) -> Executor:
    """Worker processes, started; for 0 an executor that does the work in this process."""
    if not workers:
        return _Here()
    made = ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=_begin, initargs=(pickle.dumps(task),)
    )
    with _interrupts_blocked():
        made.submit(int)  # starts them
    return made


class _Here(Executor):
    """Does its work at once, in this process."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class _interrupts_blocked:
    """Processes started meanwhile ignore Ctrl-C from their first moment, before `_begin`."""

    def __enter__(self) -> None:
        if hasattr(signal, "pthread_sigmask"):
            self._before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    def __exit__(self, *_: object) -> None:
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_SETMASK, self._before)


def _begin(task: bytes) -> None:
    """The first thing that runs in a worker."""
    global _task
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))  # read when numpy is imported, below
    _task = pickle.loads(task)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def decode(
    contents: Sequence[str | bytes], preprocess: Preprocess, setup: bytes | None = None
) -> list[NDArray[np.uint8] | ClipcodecError]:
    """Image files to pixels for the backbone, or for each the error about it.

    setup  what the program has set up in its process (`program.captured`); None: this is it
    """
    if setup is not None:
        adopt(setup)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about odd metadata
        return [_decode(content, preprocess) for content in contents]


def _decode(content: str | bytes, preprocess: Preprocess) -> NDArray[np.uint8] | ClipcodecError:
    from ..images import load_rgb
    from ..models import shorten
    from .entries import size_fault

    try:
        if isinstance(content, str) and os.path.isfile(content):
            too_large = size_fault(os.path.getsize(content))
            if too_large is not None:
                return too_large
        return preprocess(shorten(load_rgb(content)))
    except ClipcodecError as error:
        return type(error)(str(error))  # without its traceback, which keeps the image alive
    except Exception as error:  # most likely too little memory
        return ImageError(f"cannot be resized ({type(error).__name__}: {brief(error)})")


class Encoded(NamedTuple):
    """For each row its stream, or the error about it; and the warnings about all of them."""

    streams: list[bytes | ClipcodecError]
    warnings: list[tuple[str, type[Warning]]]


def encode(rows: NDArray[Any], *, ours: bool, task: Task | None = None) -> Encoded:
    """Embeddings (N, D) to streams.

    ours  they were made here by the backbone, so they have unit norm
    task  None: the one that this worker was started with

    Raises WeightsError if the embeddings made here are not those of the profile's backbone.
    """
    task = task or _task
    assert task is not None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        streams = _encode(rows, task, ours=ours)
    return Encoded(streams, [(str(found.message), found.category) for found in caught])


def _encode(rows: NDArray[Any], task: Task, *, ours: bool) -> list[bytes | ClipcodecError]:
    from ..codec import Codec, encode_rows
    from ..embeddings import as_rows, normalise
    from ..profile.statistics import check_statistics

    profile = task.profile
    statistics = profile.statistics

    def work(chosen: list[int]) -> list[bytes]:
        nonlocal statistics
        unit = rows[chosen] if ours else normalise(rows[chosen])
        if statistics is not None:
            check_statistics(unit, statistics, profile.backbone, ours=ours)
            statistics = None  # checked once, not again for the rows that are left
        return encode_rows(profile, unit, task.target)

    try:
        Codec(profile).check_width(as_rows(rows).shape[1])
        streams = each_row(work, len(rows), InputError)
    except InputError as error:  # about all rows alike
        return [type(error)(error.reason) for _ in rows]
    for stream in streams:
        if isinstance(stream, ClipcodecError):
            stream.rows = ()  # the caller does not know this batch
    return streams
