"""Arguments of search, classify, embed-text, browse and locate."""

from __future__ import annotations

from . import options
from .options import Verbs, verb


def add(verbs: Verbs) -> None:
    p = verb(verbs, "search", "the items of a container nearest to words, images or embeddings")
    p.add_argument("container", metavar="CONTAINER", help="container (.clpc); - for stdin; with "
                   "--index what `compress` takes, or a table")  # fmt: skip
    p.add_argument("--text", action="append", metavar="TEXT", help='words to search for, such as '
                   '"two dogs on a beach"; may be given several times')  # fmt: skip
    p.add_argument("--query", nargs="+", metavar="QUERY",
                   help="image, stream, or file of embeddings; - for stdin")  # fmt: skip
    p.add_argument("--text-embeddings", nargs="+", metavar="FILE", help="texts with their "
                   "embeddings, as `embed-text` makes them; torch is not needed")  # fmt: skip
    options.templates(p)
    p.add_argument("-k", type=int, default=10, help="hits for each query (default: 10)")
    options.lines(p, "one line per query", "query, rank, score, index, id")
    p.add_argument("--index", metavar="FILE", help="compress CONTAINER, which is a directory, "
                   "archive, list or table, to this container first, or add to it what is "
                   "new")  # fmt: skip
    p.add_argument("--column", metavar="NAME", help="with --index, of a table: streams, "
                   "embeddings or images (default: the only one of streams or of "
                   "embeddings)")  # fmt: skip
    options.profile(p, "profile file that private streams were made with; with --index, what to "
                    "make them with")  # fmt: skip
    options.target(p)
    options.backbone(p)
    options.quiet(p)

    p = verb(verbs, "classify", "which of some labels fits each input best")
    p.add_argument("inputs", nargs="+", metavar="INPUT", help="image, stream, container (.clpc) or "
                   "file of embeddings; - for stdin")  # fmt: skip
    p.add_argument("--labels", nargs="+", required=True, metavar="LABEL", help="words; or one file "
                   "of them, one per line, or of their embeddings, as `embed-text` makes "
                   "it")  # fmt: skip
    options.templates(p)
    p.add_argument("-k", type=int, default=3, help="labels for each input (default: 3)")
    p.add_argument("--temperature", type=float, metavar="T", help="factor of the cosines in the "
                   "softmax (default: the model's, or 100)")  # fmt: skip
    options.lines(p, "one line per embedding", "name, rank, label, probability")
    options.profile(p, "profile file that private streams were made with")
    p.add_argument("--backbone", metavar="NAME", help="the model, where the inputs do not say it")
    options.backbone(p)
    options.quiet(p)

    p = verb(verbs, "embed-text", "texts to a file of embeddings, for search and classify",
              module="embed_text")  # fmt: skip
    p.add_argument("inputs", nargs="*", metavar="FILE", help="texts in UTF-8, one per line; - for "
                   "stdin")  # fmt: skip
    p.add_argument("--text", action="append", metavar="TEXT", help="a text; may be given several "
                   "times")  # fmt: skip
    p.add_argument("-o", "--output", required=True, metavar="OUT", help="file to write "
                   "(.safetensors); - for stdout")  # fmt: skip
    options.templates(p)
    options.profile(p, "the profile whose backbone is the model (name or file)")
    p.add_argument("--backbone", metavar="NAME", help="the model (default: the profile's)")
    options.backbone(p)
    options.force(p)
    options.quiet(p)

    p = verb(verbs, "browse", "a page in the browser for the pictures of a container")
    p.add_argument("container", metavar="CONTAINER", help="container (.clpc)")
    p.add_argument("--images", metavar="DIR", help="folder of the pictures: ids are their names in "
                   "it; nothing else is shown (default: names only)")  # fmt: skip
    p.add_argument("--labels", nargs="+", metavar="LABEL", help="words; or one file of them, one "
                   "per line, or of their embeddings, as `embed-text` makes it (default: those of "
                   "--text-embeddings)")  # fmt: skip
    options.templates(p)
    p.add_argument("--text-embeddings", metavar="FILE", help="words to search by without weights, "
                   "as `embed-text` makes them")  # fmt: skip
    p.add_argument("--port", type=int, default=8765, metavar="N", help="on 127.0.0.1 (default: "
                   "8765; 0: a free one)")  # fmt: skip
    p.add_argument("--open", action="store_true", help="open the page in the browser")
    p.add_argument("--cache", metavar="DIR", help="where thumbnails are kept (default: "
                   "$XDG_CACHE_HOME/clipcodec/thumbnails)")  # fmt: skip
    options.profile(p, "profile file that private streams were made with")
    p.add_argument("--backbone", metavar="NAME", help="what made the embeddings, where the profile "
                   "takes any")  # fmt: skip
    options.backbone(p)

    p = verb(verbs, "locate", "the regions of images that words name")
    p.add_argument("inputs", nargs="+", metavar="INPUT", help="image, or container (.clpc) of "
                   "regions that --keep made; - for stdin")  # fmt: skip
    words = p.add_mutually_exclusive_group()
    words.add_argument("--text", action="append", metavar="TEXT", help='what to look for, such as '
                       '"a red cup"; may be given several times')  # fmt: skip
    words.add_argument("--text-embeddings", metavar="FILE", help="texts with their embeddings, as "
                       "`embed-text` makes them; for a container torch is not needed")  # fmt: skip
    options.templates(p)
    p.add_argument("-k", type=int, default=1, help="regions for each text (default: 1)")
    p.add_argument("--boxes", metavar="FILE", help="regions, as JSON or lines with tabs: left, "
                   "top, right, bottom in pixels; - for stdin")  # fmt: skip
    p.add_argument("--sam", metavar="MODEL", help="network that finds regions where no boxes are "
                   "given: a folder or a hub's name (default: facebook/sam-vit-base)")  # fmt: skip
    p.add_argument("--points", type=int, default=32, metavar="N", help="it is asked about N x N "
                   "points (default: 32)")  # fmt: skip
    p.add_argument("--crop", choices=("mask", "box"), default="mask", help="pixels of a box "
                   "outside the mask: black (mask, default) or as they are (box)")  # fmt: skip
    p.add_argument("-o", "--output", metavar="OUT", help="draw each text's best region into a copy "
                   "of the image: .png, .jpg, …; several images: a directory")  # fmt: skip
    p.add_argument("--keep", metavar="FILE", help="write a container (.clpc) of all regions, to be "
                   "looked through by words later")  # fmt: skip
    p.add_argument("--json", action="store_true", help="JSON on stdout, one line per text")
    options.profile(p)
    options.target(p)
    options.backbone(p)
    options.force(p)
    options.quiet(p)
