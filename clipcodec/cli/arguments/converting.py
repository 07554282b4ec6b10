"""Arguments of convert."""

from __future__ import annotations

from . import options
from .options import Verbs, verb
from .usage import ITEMS, TABLES
from .values import whole


def add(verbs: Verbs) -> None:
    p = verb(
        verbs, "convert", "containers from and to files of other programs", page="converting",
        examples=[
            ("A Parquet table of streams and ids, and back",
             "clipcodec convert photos.clpc -o photos.parquet"),
            ("Decoded embeddings as an array, with the ids in a text",
             "clipcodec convert photos.clpc -o photos.npy --ids ids.txt"),
            ("Shards of WebDataset, of 10,000 items each",
             'clipcodec convert photos.clpc -o "shards/photos-{000000..}.tar"'),
            ("A faiss index that you have, to 50 bytes a vector on average",
             "clipcodec convert index.faiss -o index.clpc --mean-bytes 50"),
        ],
    )  # fmt: skip
    p.add_argument("input", metavar="INPUT", help="container (.clpc), or - for one on stdin; or "
                   ".parquet, .npy, .faiss, .lance, URI#TABLE of LanceDB, .tar, "
                   '"name-{000000..}.tar"')  # fmt: skip
    options.output(
        p, "file to write, of the same forms; one of the two is a container", required=True
    )
    options.force(p)
    group = p.group(ITEMS)
    group.add_argument("--ids", metavar="FILE", help="for .npy and .faiss: text with the ids, one "
                       "per line; written, or read for a container")  # fmt: skip
    group.add_argument("--shard-items", type=whole(1), metavar="N", help="items of "
                       "each shard (default: 10000)")  # fmt: skip
    options.target(p)
    options.profile(p)
    group = p.group(TABLES)
    group.add_argument("--column", metavar="NAME", help="column of streams or embeddings (default: "
                       "stream; to read, the only one there is)")  # fmt: skip
    group.add_argument("--id-column", metavar="NAME", help="column of ids (default: id)")
    group.add_argument("--embeddings", action="store_true", help="write the decoded embeddings, "
                       "too, in a column `embedding`")  # fmt: skip
    options.quiet(p)
