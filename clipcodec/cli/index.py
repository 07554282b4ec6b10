"""`clipcodec search SOURCE --index FILE`: makes the container to be searched of SOURCE first.

And `--save-index FILE`: keeps the decoded rows, to search the same containers faster next time.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict

from ..bulk.stored import written_to
from ..container import Container
from ..container.growing import PART
from ..errors import DecodeError, OptionError, placed
from ..retrieval import SearchIndex
from ..retrieval.writing import check_target
from ..system.stores import is_url, shown_url
from .common import STDIO, codec_of, progress_bar, target_of
from .compress_many import run as compress_many
from .formats import CONTAINER, INDEX, TABLE, known, refuse_other_format
from .inputs import remote
from .results import Results, size_of
from .terminal import counted, say


def indexed(args: argparse.Namespace) -> bool:
    """Make or bring up to date the container `args.index` of `args.container`.

    Returns False if some inputs failed; each was named, and the others can be searched.

    A folder, archive, list or file of embeddings is compressed as by `compress --resume`: what the
    container holds is kept, and what is new is added. A table is compressed once, and so is what
    goes into an object store, where nothing can be added.
    """
    if args.index == STDIO:
        raise OptionError("--index -: stdout has the results; name a file")
    refuse_other_format(args.index, CONTAINER)
    if len(args.container) > 1:
        raise OptionError("--index makes a container of one source: name one")
    source = args.container[0]
    what = known(source)
    if what == CONTAINER:
        raise OptionError(f"{source} is a container already: leave out --index")
    if (what == TABLE or is_url(args.index)) and _is_there(args.index):
        say(f"{args.index}: used as it is; delete it to make it anew from {source}")
        return True
    if what == TABLE:
        _index_table(source, args)
        return True
    job = argparse.Namespace(**vars(args))
    job.inputs, job.output, job.force, job.dry_run = [source], args.index, False, None
    job.ids = None  # rows are called by their places
    file = written_to(args.index)
    job.resume = os.path.exists(file) or os.path.exists(file + PART) or None
    job.workers = job.batch_size = job.precision = job.decode = None
    job.train = job.embed_profile = None
    return compress_many(job) == 0


def saved_index(path: str, containers: list[Container], args: argparse.Namespace) -> SearchIndex:
    """The index `path` of these containers: made if it is not there, brought up to date if it is.

    Raises OutputExistsError if it is another kind of file; DecodeError if a container is damaged.
    """
    refuse_other_format(path, INDEX)
    check_target(path)
    try:
        index = SearchIndex.open(path, profile=args.profile, device=args.device)
        updated = index.update(containers)
    except FileNotFoundError:
        return built_index(path, containers, args)
    except DecodeError as error:
        if not is_of_index(error, path):
            raise
        say(f"{error}; it is built again")
        return built_index(path, containers, args)
    index.save()
    if updated.added or updated.dropped:
        say(f"{path}: {counted(updated.added, 'item')} added, {updated.dropped:,} dropped")
    return index


def is_of_index(error: DecodeError, path: str) -> bool:
    """Is it the index that is damaged, or of another release? It can be built again."""
    return error.source in (path, os.path.abspath(path), shown_url(path))


def built_index(path: str, containers: list[Container], args: argparse.Namespace) -> SearchIndex:
    """A new index of these containers, in the file `path`."""
    with progress_bar(quiet=args.quiet, unit="item", unit_scale=True) as show:
        return SearchIndex.build(
            containers, path, progress=show, profile=args.profile, device=args.device
        )


def _is_there(name: str) -> bool:
    """Is there a file, or an object, of this name?"""
    if not is_url(name):
        return os.path.exists(name)
    try:
        remote(name)
    except FileNotFoundError:
        return False
    return True


def _index_table(source: str, args: argparse.Namespace) -> None:
    """Streams of a table's column, with row numbers as ids; a null has none."""
    from ..container import create
    from ..integrations.parquet import column_profile, read_streams

    codec, target = codec_of(args), target_of(args)
    target.check(codec.profile)
    with placed(source=source):
        carried = column_profile(source, args.column)
    done = kept = 0
    with (
        progress_bar(quiet=args.quiet, unit="row", unit_scale=True) as show,
        # What a run that was interrupted left is made anew: it may be of another column or size.
        create(
            args.index, "w", metadata={"source": os.path.basename(source)}, profile=carried
        ) as writer,
        placed(source=source),
    ):
        for streams in read_streams(source, args.column, profile=codec, **asdict(target)):
            for row, stream in enumerate(streams, done):
                if stream is not None:
                    writer.append(stream, id=str(row))
                    kept += 1
            done += len(streams)
            show(done, None)
    results = Results(args, 1)
    before, after = size_of(source), size_of(args.index)
    empty = f"{done - kept:,} without a stream" if kept < done else ""
    results.done(source, args.index, after, before, was=counted(kept, "row"), more=empty)
