"""Every error clipcodec raises on purpose.

    ClipcodecError
    ├── InputError (ValueError)          what was given cannot be encoded
    │   ├── ImageError                   not an image, damaged, or too large
    │   │   └── ImageFileError (OSError) the file is missing or cannot be read
    │   ├── EmbeddingError               wrong width, zero, NaN or infinite
    │   ├── OptionError                  options that contradict each other or do not exist
    │   │   └── RateError                a size or fidelity that the profile cannot reach
    │   ├── UnknownItemError (KeyError, IndexError)    no item has this id, or is at this place
    │   └── MismatchError                an index of another container, or of what it was before
    ├── DecodeError (ValueError)         these bytes are not a stream we can decode
    │   ├── TruncatedError (EOFError)    the stream ends too early
    │   ├── CorruptError                 damaged: check value or canonical form violated
    │   ├── UnsupportedError             a format version or coder unknown to this release
    │   └── UnknownProfileError          the stream names a profile that is not at hand
    ├── ProfileError (ValueError)        no profile or backbone of that name
    ├── WeightsError                     a profile or backbone file is damaged or mismatched
    │   └── WeightsUnavailableError (OSError)  backbone weights: not on disk, not to be fetched
    ├── TrainingError (ValueError)       training data or settings that cannot give a profile
    ├── OutputExistsError (FileExistsError)    the output exists and overwriting was not asked for
    ├── LockedError (BlockingIOError)    another process is writing the container
    ├── WorkerError (RuntimeError)       a worker process cannot start, or ended before its work
    ├── MissingDependencyError (ImportError)    an optional dependency is not installed
    └── StoreError (OSError)             an object store failed, in reading or in writing
        └── ReplacedError                the object is not the one that was opened

`BackboneWarning` is a warning: an embedding is unlike those its profile was trained on.

An error about rows of a batch knows them: `index` is the first row at fault, `rows` are all rows
that were found with the same fault. They are set where the error is raised; a function that works
on a part of a batch, or on a table or file, translates them with `placed`. The message is made from
them once, when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "ClipcodecError",
    "InputError",
    "ImageError",
    "ImageFileError",
    "EmbeddingError",
    "OptionError",
    "RateError",
    "UnknownItemError",
    "MismatchError",
    "DecodeError",
    "TruncatedError",
    "CorruptError",
    "UnsupportedError",
    "UnknownProfileError",
    "ProfileError",
    "WeightsError",
    "WeightsUnavailableError",
    "TrainingError",
    "OutputExistsError",
    "LockedError",
    "WorkerError",
    "MissingDependencyError",
    "StoreError",
    "ReplacedError",
    "BackboneWarning",
]

_LONGEST_REASON = 400  # characters

T = TypeVar("T")


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


class RowNumbers(Protocol):
    """A list or array of row numbers."""

    def __getitem__(self, i: int, /) -> Any: ...


class ClipcodecError(Exception):
    """Base of all errors that clipcodec raises on purpose.

    Catch it to go on after any of them. The message names the input, says what was expected and
    what to do.

    Args:
        reason: What is wrong and what to do about it.
        rows: Rows of the caller's batch that have this fault.

    Attributes:
        reason: What is wrong and what to do about it.
        rows: Rows of the caller's batch that have this fault, in order, counted from 0: all that
            were checked together; () for a single input.
        source: Where these rows are: a file or a column; None: in what was given.
        item: What a row is called in the message: "embedding", "stream", "image", "row", …

    Examples:
        >>> X = np.load("embeddings.npy")
        >>> X[3] = np.nan
        >>> try:
        ...     clipcodec.encode_embeddings(X)
        ... except clipcodec.ClipcodecError as error:
        ...     print(error.index, error)
        3 embedding 3: NaN or infinite values
    """

    item: str = "item"

    def __init__(self, reason: object = "", *, rows: Iterable[int] = ()) -> None:
        super().__init__(reason)
        self.reason = str(reason)
        self.rows = tuple(rows)
        self.source: str | None = None
        self._reasons: tuple[str, ...] = ()  # one per row, where they differ
        self._others: tuple[ClipcodecError, ...] = ()  # found with it, about other rows

    @property
    def index(self) -> int | None:
        """The first row at fault, counted from 0; None if the caller gave a single input."""
        return self.rows[0] if self.rows else None

    def __str__(self) -> str:
        place = [] if self.source is None else [self.source]
        if self.rows:
            more = f" and {len(self.rows) - 1} more" if len(self.rows) > 1 else ""
            place.append(f"{self.item} {self.rows[0]}{more}")
        return f"{', '.join(place)}: {self.reason}" if place else self.reason

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    @classmethod
    def of_rows(cls, reasons: Mapping[int, str]) -> Self:
        """Make one error for rows with a reason each; its message is the first one's.

        Args:
            reasons: What is wrong with each row.

        Returns:
            The error, which knows all rows.

        Examples:
            >>> clipcodec.DecodeError.of_rows({2: "cut", 5: "damaged"})
            DecodeError('stream 2 and 1 more: cut')
        """
        rows = sorted(reasons)
        error = cls(reasons[rows[0]], rows=rows)
        _set_reasons(error, reasons)
        return error

    def each(self) -> Iterator[ClipcodecError]:
        """Make an error for each of its rows.

        Yields:
            Errors without traceback, which keep no image or array alive.

        Examples:
            >>> error = clipcodec.DecodeError.of_rows({2: "cut", 5: "damaged"})
            >>> [str(one) for one in error.each()]
            ['stream 2: cut', 'stream 5: damaged']
        """
        for row, reason in _reasons(self):
            error = type(self)(reason, rows=[row])
            error.source, error.item = self.source, self.item
            yield error


class InputError(ClipcodecError, ValueError):
    """What was given cannot be encoded.

    Raised for an image, an embedding, an option, or a file of them; the subclasses say which. Mend
    or leave out what the message names.
    """


class ImageError(InputError):
    """Not an image, a damaged one, or one above the size limit.

    Raised where images are read. Export the image as PNG or JPEG; for one above the limit raise
    `PIL.Image.MAX_IMAGE_PIXELS`, or make it smaller.
    """

    item = "image"


class ImageFileError(ImageError, OSError):
    """The image file is missing or cannot be read.

    Raised where an image is given by its path. Check the path and its permissions; download what is
    behind a URL first. It is an OSError, too.
    """


class EmbeddingError(InputError):
    """An embedding of the wrong shape, zero, or not finite.

    Raised where embeddings are encoded, searched with or read from a file. `error.rows` are the
    rows at fault: leave them out, or choose one of the profiles that the message names for this
    width.
    """

    item = "embedding"


class OptionError(InputError):
    """Options that contradict each other, or a value outside its range.

    Raised before any work is done. Change the option that the message names.
    """


class RateError(OptionError):
    """The profile cannot reach the size or fidelity asked for.

    Raised where a target is too small for a stream, or too close to the original. Ask for more
    bytes or a lower cosine, or choose the profile that the message suggests. `error.rows` are the
    embeddings that missed it.
    """

    item = "embedding"


class UnknownItemError(InputError, KeyError, IndexError):
    """No item has the id, or is at the position, that was given.

    Raised by all that chooses items: keys of a container, `take`, `search` and `filter_items` by
    ids or positions, `delete`. Nothing is changed or written then. `container.ids` are the ids that
    there are; `id in container` asks for one. It is a KeyError and an IndexError, too.
    """


class MismatchError(InputError):
    """An index, hits or a copy of another container than this, or of what it was before.

    Raised where a saved index is compared with a container, or hits with a file that was replaced;
    also for a pickled container whose file was compacted or replaced meanwhile.
    `index.update(container)` brings an index up to date; search again for new hits, and open a
    container again.
    """


class DecodeError(ClipcodecError, ValueError):
    """These bytes are not a stream that can be decoded.

    Raised by all that reads streams; the subclasses say why. `error.rows` are the streams at fault:
    get them again from where they came from, or leave them out.
    """

    item = "stream"


class TruncatedError(DecodeError, EOFError):
    """The stream, or the container, ends too early.

    Raised where bytes are missing at the end: it was cut, or is still being written. Copy it again;
    `clipcodec.open(path, partial=True)` reads what is there of a container.
    """


class CorruptError(DecodeError):
    """The stream, or the container, is damaged or not in canonical form.

    Raised where a check value does not match, or bytes stand where none may. Copy it again;
    `clipcodec.open(path, partial=True)` reads the good blocks of a container.
    """


class UnsupportedError(DecodeError):
    """The format version or coder is not known to this release.

    Raised for what a later release has made. Upgrade clipcodec.
    """


class UnknownProfileError(DecodeError):
    """The stream names a profile that is not at hand.

    Raised for a stream of a private profile, or of one that a later release has registered. Give
    the profile's file, `profile=FILE`, or upgrade clipcodec.
    """


class ProfileError(ClipcodecError, ValueError):
    """No profile or backbone of that name.

    Raised where a name is given. The message lists the names that are known; a path must lead to a
    profile file.
    """


class WeightsError(ClipcodecError):
    """A profile or backbone file is damaged, foreign, or does not match.

    Raised where weights are read, and where what a backbone computes is not what its profile knows.
    Delete the file that the message names and fetch it again, or reinstall clipcodec.
    """


class WeightsUnavailableError(WeightsError, OSError):
    """Backbone weights are neither on disk nor can they be fetched.

    Raised where a backbone is first needed. Run `clipcodec fetch` where there is a network, or give
    a local file, `weights=FILE`. It is an OSError, too.
    """


class TrainingError(ClipcodecError, ValueError):
    """Training data or settings from which no profile can be made.

    Raised before training, or where it does not converge. The message says what is needed: more
    distinct rows, for example.
    """


class OutputExistsError(ClipcodecError, FileExistsError):
    """The output exists, and overwriting was not asked for.

    Raised before anything is written. Choose another name, or ask for it: `overwrite=True`, or mode
    "w" or "a" of a container. It is a FileExistsError, too.
    """


class LockedError(ClipcodecError, BlockingIOError):
    """Another process is writing the file.

    Raised where a container is opened for writing. Wait until the other one has closed it. It is a
    BlockingIOError, too.
    """


class WorkerError(ClipcodecError, RuntimeError):
    """Worker processes cannot start, or one ended before its work was done.

    Raised by jobs with `workers`. It was killed, most often for lack of memory: take fewer workers,
    or none. A script needs `if __name__ == "__main__":`.
    """


class MissingDependencyError(ClipcodecError, ImportError):
    """An optional dependency is not installed: the package `name`.

    Raised where it is first needed, not on import. Run the `pip install` line of the message. It is
    an ImportError, too.
    """

    def __init__(
        self, reason: object = "", *, rows: Iterable[int] = (), name: str | None = None
    ) -> None:
        super().__init__(reason, rows=rows)
        self.name = name


class StoreError(ClipcodecError, OSError):
    """A request to an object store failed, and went on failing when it was tried again.

    Raised where containers and tables are read or written by URL; the message names the object, the
    bytes and the cause. Try again later: what was open can still be used. An object that is not
    there is a FileNotFoundError, and missing credentials are a PermissionError, as for local files.
    It is an OSError, as these are.
    """


class ReplacedError(StoreError):
    """The object was replaced, or deleted, while it was read.

    Raised instead of a mix of two objects. Open it again for what is there now.
    """


class BackboneWarning(UserWarning):
    """An embedding, or a text, is unlike those that its model takes or makes.

    A warning, given once for each call. Streams are made all the same, but if the embeddings come
    from another model than the profile's, what they decode to is poor: choose a profile for this
    model, or `any/rotation`.
    """


def brief(reason: object) -> str:
    """A reason as part of a message: not the whole file that a library may quote in it."""
    text = str(reason)
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…"


class placed:
    """A context manager: its errors name rows as the caller of this function counts them.

    rows    the number of the first row, or the number of each row, of what the block works on;
            None: the caller gave a single input
    item, source   as in `ClipcodecError`; None: as they are

    >>> with placed(1000, item="row"):
    ...     raise EmbeddingError("all zero", rows=[3])
    Traceback (most recent call last):
    clipcodec.errors.EmbeddingError: row 1003: all zero
    """

    def __init__(
        self,
        rows: int | RowNumbers | None = 0,
        *,
        item: str | None = None,
        source: str | None = None,
    ) -> None:
        self._rows, self._item, self._source = rows, item, source

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, ClipcodecError):
            return
        rows = self._rows
        for one in (error, *error._others):
            if rows is None:
                one.rows = ()
            elif isinstance(rows, int):
                one.rows = tuple(row + rows for row in one.rows)
            elif one.rows:
                _set_reasons(one, {int(rows[i]): why for i, why in reversed(_reasons(one))})
            one.item = self._item or one.item
            one.source = self._source or one.source


@contextmanager
def collected(faults: list[ClipcodecError], rows: int | RowNumbers) -> Iterator[None]:
    """Keep an error of the `with` block that is about rows, placed as `placed` does, in `faults`.

    So all parts of a batch can be tried before `raise_merged`.
    """
    try:
        with placed(rows):
            yield
    except ClipcodecError as error:
        if not error.rows:
            raise
        faults.append(error)


def raise_merged(faults: Iterable[ClipcodecError]) -> None:
    """Raise one error for errors about rows, if there are any: that of the first row.

    It has all rows whose errors are of its type; the others go with it, for `each_row`.
    """
    found = [one for fault in faults for one in (fault, *fault._others)]
    if not found:
        return
    leads: dict[type[ClipcodecError], ClipcodecError] = {}
    reasons: dict[type[ClipcodecError], dict[int, str]] = {}
    for one in sorted(found, key=lambda one: one.rows):
        leads.setdefault(type(one), one)
        reasons.setdefault(type(one), {}).update(_reasons(one))
    for kind, lead in leads.items():
        _set_reasons(lead, reasons[kind])
    first, *others = leads.values()
    first._others = tuple(others)
    raise first


def raise_rows(faults: Mapping[int, ClipcodecError]) -> None:
    """As `raise_merged`, of an error for each row at fault."""
    for row, fault in faults.items():
        fault.rows = (row,)
    raise_merged(faults.values())


def _reasons(error: ClipcodecError) -> list[tuple[int, str]]:
    """Each row with its reason."""
    reasons = error._reasons or (error.reason,) * len(error.rows)
    return list(zip(error.rows, reasons, strict=True))


def _set_reasons(error: ClipcodecError, reasons: Mapping[int, str]) -> None:
    error.rows = tuple(sorted(reasons))
    error._reasons = tuple(reasons[row] for row in error.rows)
    error.reason = error._reasons[0]


def each_row(
    work: Callable[[list[int]], Iterable[T]],
    count: int,
    caught: type[ClipcodecError] = ClipcodecError,
) -> list[T | ClipcodecError]:
    """What `work` makes of each of `count` rows, or the error of a row in its place.

    work    takes row numbers; gives a result for each, or raises an error of type `caught` about
            some of them (numbered within what it was given). These are left out, and the others
            tried again: one round per check that some rows fail, however many they are.

    Errors about no row are raised.
    """
    found: dict[int, T | ClipcodecError] = {}
    rows = list(range(count))
    while rows:
        try:
            with placed(rows):
                results = work(rows)
            found.update(zip(rows, results, strict=True))
            break
        except caught as error:
            if not error.rows:
                raise
            for one in (error, *error._others):
                if isinstance(one, caught):
                    found.update((fault.rows[0], fault) for fault in one.each())
            rows = [row for row in rows if row not in found]
    return [found[row] for row in range(count)]
