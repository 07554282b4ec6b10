"""Arguments of ids, head, cat, merge and split."""

from __future__ import annotations

import argparse

from . import options
from .options import Verbs, verb
from .usage import FORM, INPUT_OUTPUT
from .values import whole

_FILE = "container (.clpc); - for stdin"
_PRIVATE = "profile file that private streams were made with"
_PAGE = "containers"


def add(verbs: Verbs) -> None:
    p = verb(
        verbs, "ids", "the ids of the items of containers", page=_PAGE,
        examples=[
            ("A line for each item, empty if it has no id", "clipcodec ids photos.clpc"),
            ("The streams of some of them, a file each",
             "clipcodec ids photos.clpc --null | grep -z beach | xargs -0 clipcodec cat "
             "photos.clpc -o beach/"),
        ],
    )  # fmt: skip
    p.add_argument("inputs", nargs="+", metavar="FILE", help=_FILE)
    options.partial(p)
    forms = p.group(FORM).add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="JSON on stdout, one line per item")
    forms.add_argument("-z", "--null", action="store_true", help="end each id with a NUL, not a "
                       "line break, and escape nothing: for xargs -0")  # fmt: skip
    options.quiet(p)

    p = verb(
        verbs, "head", "the first items of a container: id, profile, quality, bytes", page=_PAGE,
        examples=[
            ("The first ten", "clipcodec head photos.clpc"),
            ("All that another program wants to know of three",
             "clipcodec head photos.clpc -n 3 --json"),
        ],
    )  # fmt: skip
    p.add_argument("container", metavar="FILE", help=_FILE)
    p.add_argument("-n", dest="count", type=whole(1), default=10, metavar="N",
                   help="how many (default: 10)")  # fmt: skip
    options.partial(p)
    options.profile(p, _PRIVATE)
    options.json(p, "one line per item")

    p = verb(
        verbs, "cat", "streams of chosen items of a container", page=_PAGE,
        examples=[
            ("The stream of one item", "clipcodec cat photos.clpc beach.jpg -o beach.clip"),
            ("Two items in a container of their own",
             "clipcodec cat photos.clpc beach.jpg dog.jpg -o two.clpc"),
            ("The first and the last item, a file each",
             "clipcodec cat photos.clpc --index 0 -1 -o some/"),
        ],
    )  # fmt: skip
    p.add_argument("container", metavar="FILE", help=_FILE)
    p.add_argument("ids", nargs="*", default=[], metavar="ID", help="items by id; if several "
                   "items have it, the last")  # fmt: skip
    p.add_argument("--index", nargs="+", action="extend", type=_position, default=[], metavar="N",
                   help="items by position, from 0, or from the end: -1 is the last; they follow "
                   "those chosen by id")  # fmt: skip
    options.output(p, "one item: a file (default: stdout); any number: OUT.clpc, or DIR/ for a "
                   "file each")  # fmt: skip
    options.force(p)
    options.partial(p)
    options.quiet(p)

    p = verb(
        verbs, "merge", "containers and streams to one container", page=_PAGE,
        examples=[
            ("Containers, one after the other", "clipcodec merge a.clpc b.clpc -o all.clpc"),
            ("Streams in files of their own", "clipcodec merge streams/*.clip -o all.clpc"),
            ("Where ids are the same, what came last", "clipcodec merge old.clpc new.clpc "
             "--same-id last -o all.clpc"),
        ],
    )  # fmt: skip
    p.add_argument("inputs", nargs="+", metavar="FILE", help="container (.clpc), or stream (.clip) "
                   "whose id becomes its path without .clip; - for stdin")  # fmt: skip
    options.output(p, "container to write; - for stdout", metavar="OUT.clpc", required=True)
    options.force(p)
    options.choice(p.group(INPUT_OUTPUT), "--same-id", ("keep", "first", "last", "refuse"),
                   default="keep", help="of items with the same id: keep all (default; the id "
                   "finds the last), only the first, only the last; or refuse to "
                   "merge")  # fmt: skip
    options.partial(p)
    options.profile(p, "profile file of private streams in files of their own, to check them")
    options.quiet(p)

    p = verb(
        verbs, "split", "a container to several, or to a file for each stream", page=_PAGE,
        examples=[
            ("Containers of a thousand items, parts/photos.0000.clpc, …",
             "clipcodec split photos.clpc -o parts/ --items 1000"),
            ("Four containers", "clipcodec split photos.clpc -o parts/ --parts 4"),
            ("A file for each stream, streams/beach.jpg.clip, …",
             "clipcodec split photos.clpc -o streams/ --streams"),
        ],
    )  # fmt: skip
    p.add_argument("container", metavar="FILE", help=_FILE)
    options.output(p, "directory for the parts", metavar="DIR", required=True)
    how = p.group(INPUT_OUTPUT).add_mutually_exclusive_group(required=True)
    how.add_argument("--items", type=whole(1), metavar="N", help="containers of N items each")
    how.add_argument("--parts", type=whole(1), metavar="N", help="N containers, whose numbers of "
                     "items differ by one at most")  # fmt: skip
    how.add_argument("--streams", action="store_true", help="a file for each stream, named by its "
                     "id")  # fmt: skip
    options.force(p)
    options.partial(p)
    options.quiet(p)


def _position(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        words = f"{text}: expected a position, such as 0 or -1"
        raise argparse.ArgumentTypeError(words) from None
