"""Arguments of ids, head, cat, filter, dedupe, merge and split."""

from __future__ import annotations

from . import options
from .options import Verbs, choice, verb
from .usage import FORM, ITEMS
from .values import number, whole

_FILE = "container (.clpc); - for stdin"


def add(verbs: Verbs) -> None:
    p = verb(
        verbs, "ids", "the ids of the items of containers", page="containers",
        examples=[
            ("One per line", "clipcodec ids photos.clpc"),
            ("With the position of each, for programs", "clipcodec ids photos.clpc --json"),
            ("For names with line breaks: xargs -0 reads this", "clipcodec ids -z photos.clpc"),
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
        verbs, "head", "the first items of a container: id, profile, quality, bytes",
        page="containers",
        examples=[
            ("The first ten", "clipcodec head photos.clpc"),
            ("The first hundred, for programs", "clipcodec head photos.clpc -n 100 --json"),
        ],
    )  # fmt: skip
    p.add_argument("container", metavar="FILE", help=_FILE)
    options.partial(p)
    p.group(ITEMS).add_argument("-n", dest="count", type=whole(1), default=10, metavar="N",
                                help="how many (default: 10)")  # fmt: skip
    options.profile(p, options.PRIVATE)
    options.json(p, "one line per item")

    p = verb(
        verbs, "cat", "streams of chosen items of a container", page="containers",
        examples=[
            ("One item, by its id, to a file", "clipcodec cat photos.clpc beach.jpg -o beach.clip"),
            ("The first and the last, to a container of two",
             "clipcodec cat photos.clpc --index 0 -1 -o two.clpc"),
            ("A stream in a file for each",
             "clipcodec cat photos.clpc beach.jpg hill.jpg -o streams/"),
        ],
    )  # fmt: skip
    p.add_argument("container", metavar="FILE", help=_FILE)
    p.add_argument("ids", nargs="*", default=[], metavar="ID", help="items by id; if several "
                   "items have it, the last")  # fmt: skip
    options.output(p, "one item: a file (default: stdout); any number: OUT.clpc, or DIR/ for a "
                   "file each")  # fmt: skip
    options.partial(p)
    options.force(p)
    p.group(ITEMS).add_argument("--index", nargs="+", action="extend", type=whole(), default=[],
                                metavar="N", help="items by position, from 0, or from the end: -1 "
                                "is the last; they follow those chosen by id")  # fmt: skip
    options.quiet(p)

    p = verb(
        verbs, "filter", "copy chosen items to a new container", page="changing-containers",
        examples=[
            ("Items whose ids are in a list, one per line",
             "clipcodec filter photos.clpc --ids wanted.txt -o wanted.clpc"),
            ("By patterns; * stands for slashes, too",
             'clipcodec filter photos.clpc --match "*.jpg" --not-match "be*" -o some.clpc'),
        ],
    )  # fmt: skip
    p.add_argument("container", metavar="FILE", help=_FILE)
    options.output(p, "container to write; - for stdout", metavar="OUT.clpc", required=True)
    options.partial(p)
    options.force(p)
    p.group(ITEMS).add_argument("--ids", metavar="FILE", help="only items whose id is in this "
                                "text, one per line; - for stdin")  # fmt: skip
    options.match(p, "only items whose id matches one of these; *, ? and [ab] stand for letters")
    options.not_match(p)
    p.group(ITEMS).add_argument("--index", nargs="+", action="extend", type=whole(), metavar="N",
                                help="only items at these positions, from 0, or from the end: -1 "
                                "is the last")  # fmt: skip
    p.group(ITEMS).add_argument("--profile-name", metavar="NAME", help="only streams of the "
                                "profile of this name, as `head` shows it")  # fmt: skip
    options.quiet(p)

    p = verb(
        verbs, "dedupe", "copy a container without items that are equal, or nearly",
        page="cookbook/near-duplicates",
        examples=[
            ("One of equal streams", "clipcodec dedupe photos.clpc -o once.clpc"),
            ("One of pictures that are nearly the same, and what was left out for which",
             "clipcodec dedupe photos.clpc --cosine .97 -o apart.clpc --report same.tsv"),
        ],
    )  # fmt: skip
    p.add_argument("container", metavar="FILE", help=_FILE)
    options.output(p, "container to write; - for stdout", metavar="OUT.clpc", required=True)
    p.add_argument("--report", metavar="FILE", help="what is left out, and what is kept in its "
                   "place: tab-separated, or lines of JSON for .jsonl; - for stdout")  # fmt: skip
    options.force(p)
    group = p.group(ITEMS)
    group.add_argument("--cosine", type=number(above=0, most=1), metavar="C", help="leave out what "
                       "has at least this cosine with an item that is kept (default: equal "
                       "streams alone)")  # fmt: skip
    choice(group, "--keep", ("first", "last"), default="first", help="which of those that are "
           "alike (default: first)")  # fmt: skip
    options.profile(p, options.PRIVATE)
    options.quiet(p)

    p = verb(
        verbs, "merge", "containers and streams to one container", page="containers",
        examples=[
            ("Two containers to one", "clipcodec merge a.clpc b.clpc -o all.clpc"),
            ("Single streams, too", "clipcodec merge a.clpc beach.jpg.clip -o all.clpc"),
            ("What is new in the second takes the place of what has its id",
             "clipcodec merge old.clpc new.clpc --same-id last -o all.clpc"),
        ],
    )  # fmt: skip
    p.add_argument("inputs", nargs="+", metavar="FILE", help="container (.clpc), or stream (.clip) "
                   "whose id becomes its path without .clip; - for stdin")  # fmt: skip
    options.output(p, "container to write; - for stdout", metavar="OUT.clpc", required=True)
    options.partial(p)
    options.force(p)
    choice(p.group(ITEMS), "--same-id", ("keep", "first", "last", "refuse"), default="keep",
           help="of items with the same id: keep all (default; the id finds the last), only the "
           "first, only the last; or refuse to merge")  # fmt: skip
    options.profile(p, "profile file of private streams in files of their own, to check them")
    options.quiet(p)

    p = verb(
        verbs, "split", "a container to several, or to a file for each stream", page="containers",
        examples=[
            ("Containers of 1000 items each", "clipcodec split photos.clpc -o parts/ --items 1000"),
            ("Four of the same size, for four machines",
             "clipcodec split photos.clpc -o parts/ --parts 4"),
            ("A file for each stream", "clipcodec split photos.clpc -o streams/ --streams"),
        ],
    )  # fmt: skip
    p.add_argument("container", metavar="FILE", help=_FILE)
    options.output(p, "directory for the parts", metavar="DIR", required=True)
    options.partial(p)
    options.force(p)
    how = p.group(ITEMS).add_mutually_exclusive_group(required=True)
    how.add_argument("--items", type=whole(1), metavar="N", help="containers of N items each: "
                     "FILE.0000.clpc, FILE.0001.clpc, …")  # fmt: skip
    how.add_argument("--parts", type=whole(1), metavar="N", help="N containers, whose numbers of "
                     "items differ by one at most")  # fmt: skip
    how.add_argument("--streams", action="store_true", help="a file for each stream, named by its "
                     "id")  # fmt: skip
    options.quiet(p)
