"""`clipcodec compress … -o OUT.clpc`: directories, archives and more into one container."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..bulk.pipeline import Result, compress
from ..bulk.sources import Archive, Entry, Source, find, holds_many
from ..codec import Codec
from ..container import Container, ContainerWriter, create
from ..container.writer import PART
from ..errors import ImageFileError, InputError, OptionError, OutputExistsError, TruncatedError
from ..models import BATCH
from ..system.files import refuse_existing
from .common import words

CONTAINER = ".clpc"
_FLUSH_SECONDS = 30.0
_SAMPLES = 64  # to estimate a size


def concerns(args: argparse.Namespace) -> bool:
    """Does the command line ask for a container? OptionError if it does so by half."""
    if args.output is not None and args.output.endswith(CONTAINER):
        return True
    for name in args.inputs:
        if holds_many(name):
            raise OptionError(f"{name} holds many images: name a container, -o OUT{CONTAINER}")
    for option in ("workers", "batch_size", "precision", "resume", "dry_run"):
        if getattr(args, option) is not None:
            flag = "--" + option.replace("_", "-")
            raise OptionError(f"{flag} is for a container: give -o OUT{CONTAINER}")
    return False


def run(args: argparse.Namespace) -> int:
    precision = args.precision or "fp32"
    codec = Codec(args.profile, backbone=args.backbone, device=args.device, weights=args.weights,
                  precision=precision)  # fmt: skip
    options = dict(quality=args.quality, max_bytes=args.max_bytes,
                   min_cosine=args.min_cosine, entropy=args.entropy)  # fmt: skip
    batch = BATCH if args.batch_size is None else args.batch_size
    settings = dict(workers=args.workers, batch_size=batch, **options)
    compress(codec, (), **settings)  # a wrong option is to be told first
    if args.resume and args.force:
        raise OptionError("--resume keeps what is there, -f replaces it: give one of them")
    begun = _Begun(args.output, resume=bool(args.resume))
    if not args.resume:
        _refuse(args.output, begun, force=args.force)
    sources, root = find(args.inputs, prefix=begun.prefix)
    identity = {"profile": codec.profile.name, "digest": codec.profile.digest.hex(), **options}
    if args.dry_run:
        begun.check(identity, root)
        return _dry_run(args, codec, options, sources, begun)
    if any(source.images for source in sources):
        identity |= _backbone(codec, args.weights, precision)
    begun.check(identity, root)
    mode = "a" if args.resume else "w" if args.force else "x"
    metadata = None if begun.found else {"clipcodec": {**identity, "root": root}}
    writer = create(args.output, mode, metadata=metadata)
    return _Work(args, writer, begun).run(codec, sources, settings)


def _refuse(output: str, begun: _Begun, *, force: bool) -> None:
    """Say early that something is there."""
    if begun.path.is_file() and not force:
        raise OutputExistsError(
            f"{begun.path} exists: --resume goes on with it, adding what is missing; -f begins anew"
        )
    refuse_existing(Path(os.path.realpath(output)), overwrite=True)


def _backbone(codec: Codec, weights: str | None, precision: str) -> dict[str, Any]:
    """What made the embeddings, so that no other goes on with them."""
    from ..models import locate, sha256, spec

    name = codec.backbone_name
    file = locate(spec(name), weights)
    return {"backbone": name, "weights": sha256(file), "precision": precision}


class _Begun:
    """The container to go on with, if there is one: finished or not.

    path   the finished one, else the unfinished one
    part   the unfinished one
    found  is there anything in it
    """

    def __init__(self, output: str, *, resume: bool) -> None:
        target = Path(os.path.realpath(output))
        self.part = target.with_name(target.name + PART)
        self.path = target if target.is_file() else self.part
        self._recorded: Any = {}
        self.found = False
        if resume and self.path.is_file():
            with suppress(TruncatedError), Container(self.path, partial=True) as container:
                self._recorded = container.metadata.get("clipcodec")
                self.found = len(container) > 0 or bool(container.metadata)

    @property
    def prefix(self) -> bool | None:
        """Do ids begin with the directory's name? None: not decided yet."""
        return self._recorded.get("root") is None if self.found and self._recorded else None

    def check(self, identity: dict[str, Any], root: str | None) -> None:
        """Raise OptionError unless streams made so may be added."""
        if not self.found:
            return
        if not isinstance(self._recorded, dict):
            raise OptionError(
                f"{self.path} was not begun by clipcodec compress, so nobody knows with which "
                "options: begin another"
            )
        for key, value in identity.items():
            before = self._recorded.get(key)
            if before != value:
                shown = f"{str(before)[:16]!r}, not {str(value)[:16]!r}"
                raise OptionError(
                    f"{self.path} was begun with {key} {shown}: give the same, or begin another"
                )
        began = self._recorded.get("root")
        if began not in (None, root):
            raise OptionError(
                f"ids in {self.path} are paths in the directory {began!r}: add from that alone, or "
                "begin another with all inputs at once, whose names ids then begin with"
            )

    def ids(self) -> set[str]:
        if not self.found:
            return set()
        with Container(self.path, partial=True) as container:
            return {id for id in container.ids if id is not None}

    def bytes_per_item(self) -> float | None:
        if not self.found:
            return None
        with Container(self.path, partial=True) as container:
            return self.path.stat().st_size / len(container) if len(container) else None


class _Ledger:
    """Which ids are there, and which are under way. Tells of one that comes twice."""

    def __init__(self, there: set[str]) -> None:
        self._there = there
        self._seen: set[str] = set()
        self.skipped = self.failed = 0

    def wanted(self, id: str) -> bool:
        if id in self._seen:
            self.fault(id, InputError("a second image of this id: the first is kept"))
        elif id in self._there:
            self.skipped += 1
        else:
            self._seen.add(id)
            return True
        return False

    def missing(self, id: str) -> bool:
        """`wanted`, without taking note."""
        return id not in self._there

    def fault(self, name: str, error: Exception) -> None:
        self.failed += 1
        _say(f"{'stdin' if name == '-' else name}: {words(error, name)}")


class _Work:
    """One run, from an open writer to a finished container."""

    def __init__(self, args: argparse.Namespace, writer: ContainerWriter, begun: _Begun) -> None:
        self._writer, self._fresh = writer, not begun.found
        self._path = begun.path if args.resume else begun.part  # that is being written
        self._output, self._quiet, self._force = args.output, args.quiet, args.force
        self._ledger = _Ledger(begun.ids())
        self._done = self._bytes = 0

    def run(self, codec: Codec, sources: list[Source], settings: dict[str, Any]) -> int:
        try:
            with self._writer:
                if _total([source for source in sources if source.images], self._ledger) != 0:
                    codec.backbone()  # before the clock starts
                began = time.monotonic()
                self._all(codec, sources, settings)
                if not len(self._writer):
                    raise InputError(f"nothing was compressed, so {self._output} is not made")
        except BaseException:
            if self._fresh and not len(self._writer):
                with suppress(OSError):
                    self._path.unlink()
            else:
                self._say_how_to_go_on()
            raise
        if not self._quiet:
            seconds = max(time.monotonic() - began, 1e-9)
            _say(f"{self._output}: {self._done} compressed, {self._ledger.skipped} there already, "
                 f"{self._ledger.failed} failed; {self._bytes} bytes of streams, "
                 f"{self._done / seconds:.1f} a second")  # fmt: skip
        return 1 if self._ledger.failed else 0

    def _all(self, codec: Codec, sources: list[Source], settings: dict[str, Any]) -> None:
        from tqdm import tqdm

        entries = (entry for source in sources for entry in source.entries(self._ledger.wanted))
        flushed = time.monotonic()
        with (
            tqdm(total=_total(sources, self._ledger), disable=True if self._quiet else None,
                 leave=False, unit="image") as bar,
            closing(compress(codec, entries, **settings)) as results,
        ):  # fmt: skip
            for group in results:
                self._append(group)
                bar.update(len(group))
                if time.monotonic() - flushed > _FLUSH_SECONDS:
                    self._writer.flush()
                    flushed = time.monotonic()

    def _say_how_to_go_on(self) -> None:
        how = "the same command with --resume goes on"
        if self._force:
            how = f"to go on with it give --resume, not -f, with no {self._output} in its way"
        _say(f"what was written is in {self._path}: {how}")

    def _append(self, group: list[Result]) -> None:
        for id, name, stream in group:
            if isinstance(stream, bytes):
                self._writer.append(stream, id)
                self._done += 1
                self._bytes += len(stream)
            else:
                self._ledger.fault(name, stream)


def _total(sources: list[Source], ledger: _Ledger) -> int | None:
    """How many there are to do, if that can be known."""
    if any(source.count is None for source in sources):
        return None
    return sum(1 for source in sources for _ in source.entries(ledger.missing))


def _dry_run(
    args: argparse.Namespace,
    codec: Codec,
    options: dict[str, Any],
    sources: list[Source],
    begun: _Begun,
) -> int:
    """Ids of what would be compressed on stdout, the count on stderr."""
    ledger = _Ledger(begun.ids())
    count = 0
    for source in sources:
        for entry in _looked_at(source, ledger):
            if isinstance(entry.content, Exception):
                ledger.fault(entry.name, entry.content)
            else:
                print(entry.id)
                count += 1
    if not args.quiet:
        size = begun.bytes_per_item() or _stream_size(codec, options)
        about = "size unknown" if size is None else f"about {round(size * count)} bytes"
        _say(f"{args.output}: {count} to compress, {about}; {ledger.skipped} there already, "
             f"{ledger.failed} would fail")  # fmt: skip
    return 1 if ledger.failed else 0


def _looked_at(source: Source, ledger: _Ledger) -> Iterator[Entry]:
    """Entries without the contents of archives, and with an error for a file that is not there."""
    found: list[str] = []

    def wanted(id: str) -> bool:
        if not ledger.wanted(id):
            return False
        if isinstance(source, Archive):
            found.append(id)
            return False
        return True

    for entry in source.entries(wanted):
        content = entry.content
        if isinstance(content, str) and not os.path.exists(content):
            content = ImageFileError(f"{content!r} does not exist: check the path")
        yield entry._replace(content=content)
    for id in found:
        yield Entry(id, id, b"")


def _stream_size(codec: Codec, options: dict[str, Any]) -> float | None:
    """Bytes of a stream with these options, by samples of the profile's statistics."""
    statistics = codec.profile.statistics
    if statistics is None:
        size: int | None = options["max_bytes"]
        return size
    streams = codec.encode_embeddings(statistics.draw(_SAMPLES, seed=0), **options)
    return float(np.mean([len(stream) for stream in streams]))


def _say(text: str) -> None:
    """A line on stderr, not through a progress bar."""
    from tqdm import tqdm

    tqdm.write(f"clipcodec: {text}", file=sys.stderr)
