"""`clipcodec compact`: containers without what is deleted in them."""

from __future__ import annotations

import argparse
from typing import BinaryIO, cast

from ..container import Container, ContainerWriter, compact
from ..errors import ClipcodecError
from .containers import in_place, require_container
from .results import Results
from .terminal import counted, say, size_text


def run(args: argparse.Namespace) -> int:
    for name in args.inputs:
        in_place(name)
    results = Results(args, len(args.inputs))
    for name in args.inputs:
        try:
            require_container(name)
            if args.dry_run:
                _plan(name)
                continue
            done = compact(name)
        except (ClipcodecError, OSError) as error:
            results.fail(name, error)
            continue
        gone = f"without {counted(done.deleted, 'deleted item')}" if done.deleted else ""
        results.done(name, name, done.bytes, done.before, more=gone)
    return results.end()


class _Counted:
    """Is written to, and keeps nothing."""

    def write(self, data: bytes) -> int:
        return len(data)

    def flush(self) -> None:
        pass


def _plan(name: str) -> None:
    with Container(name) as container:
        writer = ContainerWriter(
            cast(BinaryIO, _Counted()), metadata=container.metadata or None,
            profile=container.embedded(),
        )  # fmt: skip
        for item in container.items():
            writer.append(item)
        writer.close()
        size, deleted = container.size, container.deleted
    say(f"{name}: {counted(deleted, 'deleted item')}; {size_text(size)}, of which "
        f"{size_text(max(size - writer.size, 0))} would be saved")  # fmt: skip
