"""Options that several verbs share, each with one meaning."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, TypeAlias

from .usage import (
    FORM,
    INPUT_OUTPUT,
    ITEMS,
    MANY,
    MODEL,
    OTHER,
    RATE,
    TABLES,
    TEXT,
    TRAINING,
    Parser,
)
from .values import number, one_of, whole

# what `add` of a family of verbs is given; a string, as the class takes no [] when it runs
Verbs: TypeAlias = "argparse._SubParsersAction[Parser]"
Group: TypeAlias = "argparse._ArgumentGroup | argparse._MutuallyExclusiveGroup"


def verb(
    verbs: Verbs,
    name: str,
    text: str,
    *,
    page: str = "command-line",
    examples: Sequence[tuple[str, str]] = (),
    module: str | None = None,
) -> Parser:
    """A new verb.

    text      what it does, in a line
    page      of the documentation: `search` for docs/search.md
    examples  two to four: what each is for, and the command
    module    of clipcodec.cli, whose `run` does it (default: the verb's name)
    """
    p = verbs.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".", page=page, examples=examples
    )
    p.set_defaults(module=module or name)
    return p


def choice(group: Group, flag: str, names: Sequence[str], **options: Any) -> None:
    """An option with one of some words as its value."""
    group.add_argument(flag, choices=tuple(names), type=one_of(*names), **options)


def output(p: Parser, text: str, *, metavar: str = "OUT", required: bool = False) -> None:
    """`-o`, which every verb has that writes a file."""
    p.group(INPUT_OUTPUT).add_argument(
        "-o", "--output", metavar=metavar, required=required, help=text
    )


PRIVATE = "profile that private streams were made with: its file, or a container that carries it"
_PROFILE = "registered name, profile file, or container (.clpc) whose own profile is used"


def profile(p: Parser, text: str = _PROFILE) -> None:
    p.group(MODEL).add_argument("--profile", metavar="PROFILE", help=text)


def target(p: Parser) -> None:
    """How a stream is made."""
    group = p.group(RATE)
    goals = group.add_mutually_exclusive_group()
    goals.add_argument("--max-bytes", type=whole(1), metavar="N", help="most bytes of a whole "
                       "stream, used as well as possible")  # fmt: skip
    goals.add_argument("--mean-bytes", type=number(above=0), metavar="N", help="bytes on average, "
                       "at an even quality: of a container's items with their ids, or of a "
                       "stream of a table")  # fmt: skip
    goals.add_argument("--min-cosine", type=number(0, 1), metavar="C", help="least cosine after "
                       "decoding, in the fewest bytes")  # fmt: skip
    goals.add_argument("--quality", type=number(1, 100), metavar="Q", help="1 (coarse) to 100 "
                       "(fine)")  # fmt: skip
    group.add_argument("--effort", type=whole(1, 9), default=1, metavar="E", help="1 (fast, "
                       "default) to 9: how long to look for streams that keep more of what texts "
                       "tell apart")  # fmt: skip
    group.add_argument("--texts", metavar="FILE", help="with --effort: the texts that matter, as "
                       "`embed-text` makes them (default: the profile's)")  # fmt: skip
    choice(group, "--entropy", ("auto", "huffman", "rans", "raw"), default="auto",
           help="entropy coder (default: the shortest)")  # fmt: skip


def own_profile(p: Parser) -> None:
    """A profile inside the file that is made."""
    p.group(MODEL).add_argument("--embed-profile", action="store_true", default=None, help="put "
                                "the profile of --profile into the container, which then needs no "
                                "other file")  # fmt: skip
    group = p.group(TRAINING)
    group.add_argument("--train", action="store_true", default=None, help="learn a profile from "
                       "the inputs, and put it into the container; says what it costs, and stops "
                       "where any/rotation would keep more")  # fmt: skip
    group.add_argument("--minutes", type=number(0, 1440), metavar="N", help="with --train: most "
                       "that its networks are trained, where they help and torch is installed "
                       "(default: 3); 0: no networks")  # fmt: skip


def backbone(p: Parser, text: str, **options: Any) -> None:
    """Which model embeds."""
    p.group(MODEL).add_argument("--backbone", metavar="NAME", help=text, **options)


ENCODER = "image encoder, where the profile takes any; alone, it chooses the profile"


def weights(p: Parser) -> None:
    """Where the model is, and where it runs."""
    device(p)
    p.group(MODEL).add_argument("--weights", metavar="FILE", help="local backbone weights, .pt or "
                                ".safetensors (default: $CLIPCODEC_WEIGHTS, else open_clip's "
                                "download)")  # fmt: skip


def device(p: Parser, text: str = "cpu, cuda, … (default: the best there is)") -> None:
    p.group(MODEL).add_argument("--device", metavar="DEVICE", help=text)


def language_model(p: Parser) -> None:
    p.group(MODEL).add_argument("--language-model", metavar="DIR_OR_NAME", help="GPT-2 and its "
                                "tokenizer: a folder, or a name on the Hugging Face hub (default: "
                                "what the captioner was trained with, or gpt2)")  # fmt: skip


def templates(p: Parser) -> None:
    p.group(TEXT).add_argument("--templates", nargs="+", metavar="T", help='put each text into '
                               'sentences: imagenet (80 of them), simple (7), or your own with '
                               '{}, such as "a photo of a {}."')  # fmt: skip


def best(p: Parser, text: str, default: int) -> None:
    """`-k`: how many of the best are shown."""
    p.group(FORM).add_argument("-k", type=whole(1), default=default, metavar="K",
                               help=f"{text} (default: {default})")  # fmt: skip


def json(p: Parser, text: str) -> None:
    p.group(FORM).add_argument("--json", action="store_true", help=f"JSON on stdout, {text}")


def lines(p: Parser, json: str, tsv: str) -> None:
    """How what is found is printed."""
    forms = p.group(FORM).add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help=f"JSON on stdout, {json}")
    forms.add_argument("--tsv", action="store_true", help=f"tab-separated: {tsv}")


def table(p: Parser, text: str) -> None:
    group = p.group(TABLES)
    group.add_argument("--column", metavar="NAME", help=text)
    group.add_argument("--into", metavar="NAME", help="the result's column (default: the same)")
    group.add_argument("--keep-column", action="store_true", help="keep the first, with --into")
    group.add_argument("--skip-bad-rows", action="store_true", help="name a row that fails, make "
                       "it null and go on; exit code 1")  # fmt: skip


def many(p: Parser) -> None:
    group = p.group(MANY)
    group.add_argument("--resume", action="store_true", default=None, help="go on with OUT.clpc: "
                       "what it holds is not done again, what is new is added")  # fmt: skip
    group.add_argument("--dry-run", action="store_true", default=None,
                       help="list what would be done")  # fmt: skip
    group.add_argument("--workers", type=whole(0, 256), metavar="N", help="processes that decode "
                       "images and encode embeddings (default: one per core); 0: none")  # fmt: skip
    group.add_argument("--batch-size", type=whole(1), metavar="N", help="images that the backbone "
                       "embeds at a time (default: 64)")  # fmt: skip
    choice(group, "--precision", ("fp32", "bf16", "fp16"),
           help="of the backbone's arithmetic (default: fp32)")  # fmt: skip
    choice(group, "--decode", ("exact", "device"), help="device: decode and resize JPEGs where the "
           "backbone runs, faster on a GPU and not quite as exact (default: exact)")  # fmt: skip


def match(p: Parser, text: str) -> None:
    """Items by patterns of their ids."""
    p.group(ITEMS).add_argument("--match", nargs="+", action="extend", default=[],
                                metavar="PATTERN", help=text)  # fmt: skip


def not_match(p: Parser) -> None:
    p.group(ITEMS).add_argument("--not-match", nargs="+", action="extend", default=[],
                                metavar="PATTERN", help="no items whose id matches one of "
                                "these")  # fmt: skip


def partial(p: Parser) -> None:
    p.group(INPUT_OUTPUT).add_argument("--partial", action="store_true", help="also read a "
                                       "container that was cut off or is being written, up to its "
                                       "last good block")  # fmt: skip


def force(p: Parser) -> None:
    p.group(INPUT_OUTPUT).add_argument("-f", "--force", action="store_true",
                                       help="overwrite existing files")  # fmt: skip


def quiet(p: Parser) -> None:
    p.group(OTHER).add_argument("-q", "--quiet", action="store_true",
                                help="no progress, errors only")  # fmt: skip
