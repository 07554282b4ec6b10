"""Arguments of ids, head, cat, merge and split."""

from __future__ import annotations

from . import options
from .options import Verbs, verb

_FILE = "container (.clpc); - for stdin"


def add(verbs: Verbs) -> None:
    p = verb(verbs, "ids", "the ids of the items of containers")
    p.add_argument("inputs", nargs="+", metavar="FILE", help=_FILE)
    forms = p.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="JSON on stdout, one line per item")
    forms.add_argument("-z", "--null", action="store_true", help="end each id with a NUL, not a "
                       "line break: for xargs -0")  # fmt: skip
    options.partial(p)
    options.quiet(p)

    p = verb(verbs, "head", "the first items of a container: id, profile, quality, bytes")
    p.add_argument("container", metavar="FILE", help=_FILE)
    p.add_argument("-n", dest="count", type=int, default=10, metavar="N",
                   help="how many (default: 10)")  # fmt: skip
    p.add_argument("--json", action="store_true", help="JSON on stdout, one line per item")
    options.partial(p)
    options.profile(p, "profile file that private streams were made with")

    p = verb(verbs, "cat", "streams of chosen items of a container")
    p.add_argument("container", metavar="FILE", help=_FILE)
    p.add_argument("ids", nargs="*", metavar="ID", help="items by id; if several items have it, "
                   "the last")  # fmt: skip
    p.add_argument("--index", nargs="+", action="extend", type=int, default=[], metavar="N",
                   help="items by position, from 0, or from the end: -1 is the last; they follow "
                   "those chosen by id")  # fmt: skip
    p.add_argument("-o", "--output", metavar="OUT", help="one item: a file (default: stdout); "
                   "any number: OUT.clpc, or DIR/ for a file each")  # fmt: skip
    options.partial(p)
    options.force(p)
    options.quiet(p)

    p = verb(verbs, "merge", "containers and streams to one container")
    p.add_argument("inputs", nargs="+", metavar="FILE", help="container (.clpc), or stream (.clip) "
                   "whose id becomes its path without .clip; - for stdin")  # fmt: skip
    p.add_argument("-o", "--output", required=True, metavar="OUT.clpc", help="container to write; "
                   "- for stdout")  # fmt: skip
    p.add_argument("--same-id", choices=("keep", "first", "last", "refuse"), default="keep",
                   help="of items with the same id keep all (default: by its id the last is "
                   "found), the first, the last; or refuse to merge")  # fmt: skip
    options.partial(p)
    options.profile(p, "profile file of private streams in files of their own, to check them")
    options.force(p)
    options.quiet(p)

    p = verb(verbs, "split", "a container to several, or to a file for each stream")
    p.add_argument("container", metavar="FILE", help=_FILE)
    p.add_argument("-o", "--output", required=True, metavar="DIR", help="directory for the parts")
    how = p.add_mutually_exclusive_group(required=True)
    how.add_argument("--items", type=int, metavar="N", help="containers of N items each: "
                     "FILE.0000.clpc, FILE.0001.clpc, …")  # fmt: skip
    how.add_argument("--parts", type=int, metavar="N", help="N containers of as many items each")
    how.add_argument("--streams", action="store_true", help="a file for each stream, ID.clip")
    options.partial(p)
    options.force(p)
    options.quiet(p)
