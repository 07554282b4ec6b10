"""Every error clipcodec raises on purpose.

    ClipcodecError
    ├── InputError (ValueError)                 what was given cannot be encoded
    │   ├── ImageError                          not an image, damaged, or too large
    │   │   └── ImageFileError (OSError)        the file is missing or cannot be read
    │   ├── EmbeddingError                      wrong width, zero, NaN or infinite
    │   ├── OptionError                         options that contradict each other, or are none
    │   │   └── RateError                       a size or fidelity that the profile cannot reach
    │   └── MismatchError                       an index, or hits, of another container
    ├── DecodeError (ValueError)                these bytes are not a stream we can decode
    │   ├── TruncatedError (EOFError)           the stream ends too early
    │   ├── CorruptError                        damaged: check value or canonical form violated
    │   ├── UnsupportedError                    a format version or coder unknown to this release
    │   └── UnknownProfileError                 the stream names a profile that is not at hand
    ├── ProfileError (ValueError)               no profile or backbone of that name
    ├── WeightsError                            a profile or backbone file is damaged or mismatched
    │   └── WeightsUnavailableError (OSError)   backbone weights: not on disk, not to be fetched
    ├── TrainingError (ValueError)              training data or settings that give no profile
    ├── OutputExistsError (FileExistsError)     the output exists; overwriting was not asked for
    ├── LockedError (BlockingIOError)           another process is writing the container
    ├── WorkerError (RuntimeError)              a worker process cannot start, or ended too early
    ├── MissingDependencyError (ImportError)    an optional dependency is not installed
    └── StoreError (OSError)                    an object store failed, in reading or in writing
        └── ReplacedError                       the object is not the one that was opened

`BackboneWarning` is a warning: an embedding is unlike those its profile was trained on.

An error about rows of a batch knows them: `index` is the first row at fault, `rows` are all rows
that were found with the same fault (base.py). They are set where the error is raised; a function
that works on a part of a batch, or on a table or file, translates them with `placed` (rows.py).
"""

from __future__ import annotations

from collections.abc import Iterable

from .base import ClipcodecError
from .base import brief as brief
from .rows import RowNumbers as RowNumbers
from .rows import collected as collected
from .rows import each_row as each_row
from .rows import placed as placed
from .rows import raise_merged as raise_merged
from .rows import raise_rows as raise_rows

__all__ = [
    "ClipcodecError",
    "InputError",
    "ImageError",
    "ImageFileError",
    "EmbeddingError",
    "OptionError",
    "RateError",
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


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]


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
