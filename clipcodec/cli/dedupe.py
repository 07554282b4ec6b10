"""`clipcodec dedupe`: a container without items that are equal to another, or nearly."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

from ..container import Deduped, dedupe
from ..errors import OptionError
from .common import (
    STDIO,
    refuse_no_folder,
    refuse_terminal_or_existing,
    write_output,
)
from .containers import binary, opened, require_container
from .formats import CONTAINER, Format, refuse_other_format
from .results import Results
from .terminal import as_json, counted, shown, tell

_REPORT = Format("a report of lines", (".tsv", ".txt", ".jsonl", ".json", ".ndjson"))
_JSON = (".jsonl", ".json", ".ndjson")
_COLUMNS = ("item", "id", "kept_item", "kept_id", "cosine")


def run(args: argparse.Namespace) -> int:
    name = args.container
    outputs = [args.output, *([] if args.report is None else [args.report])]
    if len({*map(os.path.realpath, outputs)}) < len(outputs):
        raise OptionError("-o and --report name the same file")
    for output, option, made in zip(
        outputs, ("-o", "--report"), (CONTAINER, _REPORT), strict=False
    ):
        refuse_other_format(output, made)
        refuse_no_folder(output, option)
        if output != STDIO or made is CONTAINER:
            refuse_terminal_or_existing(output, force=args.force)
    require_container(name)
    with (
        opened(name, profile=args.profile) as container,
        binary(args.output) as out,
    ):
        items = len(container)
        done = dedupe(container, out, cosine=args.cosine, keep=args.keep, overwrite=args.force)
    if args.report == STDIO:
        for row in _cells(done):
            tell(*row)
    elif args.report is not None:
        lines = _json_lines(done) if args.report.lower().endswith(_JSON) else _table(done)
        data = "".join(f"{line}\n" for line in lines).encode()
        write_output(args.report, data, force=args.force)
    Results(args, 1).done(
        name, args.output, done.bytes, was=counted(items, "item"),
        made=counted(done.items, "item"), more=f"{len(done.left_out):,} left out",
    )  # fmt: skip
    return 0


def _rows(done: Deduped) -> Iterator[tuple[int, str | None, int, str | None, float]]:
    cosines = [round(cosine, 6) for cosine in done.cosines.tolist()]
    return zip(
        done.left_out.tolist(), done.left_out_ids, done.kept.tolist(), done.kept_ids, cosines,
        strict=True,
    )  # fmt: skip


def _json_lines(done: Deduped) -> Iterator[str]:
    for row in _rows(done):
        yield as_json(dict(zip(_COLUMNS, row, strict=True)))


def _table(done: Deduped) -> Iterator[str]:
    """Tab-separated; what is not printable in an id is escaped."""
    for row in _cells(done):
        yield "\t".join(map(shown, row))


def _cells(done: Deduped) -> Iterator[tuple[object, ...]]:
    yield _COLUMNS
    for row in _rows(done):
        yield tuple("" if cell is None else cell for cell in row)
