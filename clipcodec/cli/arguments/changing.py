"""Arguments of delete, update and compact."""

from __future__ import annotations

from . import options
from .options import Verbs, verb
from .usage import ITEMS, OTHER, Parser
from .values import whole


def add(verbs: Verbs) -> None:
    p = verb(
        verbs, "delete", "delete chosen items; `compact` then frees their room",
        page="changing-containers",
        examples=[
            ("Two items, by their ids", "clipcodec delete photos.clpc beach.jpg dog.jpg"),
            ("What a pattern would delete", 'clipcodec delete photos.clpc --match "be*" --dry-run'),
            ("Those of a list, one id per line", "clipcodec delete photos.clpc --ids unwanted.txt"),
        ],
    )  # fmt: skip
    p.add_argument("container", metavar="FILE", help="container (.clpc), which is changed")
    p.add_argument("ids", nargs="*", default=[], metavar="ID", help="items by id: all that have "
                   "it")  # fmt: skip
    group = p.group(ITEMS)
    group.add_argument("--ids", dest="id_list", metavar="FILE", help="also items whose id is in "
                       "this text, one per line; - for stdin")  # fmt: skip
    options.match(p, "also items whose id matches one of these; *, ? and [ab] stand for letters")
    group.add_argument("--index", nargs="+", action="extend", type=whole(), default=[], metavar="N",
                       help="also items by position, from 0, or from the end: -1 is the "
                       "last")  # fmt: skip
    _dry_run(p, "list the items that would be deleted")
    options.quiet(p)

    p = verb(
        verbs, "update", "put streams in place of items of the same ids, or add them",
        page="changing-containers",
        examples=[
            ("The item beach.jpg, or a new one of this id",
             "clipcodec update photos.clpc beach.jpg.clip"),
            ("One stream, by an id that its file does not have",
             "clipcodec update photos.clpc one.jpg.clip --id beach.jpg"),
            ("All items of another container", "clipcodec update photos.clpc more.clpc"),
        ],
    )  # fmt: skip
    p.add_argument("container", metavar="FILE", help="container (.clpc), which is changed")
    p.add_argument("inputs", nargs="+", metavar="INPUT", help="stream (.clip) whose id is its path "
                   "without .clip, or container; - for stdin")  # fmt: skip
    p.group(ITEMS).add_argument("--id", metavar="ID", help="the id of the one stream that is "
                                "given")  # fmt: skip
    options.profile(p, "profile file of private streams in files of their own, to check them")
    _dry_run(p, "list the ids that would be replaced or added")
    options.quiet(p)

    p = verb(
        verbs, "compact", "shrink containers from which items were deleted",
        page="changing-containers",
        examples=[
            ("What it would save", "clipcodec compact photos.clpc --dry-run"),
            ("After many items were deleted, or appended one by one",
             "clipcodec compact photos.clpc"),
        ],
    )  # fmt: skip
    p.add_argument("inputs", nargs="+", metavar="FILE", help="container (.clpc), which is changed")
    _dry_run(p, "say what would be saved")
    options.quiet(p)


def _dry_run(p: Parser, text: str) -> None:
    p.group(OTHER).add_argument("--dry-run", action="store_true", help=f"change nothing: {text}")
