"""What worker processes do: decode images, and encode embeddings. Imports nothing heavy by itself.

A worker uses one thread, ignores Ctrl-C, which is for the main process, and ends with that. What
the program has set up in its process is handed over by `program`.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from errno import EMFILE, ENFILE
from multiprocessing import active_children, current_process, get_context, parent_process
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from multiprocessing.spawn import get_preparation_data
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

from ..errors import ClipcodecError, ImageError, InputError, WorkerError, brief, each_row
from .program import adopt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..models import Preprocess
    from ..models.jpegs import Jpeg
    from ..profile.file import Profile
    from ..target import Target

P = ParamSpec("P")
T = TypeVar("T")

_GUARD = (
    "the program starts its work while it is imported, and workers import it. Put its start under "
    '`if __name__ == "__main__":`'
)
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Task(NamedTuple):
    """How embeddings become streams."""

    profile: Profile
    target: Target


_task: Task | None = None  # set once in every worker
_failed: Exception | None = None  # why it could not be set


def pool(workers: int, task: Task, *, start: int = 0) -> Workers:
    """Worker processes, started; for 0 an executor that does the work in this process.

    start  so many start at once, and import what decodes images; others when there is work for
           them. 0: one, for embeddings alone

    Raises WorkerError if this process cannot have workers.
    """
    return _Processes(workers, task, start) if workers else Here()


def check_possible(workers: int) -> None:
    """Raise WorkerError, with the cause, if it is known that this process cannot start workers."""
    if not workers:
        return
    check_not_imported()
    if current_process().daemon:
        raise _impossible(
            "this process is a daemonic one, such as a worker of Celery or of torch's DataLoader, "
            "and may not start others"
        )
    with _starting():
        # what a worker is told to import, so that it can use what the program has defined
        main = get_preparation_data("").get("init_main_from_path")
    # a frozen program (PyInstaller) names a file that is not there, but imports nothing by it
    if main is not None and not os.path.isfile(main) and not getattr(sys, "frozen", False):
        raise _impossible(
            f"they import the program, and {os.path.basename(main)} is no file: it came from stdin "
            "or a pipe, or was deleted. Save it as a file"
        )


def check_not_imported() -> None:
    """Raise WorkerError if a starting process has come here by importing the program."""
    if getattr(current_process(), "_inheriting", False):
        raise _impossible(_GUARD)


def _impossible(cause: str) -> WorkerError:
    return WorkerError(f"worker processes cannot start: {cause}, or give workers=0 (--workers 0)")


class Workers(Executor):
    """Where the work is done."""

    def give(
        self, name: str, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """As `submit`. name: of the first entry that the work is about.

        Raises WorkerError if the processes are gone, and so does `result`.
        """
        try:
            return self.submit(fn, *args, **kwargs)
        except BrokenExecutor as error:
            raise self.ended(name) from error

    def result(self, future: Future[T], name: str) -> T:
        try:
            return future.result()
        except BrokenExecutor as error:
            raise self.ended(name) from error

    def ended(self, name: str) -> WorkerError:
        """Why the processes are gone. name: of the first entry that the work was about."""
        raise NotImplementedError


class _Processes(Workers):
    """Worker processes. Whatever keeps them from starting is a WorkerError."""

    def __init__(self, workers: int, task: Task, start: int) -> None:
        context = get_context("spawn")
        with _starting():
            check_possible(workers)
            _make_lock(context)
            self._pool = ProcessPoolExecutor(
                workers,
                context,
                initializer=_begin,
                initargs=(pickle.dumps(task), start > 0),
            )
        self._others = active_children()  # of the program
        self._started: set[BaseProcess] = set()
        try:
            self._first: Future[int] = self.submit(int)
            for _ in range(1, start):  # none is idle yet, so each starts a process
                self.submit(int)
        except BrokenExecutor as error:
            raise self.ended("the first image") from error
        except BaseException:
            self._pool.shutdown(wait=False)
            raise

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        with _starting(), _interrupts_blocked():  # it starts a process if none is idle
            future = self._pool.submit(fn, *args, **kwargs)
        if not self._begun():
            self._started.update(child for child in active_children() if child not in self._others)
        return future

    def _begun(self) -> bool:
        """Has a process begun its work?"""
        first: Future[int] | None = getattr(self, "_first", None)
        return first is not None and first.done() and first.exception() is None

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def ended(self, name: str) -> WorkerError:
        if self._begun():
            return WorkerError(
                f"a worker process was killed, perhaps for lack of memory, during work on {name} "
                "or one of those after it: use fewer --workers, or 0 to see at which one it happens"
            )
        self.shutdown()  # then all exit codes are known
        if any(child.exitcode is not None and child.exitcode > 0 for child in self._started):
            return _impossible(f"they ended by an error, which is shown above. Perhaps {_GUARD}")
        return _impossible("they were killed, perhaps for lack of memory. Use fewer")


@contextmanager
def _starting() -> Iterator[None]:
    """Errors of processes that cannot be started are a WorkerError; of ended ones stay."""
    try:
        yield
    except (ClipcodecError, BrokenExecutor):
        raise
    except Exception as error:  # no memory, too many processes or open files, no executable, …
        raise _impossible(f"{type(error).__name__}: {brief(error)}. Mend this") from error


def _make_lock(context: BaseContext) -> None:
    """Make a lock, of which the pool needs several, only to see whether this can be done."""
    try:
        context.Lock()
    except (OSError, ImportError) as error:
        if getattr(error, "errno", None) in (EMFILE, ENFILE):
            raise
        raise _impossible(
            f"no lock can be shared between processes ({brief(error)}). On Linux make /dev/shm a "
            "file system that can be written"
        ) from error


class Here(Workers):
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


def _begin(task: bytes, images: bool) -> None:
    """The first thing that runs in a worker. It must not raise: nobody would learn why."""
    global _task, _failed
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))  # read when numpy is imported, below
    try:
        _task = pickle.loads(task)
    except Exception as error:  # a private profile that was changed or deleted meanwhile
        _failed = error
    if images:
        with suppress(Exception):  # the first image will tell
            from PIL import Image  # noqa: F401

            from ..images import load_rgb  # noqa: F401
            from ..models import shorten  # noqa: F401
            from .entries import size_fault  # noqa: F401


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def decode(
    contents: Sequence[str | bytes],
    preprocess: Preprocess,
    setup: bytes | None = None,
    *,
    jpegs: bool = False,
) -> list[NDArray[np.uint8] | Jpeg | ClipcodecError]:
    """Image files to pixels for the backbone, or for each the error about it.

    setup  what the program has set up in its process (`program.captured`); None: this is it
    jpegs  leave files to the main process that a device may decode
    """
    if setup is not None:
        adopt(setup)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about odd metadata
        return [
            (_jpeg(content, preprocess) if jpegs else None) or _decode(content, preprocess)
            for content in contents
        ]


def _jpeg(content: str | bytes, preprocess: Preprocess) -> Jpeg | None:
    """The file, if a device may decode it."""
    from ..models.jpegs import plain
    from .entries import size_fault

    if isinstance(content, str):
        try:
            if not os.path.isfile(content) or size_fault(os.path.getsize(content)) is not None:
                return None
            with open(content, "rb") as file:
                content = file.read()
        except OSError:
            return None
    return plain(content, preprocess)


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


def encode(
    rows: NDArray[Any],
    *,
    ours: bool,
    task: Task | None = None,
    target: Target | None = None,
    device: str | None = None,
) -> Encoded:
    """Embeddings (N, D) to streams.

    ours    they were made here by the backbone, so they have unit norm
    task    None: the one that this worker was started with
    target  None: that of the task
    device  where to encode large batches; None: here

    Raises WeightsError if the embeddings made here are not those of the profile's backbone, or if
    this worker could not read the profile.
    """
    task = task or _task
    if task is None and _failed is not None:
        raise _failed
    assert task is not None
    task = task._replace(target=target or task.target)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        streams = _encode(rows, task, ours=ours, device=device)
    return Encoded(streams, [(str(found.message), found.category) for found in caught])


def _encode(
    rows: NDArray[Any], task: Task, *, ours: bool, device: str | None
) -> list[bytes | ClipcodecError]:
    from ..batches import encode_all
    from ..codec import Codec
    from ..embeddings import as_rows, normalise
    from ..profile.statistics import check_statistics
    from ..rows import encode_rows

    profile = task.profile
    statistics = profile.statistics

    def work(chosen: list[int]) -> list[bytes]:
        nonlocal statistics
        unit = rows[chosen] if ours else normalise(rows[chosen])
        if statistics is not None:
            check_statistics(unit, statistics, profile.backbone, ours=ours)
            statistics = None  # checked once, not again for the rows that are left
        if device is not None:
            return encode_all(profile, unit, task.target, device)
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
