"""What worker processes do: decode images, and encode embeddings. Imports nothing heavy by itself.

A worker uses one thread, does not hear Ctrl-C, which is for the main process, and ends with it.
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

from ..errors import ClipcodecError, ImageError, InputError, brief

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..kinds.trellis.rate import Target
    from ..models import Preprocess
    from ..profile.file import Profile

P = ParamSpec("P")
T = TypeVar("T")

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Task(NamedTuple):
    """How embeddings become streams."""

    profile: Profile
    target: Target
    coders: tuple[str, ...]


_task: Task | None = None  # a worker's


def pool(workers: int, task: Task) -> Executor:
    """Worker processes that are ready, or for 0 this process itself."""
    if not workers:
        return _Here()
    made = ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=_begin, initargs=(pickle.dumps(task),)
    )
    with _unheard():
        made.submit(int)  # starts them
    return made


class _Here(Executor):
    """Does at once what it is asked."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class _unheard:
    """Processes started meanwhile do not hear Ctrl-C, not even before they could say so."""

    def __enter__(self) -> None:
        if hasattr(signal, "pthread_sigmask"):
            self._before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    def __exit__(self, *_: object) -> None:
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_SETMASK, self._before)


def _begin(task: bytes) -> None:
    """First thing in a worker."""
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
    contents: Sequence[str | bytes], preprocess: Preprocess
) -> list[NDArray[np.uint8] | ClipcodecError]:
    """Image files to pixels for the backbone; what is wrong with one takes its place."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on odd metadata
        return [_decode(content, preprocess) for content in contents]


def _decode(content: str | bytes, preprocess: Preprocess) -> NDArray[np.uint8] | ClipcodecError:
    from ..images import load_rgb
    from ..models import shorten
    from .sources import LARGEST, too_large

    try:
        if isinstance(content, str) and os.path.isfile(content):
            size = os.path.getsize(content)
            if size > LARGEST:
                return too_large(size)
        return preprocess(shorten(load_rgb(content)))
    except ClipcodecError as error:
        return _alone(error)
    except Exception as error:  # memory, most likely
        return ImageError(f"cannot be resized ({type(error).__name__}: {brief(error)})")


def _alone(error: ClipcodecError) -> ClipcodecError:
    """An error without the frames, and so the images, that it was raised through."""
    return type(error)(str(error))


class Encoded(NamedTuple):
    """Streams, or in their place what is wrong; and warnings."""

    streams: list[bytes | ClipcodecError]
    warnings: list[tuple[str, type[Warning]]]


def encode(rows: NDArray[Any], *, ours: bool, task: Task | None = None) -> Encoded:
    """Embeddings (N, D) to streams.

    ours  the backbone made them, so they are of unit norm
    task  None: the one that this worker was begun with

    Raises WeightsError if the backbone's are not those of the profile.
    """
    task = task or _task
    assert task is not None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        streams = _encode(rows, task, ours=ours)
    return Encoded(streams, [(str(found.message), found.category) for found in caught])


def _encode(rows: NDArray[Any], task: Task, *, ours: bool) -> list[bytes | ClipcodecError]:
    """A row that cannot be encoded is found by halving."""
    from ..embeddings import as_embeddings
    from ..profile.statistics import check_statistics
    from ..stream import encode_rows

    profile = task.profile
    try:
        unit = rows if ours else as_embeddings(rows, profile.dim)
        if profile.statistics is not None:
            check_statistics(unit, profile.statistics, profile.backbone, ours=ours)
        return [*encode_rows(profile, unit, task.target, task.coders)]
    except InputError as error:
        if len(rows) == 1:
            return [_alone(error)]
        half = len(rows) // 2
        return _encode(rows[:half], task, ours=ours) + _encode(rows[half:], task, ours=ours)
