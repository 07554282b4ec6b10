"""An index that is built by another thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Generic, TypeVar

T = TypeVar("T")  # an index

Progress = Callable[[int, "int | None"], object]


class IndexBuild(Generic[T]):
    """An index that is being built; `SearchIndex.build(…, background=True)` gives it.

    Args:
        index: What is there so far: it can be searched at any time.
        work: Builds it, and reports its progress.
        total: How many items there will be; None: that is not known.
        progress: Is told the progress, too.

    Examples:
        >>> photos = clipcodec.open("photos.clpc")
        >>> building = clipcodec.SearchIndex.build(photos, background=True)
        >>> len(building.result())
        100
    """

    def __init__(
        self,
        index: T,
        work: Callable[[Progress], T],
        total: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.index = index
        self._progress = progress
        self._counts = 0, total
        self._stop = threading.Event()
        self._result: T | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        from ..system.shown import shown

        def parts() -> list[object]:
            done, total = self._counts
            state = "running" if self._thread.is_alive() else "failed" if self._error else "done"
            return [f"{done:,} of {'?' if total is None else f'{total:,}'} items", state]

        return shown("retrieval.IndexBuild", parts)

    @property
    def progress(self) -> tuple[int, int | None]:
        """Items that are in the index, and how many there will be; None: that is not known.

        Examples:
            >>> photos = clipcodec.open("photos.clpc")
            >>> building = clipcodec.SearchIndex.build(photos, background=True)
            >>> index = building.result()
            >>> building.progress
            (100, 100)
        """
        return self._counts

    @property
    def done(self) -> bool:
        """Whether it has ended: built, failed or cancelled."""
        return not self._thread.is_alive()

    def result(self, timeout: float | None = None) -> T:
        """Wait for the whole index.

        Args:
            timeout: Seconds to wait at most; None: as long as it takes.

        Returns:
            The index; with a path, as it was saved.

        Raises:
            TimeoutError: It is not built yet; it goes on.
            CancelledError: `cancel` was called (of concurrent.futures).
            ClipcodecError: What went wrong with it, as `SearchIndex.build` raises it.

        Examples:
            >>> photos = clipcodec.open("photos.clpc")
            >>> clipcodec.SearchIndex.build(photos, background=True).result(timeout=60).dim
            512
        """
        self._thread.join(timeout)
        if self._thread.is_alive():
            done, total = self._counts
            raise TimeoutError(f"the index is not built yet: {done} items of {total or 'unknown'}")
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    def cancel(self) -> None:
        """End it after the items that it works on; no file is written.

        Examples:
            >>> photos = clipcodec.open("photos.clpc")
            >>> building = clipcodec.SearchIndex.build(photos, background=True)
            >>> building.cancel()
        """
        self._stop.set()

    def _run(self, work: Callable[[Progress], T]) -> None:
        try:
            self._result = work(self._report)
        except BaseException as error:  # `result` raises it, in the thread that asks
            self._error = error

    def _report(self, done: int, total: int | None) -> None:
        self._counts = done, total
        if self._stop.is_set():
            raise CancelledError("the index was cancelled while it was built")
        if self._progress is not None:
            self._progress(done, total)
