"""Arguments of compress, decompress and info."""

from __future__ import annotations

from ..suffixes import STREAM_SUFFIX
from . import options
from .options import Verbs, verb


def add(verbs: Verbs) -> None:
    p = verb(verbs, "compress", "images or embeddings to streams")
    p.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="image, or embeddings as .npy, .npz, .safetensors, .pt or .csv; - for stdin; "
        'with -o OUT.clpc also a directory, "pattern", list.txt or shard.tar',
    )
    p.add_argument("-o", "--output", metavar="OUT", help=f"file, directory (several inputs) or - "
                   f"for stdout; default: INPUT{STREAM_SUFFIX}; OUT.clpc: a container")  # fmt: skip
    options.profile(p)
    options.target(p)
    options.backbone(p)
    options.table(p, "embeddings or images in .parquet inputs")
    options.many(p)
    options.force(p)
    options.quiet(p)

    p = verb(verbs, "decompress", "streams and containers to embeddings")
    p.add_argument("inputs", nargs="+", metavar="STREAM", help="stream or container (.clpc) file; "
                   "- for stdin")  # fmt: skip
    p.add_argument("-o", "--output", metavar="OUT", help=".npy file for all inputs together, or - "
                   "for stdout; default: each input's name with .npy for "
                   f"{STREAM_SUFFIX}")  # fmt: skip
    p.add_argument("--json", action="store_true", help="JSON on stdout, one line per stream")
    p.add_argument("--ids", metavar="FILE", help="write the ids of containers' items, one per line")
    options.partial(p)
    options.profile(p, "profile file that private streams were made with")
    options.table(p, "streams in .parquet inputs (default: the one marked so)")
    options.force(p)
    options.quiet(p)

    p = verb(verbs, "info", "what a stream, a container or another file is", module="decompress")
    p.add_argument("inputs", nargs="+", metavar="FILE", help="stream, container (.clpc), "
                   "embeddings, image or Parquet table; - for stdin")  # fmt: skip
    p.add_argument("--json", action="store_true", help="JSON on stdout, one line per file")
    options.partial(p)
    options.profile(p, "profile file that private streams were made with")
