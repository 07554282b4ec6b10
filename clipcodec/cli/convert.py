"""`clipcodec convert`: a container from and to files of other programs."""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from typing import Any

from ..container import Container
from ..errors import OptionError
from ..integrations.converting import Converted, convert
from .common import STDIO, refuse_no_folder, target_of
from .containers import is_container, opened, require_container
from .inputs import is_pipe, label_of
from .results import Results
from .spelling import typed
from .suffixes import CONTAINER_SUFFIX
from .terminal import counted, note


def run(args: argparse.Namespace) -> int:
    name, output = args.input, args.output
    if output == STDIO:
        raise OptionError("-o -: the form of a file is known by its name: name one")
    if "://" not in output:
        refuse_no_folder(output)
    if is_container(name) or name.lower().endswith(CONTAINER_SUFFIX):
        require_container(name)
        with opened(name, profile=args.profile) as container:
            done = _convert(container, args)
    elif is_pipe(name):
        what = label_of(name)
        raise OptionError(f"{what} is no container, and files of other forms are not read in pipes")
    else:
        done = _convert(name, args)
    if not args.quiet:
        for words in done.notes:
            note(f"{label_of(name)}: {typed(words)}")
    before = os.path.getsize(name) if os.path.isfile(name) else None
    Results(args, 1).done(name, output, done.bytes, before, was=counted(done.items, "item"))
    return 0


def _convert(source: str | Container, args: argparse.Namespace) -> Converted:
    options: dict[str, Any] = asdict(target_of(args))
    profile = None if isinstance(source, Container) else args.profile
    return convert(
        source, args.output, ids=args.ids, column=args.column, id_column=args.id_column,
        embeddings=args.embeddings, shard_items=args.shard_items, profile=profile,
        overwrite=args.force, **options,
    )  # fmt: skip
