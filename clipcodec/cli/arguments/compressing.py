"""Arguments of compress, decompress and info."""

from __future__ import annotations

from ..suffixes import CONTAINER_SUFFIX, STREAM_SUFFIX
from . import options
from .options import Verbs, verb


def add(verbs: Verbs) -> None:
    p = verb(
        verbs, "compress", "images or embeddings to streams", page="choosing-a-rate",
        examples=[
            ("Two images, each to the best stream of 50 bytes, in a file beside it",
             "clipcodec compress a.jpg b.png --max-bytes 50"),
            ("A folder of images to one container, 50 bytes each on average",
             "clipcodec compress photos/ -o photos.clpc --mean-bytes 50"),
            ("Embeddings that you have already, to one container, rows.clpc",
             "clipcodec compress rows.npy --ids names.txt"),
            ("Embeddings of any model, by a profile learned from them, which rows.clpc carries",
             "clipcodec compress rows.npy --train --mean-bytes 50"),
        ],
    )  # fmt: skip
    p.add_argument("inputs", nargs="+", metavar="INPUT", help="image, or embeddings as .npy, .npz, "
                   ".safetensors, .pt or .csv; - for stdin; with -o OUT.clpc also a directory, "
                   '"pattern", list.txt or shard.tar')  # fmt: skip
    options.output(p, f"OUT{CONTAINER_SUFFIX}: one container; OUT/: a stream each in a directory; "
                   "a file, or - for stdout (default: beside each input; "
                   f"INPUT{STREAM_SUFFIX}, or for several embeddings a container, "
                   f"{CONTAINER_SUFFIX} in place of .npy)")  # fmt: skip
    p.add_argument("--ids", metavar="FILE", help="text with an id for each row of the embeddings, "
                   "one per line, for the container; an empty line: no id; - for stdin (default: "
                   "rows.npy/0, …)")  # fmt: skip
    options.force(p)
    options.target(p)
    options.profile(p)
    options.backbone(p, options.ENCODER)
    options.weights(p)
    options.own_profile(p)
    options.table(p, "embeddings or images in .parquet inputs")
    options.many(p)
    options.quiet(p)

    p = verb(
        verbs, "decompress", "streams and containers to embeddings", page="containers",
        examples=[
            ("A stream to an array of numpy, a.jpg.npy", "clipcodec decompress a.jpg.clip"),
            ("A container to one array, and its ids to a text",
             "clipcodec decompress photos.clpc -o photos.npy --ids ids.txt"),
            ("For other programs: a line of JSON for each stream",
             "clipcodec decompress a.jpg.clip --json"),
        ],
    )  # fmt: skip
    p.add_argument("inputs", nargs="+", metavar="STREAM", help="stream or container (.clpc) file; "
                   "- for stdin")  # fmt: skip
    options.output(p, ".npy file for all inputs together, a directory for one file each, or - for "
                   f"stdout; default: each input's name with .npy for {STREAM_SUFFIX} or "
                   f"{CONTAINER_SUFFIX}")  # fmt: skip
    p.add_argument("--ids", metavar="FILE", help="write the ids of containers' items, one per line")
    options.partial(p)
    options.force(p)
    options.profile(p, options.PRIVATE)
    options.table(p, "streams in .parquet inputs (default: the one marked so)")
    options.json(p, "one line per stream")
    options.quiet(p)

    p = verb(
        verbs, "info", "what a stream, a container or another file is", page="containers",
        examples=[
            ("A stream: its size, profile and quality", "clipcodec info a.jpg.clip"),
            ("A container: items, sizes, profiles", "clipcodec info photos.clpc"),
            ("Which profiles fit these embeddings", "clipcodec info rows.npy"),
        ],
    )  # fmt: skip
    p.add_argument("inputs", nargs="+", metavar="FILE", help="stream, container (.clpc), "
                   "embeddings, image or Parquet table; - for stdin")  # fmt: skip
    options.partial(p)
    options.profile(p, options.PRIVATE)
    options.json(p, "one line per file")
