"""Ray on this machine alone, with workers that import this checkout."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TypeVar

import pytest

from tests.helpers.paths import ROOT
from tests.helpers.processes import PACKAGE

STARTS = 2  # tries: Ray gives a node 30 s to start, on a busy machine, too
NODE: dict[str, Any] = {
    "num_cpus": 2, "include_dashboard": False, "object_store_memory": 1 << 27,
}  # fmt: skip
SYSTEM = {"gcs_server_request_timeout_seconds": 60}
QUIET = {"log_to_driver": False, "configure_logging": False}
T = TypeVar("T")


@contextmanager
def importable() -> Iterator[None]:
    """Meanwhile, processes that are started import this checkout, and know no other cluster."""
    folders = [str(PACKAGE), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(folders))
        patch.delenv("RAY_ADDRESS", raising=False)
        yield


def started(start: Callable[[], T]) -> T:
    """What `start` returns, which starts a node; again if that did not start in time."""
    for tried in range(1, STARTS + 1):
        try:
            return start()
        except Exception as error:  # Ray raises no class of its own
            if tried == STARTS or "timed out during startup" not in str(error):
                raise
            import_module("ray").shutdown()
    raise AssertionError("not reached")


@contextmanager
def running() -> Iterator[None]:
    """A cluster of one node."""
    ray = import_module("ray")
    with importable():
        started(lambda: ray.init(address="local", **NODE, **QUIET, _system_config=SYSTEM))
        import_module("ray.data").DataContext.get_current().enable_progress_bars = False
        try:
            yield
        finally:
            ray.shutdown()
