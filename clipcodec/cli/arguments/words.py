"""Arguments of search, classify, embed-text, browse and locate."""

from __future__ import annotations

from . import options
from .options import Verbs, choice, verb
from .usage import INPUT_OUTPUT, ITEMS, MODEL, PAGE, REGIONS, TEXT
from .values import number, whole


def add(verbs: Verbs) -> None:
    _search(verbs)
    _classify(verbs)
    _embed_text(verbs)
    _browse(verbs)
    _locate(verbs)


def _search(verbs: Verbs) -> None:
    p = verb(
        verbs, "search", "find items nearest to words, images or embeddings",
        page="search",
        examples=[
            ("By words", 'clipcodec search photos.clpc --text "two dogs on a beach"'),
            ("The five images that are most like one; faster next time, by photos.clpi",
             "clipcodec search photos.clpc --query dog.jpg -k 5 --save-index photos.clpi"),
            ("A folder, which is compressed first",
             'clipcodec search photos/ --text "a red car" --index photos.clpc'),
            ("Without torch: words that were embedded before",
             "clipcodec search photos.clpc --text-embeddings words.safetensors"),
        ],
    )  # fmt: skip
    p.add_argument("container", nargs="+", metavar="CONTAINER", help="containers (.clpc), or a "
                   "saved index (.clpi); - for stdin; with --index what `compress` takes, or a "
                   "table")  # fmt: skip
    io = p.group(INPUT_OUTPUT)
    io.add_argument("--query", nargs="+", metavar="QUERY", help="image, stream, or file of "
                    "embeddings; - for stdin")  # fmt: skip
    io.add_argument("--index", metavar="FILE", help="compress CONTAINER, which is a directory, "
                    "archive, list or table, to this container first, or add to it what is "
                    "new")  # fmt: skip
    io.add_argument("--column", metavar="NAME", help="with --index, of a table: streams, "
                    "embeddings or images (default: the only one of streams or of "
                    "embeddings)")  # fmt: skip
    io.add_argument("--save-index", metavar="FILE", help="keep what was decoded in this file "
                    "(.clpi), and search by it: the next search is faster; it is brought up to "
                    "date with the containers")  # fmt: skip
    items = p.group(ITEMS)
    items.add_argument("--ids", metavar="FILE", help="search only items with the ids in this file, "
                       "one per line; - for stdin")  # fmt: skip
    options.match(p, "search only items whose id matches one of these, such as '2024/*.jpg'; *, ? "
                  "and [ab] stand for letters")  # fmt: skip
    options.not_match(p)
    items.add_argument("--approximate", action="store_true", help="score the streams by a part of "
                       "the decoder, and decode the best ones wholly: several times faster, "
                       "nearly the same hits")  # fmt: skip
    text = p.group(TEXT)
    text.add_argument("--text", action="append", metavar="TEXT", help='words to search for, such '
                      'as "two dogs on a beach"; may be given several times')  # fmt: skip
    text.add_argument("--text-embeddings", nargs="+", metavar="FILE", help="texts with their "
                      "embeddings, as `embed-text` makes them; torch is not needed")  # fmt: skip
    options.templates(p)
    options.best(p, "hits for each query", 10)
    options.lines(
        p,
        "one line per query",
        "query, rank, score, index, id; of several containers also the file",
    )
    options.target(p)
    options.profile(p, f"{options.PRIVATE}; with --index, what to make them with")
    options.backbone(p, options.ENCODER)
    options.weights(p)
    options.quiet(p)


def _classify(verbs: Verbs) -> None:
    p = verb(
        verbs, "classify", "which of some labels fits each input best", page="words",
        examples=[
            ("Images of a container, by three words",
             "clipcodec classify photos.clpc --labels cat dog horse"),
            ("Labels from a file, one per line; the best for each image",
             "clipcodec classify a.jpg b.jpg --labels labels.txt -k 1"),
            ("Each label in 80 sentences, which is more accurate",
             "clipcodec classify photos.clpc --labels cat dog --templates imagenet"),
        ],
    )  # fmt: skip
    p.add_argument("inputs", nargs="+", metavar="INPUT", help="image, stream, container (.clpc) or "
                   "file of embeddings; - for stdin")  # fmt: skip
    p.group(TEXT).add_argument("--labels", nargs="+", required=True, metavar="LABEL", help="words; "
                               "or one file of them, one per line, or of their embeddings, as "
                               "`embed-text` makes it")  # fmt: skip
    options.templates(p)
    options.best(p, "labels for each input", 3)
    p.group(MODEL).add_argument("--temperature", type=number(above=0, most=1e6), metavar="T",
                                help="factor of the cosines in the softmax (default: the model's, "
                                "or 100)")  # fmt: skip
    options.lines(p, "one line per embedding", "name, rank, label, probability")
    options.profile(p, options.PRIVATE)
    options.backbone(p, "the model, where the inputs do not say it")
    options.weights(p)
    options.quiet(p)


def _embed_text(verbs: Verbs) -> None:
    p = verb(
        verbs, "embed-text", "texts to a file of embeddings, for search and classify",
        page="words", module="embed_text",
        examples=[
            ("The lines of a file", "clipcodec embed-text words.txt -o words.safetensors"),
            ("Two texts, in seven sentences each",
             "clipcodec embed-text --text cat --text dog --templates simple -o pets.safetensors"),
        ],
    )  # fmt: skip
    p.add_argument("inputs", nargs="*", metavar="FILE", help="texts in UTF-8, one per line; - for "
                   "stdin")  # fmt: skip
    options.output(p, "file to write (.safetensors); - for stdout", required=True)
    options.force(p)
    p.group(TEXT).add_argument("--text", action="append", metavar="TEXT", help="a text; may be "
                               "given several times")  # fmt: skip
    options.templates(p)
    options.profile(p, "the profile whose backbone is the model (name or file)")
    options.backbone(p, "the model (default: the profile's)")
    options.weights(p)
    options.quiet(p)


def _browse(verbs: Verbs) -> None:
    p = verb(
        verbs, "browse", "a page in the browser for the pictures of a container", page="browse",
        examples=[
            ("The pictures of the folder that was compressed",
             "clipcodec browse photos.clpc --images photos/ --open"),
            ("Sorted by words, too",
             "clipcodec browse photos.clpc --images photos/ --labels cat dog horse"),
        ],
    )  # fmt: skip
    p.add_argument("container", metavar="CONTAINER", help="container (.clpc)")
    text = p.group(TEXT)
    text.add_argument("--labels", nargs="+", metavar="LABEL", help="words; or one file of them, "
                      "one per line, or of their embeddings, as `embed-text` makes it (default: "
                      "those of --text-embeddings)")  # fmt: skip
    text.add_argument("--text-embeddings", metavar="FILE", help="words to search by without "
                      "weights, as `embed-text` makes them")  # fmt: skip
    options.templates(p)
    page = p.group(PAGE)
    page.add_argument("--images", metavar="DIR", help="folder of the pictures: ids are their names "
                      "in it; nothing else is shown (default: names only)")  # fmt: skip
    page.add_argument("--open", action="store_true", help="open the page in the browser")
    page.add_argument("--port", type=whole(0, 65535), default=8765, metavar="N", help="on "
                      "127.0.0.1 (default: 8765; 0: a free one)")  # fmt: skip
    page.add_argument("--cache", metavar="DIR", help="where thumbnails are kept (default: "
                      "$XDG_CACHE_HOME/clipcodec/thumbnails)")  # fmt: skip
    options.profile(p, options.PRIVATE)
    options.backbone(p, "what made the embeddings, where the profile takes any")
    options.weights(p)


def _locate(verbs: Verbs) -> None:
    p = verb(
        verbs, "locate", "the regions of images that words name", page="pointing",
        examples=[
            ("The box of what the words name", 'clipcodec locate photo.jpg --text "a red cup"'),
            ("Among boxes that you have, drawn into a copy",
             'clipcodec locate photo.jpg --text "a red cup" --boxes boxes.json -o marked.png'),
            ("All regions of two images, kept to be asked later",
             "clipcodec locate a.jpg b.jpg --keep regions.clpc"),
            ("Asked later", 'clipcodec locate regions.clpc --text "a red cup"'),
        ],
    )  # fmt: skip
    p.add_argument("inputs", nargs="+", metavar="INPUT", help="image, or container (.clpc) of "
                   "regions that --keep made; - for stdin")  # fmt: skip
    options.output(p, "draw each text's best region into a copy of the image: .png, .jpg, …; "
                   "several images: a directory")  # fmt: skip
    p.add_argument("--keep", metavar="FILE", help="write a container (.clpc) of all regions, to be "
                   "looked through by words later")  # fmt: skip
    options.force(p)
    words = p.group(TEXT).add_mutually_exclusive_group()
    words.add_argument("--text", action="append", metavar="TEXT", help='what to look for, such as '
                       '"a red cup"; may be given several times')  # fmt: skip
    words.add_argument("--text-embeddings", metavar="FILE", help="texts with their embeddings, as "
                       "`embed-text` makes them; for a container torch is not needed")  # fmt: skip
    options.templates(p)
    regions = p.group(REGIONS)
    regions.add_argument("--boxes", metavar="FILE", help="regions, as JSON or lines with tabs: "
                         "left, top, right, bottom in pixels; - for stdin")  # fmt: skip
    regions.add_argument("--sam", metavar="MODEL", help="network that finds regions where no boxes "
                         "are given: a folder or a hub's name (default: "
                         "facebook/sam-vit-base)")  # fmt: skip
    regions.add_argument("--points", type=whole(1), default=32, metavar="N", help="it is asked "
                         "about N x N points (default: 32)")  # fmt: skip
    choice(regions, "--crop", ("mask", "box"), default="mask", help="pixels of a box outside the "
           "mask: black (mask, default) or as they are (box)")  # fmt: skip
    options.best(p, "regions for each text", 1)
    options.json(p, "one line per text")
    options.target(p)
    options.profile(p)
    options.backbone(p, options.ENCODER)
    options.weights(p)
    options.quiet(p)
