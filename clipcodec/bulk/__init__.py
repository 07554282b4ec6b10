"""Many inputs into one container: directories, patterns, lists, archives and arrays.

>>> from clipcodec.bulk import Job, Target
>>> job = Job("photos/", "new.clpc", Target(max_bytes=50), workers=0)
>>> result = job.run()
>>> result.compressed, result.failed
(3, 0)

A script that uses worker processes needs `if __name__ == "__main__":`, as each worker imports it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..system.forks import loading as _loading

if TYPE_CHECKING:
    from ..target import Target
    from .entries import LeftOut
    from .job import Job
    from .outcome import Failure, JobResult, Plan

# imported when first used: a worker process sets its number of threads before numpy is imported
_LAZY = {
    "Failure": "clipcodec.bulk.outcome",
    "Job": "clipcodec.bulk.job",
    "JobResult": "clipcodec.bulk.outcome",
    "LeftOut": "clipcodec.bulk.entries",
    "Plan": "clipcodec.bulk.outcome",
    "Target": "clipcodec.target",
}

__all__ = ["Failure", "Job", "JobResult", "LeftOut", "Plan", "Target"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with _loading:
        value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
