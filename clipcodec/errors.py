"""Every error clipcodec raises on purpose.

    ClipcodecError
    ├── InputError (ValueError)          what was given cannot be encoded
    │   ├── ImageError                   not an image, damaged, or too large
    │   │   └── ImageFileError (OSError) the file is missing or cannot be read
    │   ├── EmbeddingError               wrong width, zero, NaN or infinite
    │   └── OptionError                  options that contradict each other or do not exist
    │       └── RateError                a size or fidelity that the profile cannot reach
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
    ├── WorkerError (RuntimeError)       a worker process ended before its work
    └── MissingDependencyError (ImportError)    an optional dependency is not installed

`BackboneWarning` is a warning: an embedding is unlike those its profile was trained on.
"""

from __future__ import annotations

__all__ = [
    "ClipcodecError",
    "InputError",
    "ImageError",
    "ImageFileError",
    "EmbeddingError",
    "OptionError",
    "RateError",
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
    "BackboneWarning",
]

_LONGEST_REASON = 400  # characters


class ClipcodecError(Exception):
    """Base of all errors raised on purpose by clipcodec."""


class InputError(ClipcodecError, ValueError):
    """What was given cannot be encoded."""


class ImageError(InputError):
    """Not an image, a damaged one, or one above the size limit."""


class ImageFileError(ImageError, OSError):
    """The image file is missing or cannot be read."""


class EmbeddingError(InputError):
    """An embedding of the wrong shape, zero, or not finite."""


class OptionError(InputError):
    """Options that contradict each other, or a value outside its range."""


class RateError(OptionError):
    """The profile cannot reach the size or fidelity asked for."""


class DecodeError(ClipcodecError, ValueError):
    """These bytes are not a stream that can be decoded."""


class TruncatedError(DecodeError, EOFError):
    """The stream ends before its last symbol."""


class CorruptError(DecodeError):
    """The stream is damaged, or not in canonical form."""


class UnsupportedError(DecodeError):
    """The format version or coder is not known to this release."""


class UnknownProfileError(DecodeError):
    """The stream names a profile that is not at hand."""


class ProfileError(ClipcodecError, ValueError):
    """No profile or backbone of that name."""


class WeightsError(ClipcodecError):
    """A profile or backbone file is damaged, foreign, or does not match."""


class WeightsUnavailableError(WeightsError, OSError):
    """Backbone weights are neither on disk nor can they be fetched."""


class TrainingError(ClipcodecError, ValueError):
    """Training data or settings from which no profile can be made."""


class OutputExistsError(ClipcodecError, FileExistsError):
    """The output exists, and overwriting was not asked for."""


class LockedError(ClipcodecError, BlockingIOError):
    """Another process is writing the file."""


class WorkerError(ClipcodecError, RuntimeError):
    """A worker process ended before its work was done: killed, or out of memory."""


def brief(reason: object) -> str:
    """A reason as part of a message: not the whole file that a library may quote in it."""
    text = str(reason)
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…"


class MissingDependencyError(ClipcodecError, ImportError):
    """An optional dependency is not installed."""


class BackboneWarning(UserWarning):
    """An embedding is unlike those its profile was trained on."""
