"""`clipcodec embed-text`: texts to a file of embeddings, to search and classify without torch."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from ..errors import OptionError
from ..texts import TextEmbeddings, check_size
from .common import codec_of, progress, refuse_no_folder, refuse_terminal_or_existing, write_output
from .formats import TEXTS, refuse_other_format
from .results import Results
from .terminal import counted, size_text
from .words import read_lines, templates_of

_BATCH = 256  # texts between two steps of the progress bar


def run(args: argparse.Namespace) -> int:
    refuse_other_format(args.output, TEXTS)
    refuse_no_folder(args.output)
    refuse_terminal_or_existing(args.output, force=args.force)
    texts = [text for name in args.inputs for text in read_lines(name)] + list(args.text or [])
    if not texts:
        raise OptionError("no texts: give a file with one per line, or --text")
    check_size(texts)
    codec, templates = codec_of(args), templates_of(args)
    tower = codec.text_tower()

    def batches() -> Iterator[list[str]]:
        for at in range(0, len(texts), _BATCH):
            yield texts[at : at + _BATCH]

    steps = list(batches())
    rows = [
        codec.embed_texts(batch, templates)
        for batch in progress(steps, quiet=args.quiet, unit_scale=_BATCH, unit="text")
    ]
    made = TextEmbeddings(
        tuple(texts), np.concatenate(rows), codec.backbone_name, tower.temperature
    )
    data = made.to_bytes()
    write_output(args.output, data, force=args.force)
    name = counted(len(texts), "text")
    of = f"embeddings of {made.embeddings.shape[1]} dimensions"
    results = Results(args, 1)
    results.done(name, args.output, len(data), words=f"{of}, {size_text(len(data))}")
    return results.end()
