"""One job: many inputs into one container. What it holds already, what is new, what failed."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..codec import Codec
from ..container import Container, ContainerWriter
from ..container.embedded import embedded_at
from ..container.profiles import profile_of, refuse_registered
from ..errors import (
    ClipcodecError,
    InputError,
    OptionError,
)
from ..models import BATCH
from ..target import Target
from .entries import LeftOut, Source, Tally
from .estimating import Sample, estimate
from .given_ids import GivenIds
from .ledger import Ledger, left_of, listed, row_parts, sum_left
from .outcome import Failure, JobResult, Plan
from .pipeline import Result, check_settings, compress, started
from .resume import SETTLED, Begun, carried, refuse
from .sources import find
from .steering import ContainerSize, Steering, counted, settled
from .stored import deliver, written_to

if TYPE_CHECKING:
    from ..profile.registry import ProfileLike
    from .workers import Workers

FLUSH_SECONDS = 30.0  # what is done in this time may be lost by a power cut
_NAMES_SHOWN = 5  # of what is left out for one reason
_FEW = 4096  # rows of arrays that are encoded before workers would have started

Mode = Literal["new", "resume", "replace"]
_WRITER_MODES = {"new": "x", "resume": "a", "replace": "w"}

PathLike = str | os.PathLike[str]
Progress = Callable[[int, "int | None"], object]


class Job:
    """Compress many images or embeddings into one container.

    After a run that raised, `unfinished` is the path of what it has written, if anything; mode
    "resume" goes on with that. A container that goes into an object store is written to a file in
    the working directory first, named after the object, and uploaded when it is whole.

    Args:
        sources: Directories, "patterns", lists (.txt), archives (.tar), arrays (.npy), images, or
            "-" for an archive on stdin; docs/images-at-scale.md says what is taken of each and
            which ids it gets.
        out: The container: a path, or a URL of an object store.
        target: Size or fidelity of every stream; None: the profile's default quality. mean_bytes is
            of what an item takes in the container, on average: arrays are sampled first, and all
            rows get one quality; with images among the sources, the quality is found on the first
            512 items, and then changed a little every 256.
        profile: As for `Codec`; or the path of a container that carries one.
        backbone: As for `Codec`.
        device: As for `Codec`.
        weights: As for `Codec`.
        precision: As for `Codec`.
        workers: Processes that decode images and encode embeddings; 0: this process does all the
            work; None: one per core, but 0 for a few rows of arrays. A script needs
            `if __name__ == "__main__":` for them.
        batch_size: Images that the backbone embeds at a time.
        mode: "new": raise OutputExistsError if the container exists; "resume": add what is missing,
            with the options that it was begun with, also to a finished file, but not to an object
            of a store; "replace": begin anew.
        embed_profile: Put the profile, a private one, into the new container, which then is read
            without another file. Mode "resume" without a profile takes the one that the container
            carries.
        embeddings: Of images, by their ids: what the same backbone made of them before, (D,) of
            unit norm. They are not embedded again, unless `decode` is "device".
        ids: Of the rows of arrays, one for each row of all sources together, None for none; instead
            of `rows.npy/0`, … An id may be given to several rows, but not in mode "resume", which
            tells rows by their ids. Not for images, whose ids are their paths.
        decode: "exact": Pillow decodes and resizes, as open_clip does; "device": of JPEGs without
            odd features this is done where the backbone runs, which is faster on a GPU and changes
            the embeddings a little. Mode "resume" refuses another than the container has.

    Attributes:
        carried: Whether the profile is the one that the container to go on with carries.

    Raises:
        OptionError: An option is out of range, there are no sources, or the profile to embed is a
            registered one.
        ProfileError: There is no such profile or backbone.
        WeightsError: The profile's file is missing or damaged.
        DecodeError: The profile that a container carries is damaged.

    Examples:
        >>> from clipcodec.bulk import Job, Target
        >>> job = Job(["photos/", "embeddings.npy"], "new.clpc", Target(quality=20), workers=0)
        >>> result = job.run(on_failure=lambda failure: print(failure.name, failure.error))
        >>> result.compressed
        103
    """

    def __init__(
        self,
        sources: PathLike | Iterable[PathLike],
        out: PathLike,
        target: Target | None = None,
        *,
        profile: ProfileLike = None,
        backbone: str | None = None,
        device: str | None = None,
        weights: PathLike | None = None,
        precision: str = "fp32",
        workers: int | None = None,
        batch_size: int = BATCH,
        mode: Mode = "new",
        embed_profile: bool = False,
        embeddings: Mapping[str, Any] | None = None,
        ids: Sequence[str | None] | None = None,
        decode: str = "exact",
    ) -> None:
        if isinstance(sources, (str, os.PathLike)):
            sources = [sources]
        self.sources = [os.fspath(name) for name in sources]
        self.out = os.fspath(out)
        self.target = target or Target()
        if mode not in _WRITER_MODES:
            raise OptionError(f"mode={mode!r}: expected {', '.join(_WRITER_MODES)}")
        found = carried(self.out) if profile is None and mode == "resume" else None
        self.carried = found is not None
        if profile is not None:
            found = profile_of(profile)
        self.codec = Codec(
            found, backbone=backbone, device=device, weights=weights, precision=precision
        )
        self.unfinished: Path | None = None
        self._weights, self._precision, self._decode = weights, precision, decode
        self._workers, self._batch_size, self._mode = workers, batch_size, mode
        self.target.check(self.codec.profile)
        check_settings(workers, batch_size, decode)
        self._embed = embed_profile or self.carried
        self._embeddings = embeddings or {}
        self._given = None if ids is None else GivenIds(ids)
        if self._given is not None and mode == "resume":
            self._given.check_distinct()
        if self._embed:
            refuse_registered(self.codec.profile)
        if not self.sources:
            raise OptionError("no sources: give one at least")

    def __repr__(self) -> str:
        from ..system.shown import named, shown

        def parts() -> list[object]:
            to = f"{named(self.sources)} to {self.out!r}"
            return [f"from {to}", repr(self.target), f"profile {self.codec.profile.name!r}",
                    f"mode {self._mode!r}"]  # fmt: skip

        return shown("bulk.Job", parts)

    def plan(self) -> Plan:
        """Say what `run` would do. Nothing is written, no image decoded, no backbone loaded.

        Returns:
            Ids, failures, and about how many bytes.

        Raises:
            OutputExistsError: The container exists, and the mode is "new".
            OptionError: In mode "resume", the container was begun with other options.

        Examples:
            >>> from clipcodec.bulk import Job
            >>> Job("embeddings.npy", "new.clpc", clipcodec.Target(mean_bytes=50)).plan()
            <clipcodec.bulk.Plan: 100 inputs to compress, about 5.0 kB>
        """
        with Begun(self.out, resume=self._mode == "resume") as begun:
            sources, root = self._find(begun)
            begun.check(self._identity(), root)
            ledger = Ledger(self._there(begun))
            bytes_per_item = begun.bytes_per_item
        ids: list[str] = []
        rows = Sample()
        for source in sources:
            for entry in listed(source, ledger):
                if isinstance(entry.content, ClipcodecError):
                    ledger.fail(entry.name, entry.content, entry.rows)
                else:
                    ids.append(entry.id if self._given is None else self._given.of(entry.id) or "")
                    if isinstance(entry.content, np.ndarray):
                        rows.add(entry.content)
        about = estimate(self.codec, self.target, len(ids) - rows.count, rows, bytes_per_item)
        left_out = _left_out(sources)
        _warn(left_out)
        return Plan(ids, ledger.there_already, ledger.failures, about, left_out)

    def run(
        self,
        progress: Progress | None = None,
        on_failure: Callable[[Failure], object] | None = None,
    ) -> JobResult:
        """Compress what is missing. An input that fails does not stop the others.

        If it raises, or is interrupted, what was written stays (`unfinished`); mode "resume" goes
        on with it.

        Args:
            progress: Called with how many images and rows are done, and how many there are to do or
                None if that is unknown: once at the start, then every time some are done.
            on_failure: Called with each failure when it is found, not only at the end.

        Returns:
            How many were compressed, and what failed.

        Raises:
            InputError: There is nothing at all to put into a new container.
            OutputExistsError: The container exists, and the mode is "new".
            LockedError: Another process writes it.
            WorkerError: A worker was killed.
            WeightsError: The backbone cannot be loaded.
            OSError: The container cannot be written; of an object store, StoreError is one.

        Examples:
            >>> from clipcodec.bulk import Job
            >>> result = Job("photos/", "new.clpc", clipcodec.Target(quality=20), workers=0).run()
            >>> result.compressed, clipcodec.open("new.clpc").ids
            (3, ['cat.jpg', 'dog.jpg', 'photo.jpg'])
        """
        self.unfinished = None
        with Begun(self.out, resume=self._mode == "resume") as begun:
            sources, root = self._find(begun)
            identity = self._identity()
            if any(source.images for source in sources):
                identity |= self._backbone_identity()
            begun.check(identity, root)
            ledger = Ledger(self._there(begun), on_failure)
        target, steering = self.target, None
        if target.mean_bytes is not None:
            target, steering = self._to_mean(begun, sources, ledger)
        if target is not self.target:
            identity |= {SETTLED: {"quality": target.quality, "weight": target.weight}}
        for name in ("decode", "ids"):
            if identity.get(name, "") is None:
                del identity[name]  # as in containers of older releases
        metadata = None if begun.found else {"clipcodec": {**identity, "root": root}}
        writer = ContainerWriter(
            written_to(self.out), _WRITER_MODES[self._mode], metadata=metadata, survey=begun.survey,
            profile=self.codec.profile if self._embed else None,
        )  # fmt: skip
        run = _Run(writer, ledger, progress or (lambda done, total: None), self._given)
        began = time.monotonic()
        try:
            with writer, ExitStack() as stack:
                executor = self._started(stack, sources, ledger, target)  # before the clock starts
                began = time.monotonic()
                total = sum_left(sources, ledger)
                run.work(self._results(sources, ledger, target, steering, executor), total)
                left_out = _left_out(sources)
                if not len(writer):
                    _warn(left_out)
                    first = next((failure.error for failure in ledger.failures), None)
                    raise InputError(
                        f"nothing was compressed, so {self.out} is not made"
                    ) from first
                items = len(writer)
        except BaseException:
            path = begun.path if self._mode == "resume" else begun.part
            if begun.found or len(writer):
                self.unfinished = path
            else:
                with suppress(OSError):
                    path.unlink()
            raise
        seconds = max(time.monotonic() - began, 1e-9)
        _warn(left_out)
        written = written_to(self.out)
        found = embedded_at(written)
        result = JobResult(
            run.compressed, ledger.there_already, ledger.failures, run.bytes, seconds,
            _counted(written) / items, steering is not None and steering.adapted, left_out,
            len(found.block) if found else 0, os.path.getsize(written),
        )  # fmt: skip
        try:
            deliver(self.out, self._mode)
        except BaseException:
            self.unfinished = Path(os.path.realpath(written))
            raise
        return result

    def _find(self, begun: Begun) -> tuple[list[Source], str | None]:
        """The sources, and the directory that ids are relative to; refuses an existing output."""
        refuse(self.out, self._mode)
        sources, root = find(self.sources, prefix=begun.prefix, check_width=self.codec.check_width)
        if self._given is not None:
            self._given.check(sources)
        return sources, root

    def _there(self, begun: Begun) -> set[str]:
        """What is in the container already: ids, or the keys of the rows that are given them."""
        return begun.ids() if self._given is None else self._given.keys(begun.ids())

    def _started(
        self, stack: ExitStack, sources: list[Source], ledger: Ledger, target: Target
    ) -> Workers | None:
        """Workers and backbone, if there are images to do."""
        left = [left_of(source, ledger) for source in sources if source.images]
        if not any(count != 0 for count in left):
            return None
        images = None if None in left else sum(count or 0 for count in left)
        return stack.enter_context(started(self.codec, target, self._workers, images))

    def _results(
        self, sources: list[Source], ledger: Ledger, target: Target, steering: Steering | None,
        executor: Workers | None,
    ) -> Any:  # fmt: skip
        known = self._embeddings if self._decode == "exact" else {}  # these were made by that
        entries = (
            entry._replace(content=known[entry.id], ours=True)
            if entry.id in known and isinstance(entry.content, (str, bytes))
            else entry
            for source in sources
            for entry in source.entries(ledger.wanted)
        )
        return compress(
            self.codec, entries, target, workers=self._chosen_workers(sources),
            batch_size=self._batch_size, steering=steering, executor=executor,
            decode=self._decode,
        )  # fmt: skip

    def _chosen_workers(self, sources: list[Source]) -> int | None:
        if self._workers is None and not any(source.images for source in sources):
            rows = sum(source.count or 0 for source in sources)
            return 0 if rows <= _FEW else None
        return self._workers

    def _to_mean(
        self, begun: Begun, sources: list[Source], ledger: Ledger
    ) -> tuple[Target, Steering | None]:
        """One target for all items, where they are known in whole; else what steers them."""
        known = not any(source.images for source in sources)
        if known and begun.settled is not None:
            point = begun.settled
            same = replace(self.target, mean_bytes=None, quality=point.quality, weight=point.weight)
            return same, None
        if known and not begun.found:
            found = settled(
                self.codec, self.target, lambda: self._row_parts(sources, ledger),
                in_order=self._given is not None,
            )  # fmt: skip
            if found is not None:
                return found, None
        size = ContainerSize(begun.size, begun.items)
        left = sum_left(sources, ledger)
        return self.target, Steering(self.codec, self.target, size, left)

    def _row_parts(self, sources: list[Source], ledger: Ledger) -> Iterator[tuple[list[str], Any]]:
        """As `row_parts`, with the ids that will be written."""
        for keys, rows in row_parts(sources, ledger):
            given = self._given
            yield keys if given is None else [given.of(key) or "" for key in keys], rows

    # identity: what must be the same for all items of a container

    def _identity(self) -> dict[str, Any]:
        """The profile and the options, as the metadata of the container keep them."""
        profile = self.codec.profile
        ids = None if self._given is None else "given"
        return {"profile": profile.name, "digest": profile.digest.hex(), **self.target.identity(),
                "ids": ids}  # fmt: skip

    def _backbone_identity(self) -> dict[str, Any]:
        """What makes the embeddings."""
        from ..models import locate, sha256, spec

        name = self.codec.backbone_name
        weights = sha256(locate(spec(name), self._weights))
        decode = None if self._decode == "exact" else self._decode
        return {"backbone": name, "weights": weights, "precision": self._precision,
                "decode": decode}  # fmt: skip


def _counted(path: str) -> int:
    with Container(path) as container:
        return counted(container.survey)


class _Run:
    """Writes results into an open container, and counts them."""

    def __init__(
        self, writer: ContainerWriter, ledger: Ledger, progress: Progress, given: GivenIds | None
    ) -> None:
        self._writer, self._ledger, self._progress = writer, ledger, progress
        self._given = given
        self.compressed = self.bytes = 0

    def work(self, groups: Any, total: int | None) -> None:
        done = 0
        flushed = time.monotonic()
        self._progress(done, total)
        with closing(groups):  # ends the workers
            for group in groups:
                self._append(group)
                done += sum(result.rows for result in group)
                self._progress(done, total)
                if time.monotonic() - flushed > FLUSH_SECONDS:
                    self._writer.flush()
                    flushed = time.monotonic()

    def _append(self, group: list[Result]) -> None:
        for id, name, stream, rows in group:
            if isinstance(stream, ClipcodecError):
                self._ledger.fail(name, stream, rows)
            else:
                self._writer.append(stream, id if self._given is None else self._given.of(id))
                self.compressed += 1
                self.bytes += len(stream)


def _left_out(sources: list[Source]) -> list[LeftOut]:
    tally = Tally()
    for source in sources:
        tally.update(source.left_out)
    return tally.found()


def _warn(left_out: list[LeftOut]) -> None:
    for found in left_out:
        more = found.count - _NAMES_SHOWN
        shown = ", ".join(found.names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
        warnings.warn(f"not taken: {found.count} {found.why}: {shown}", UserWarning, stacklevel=3)
