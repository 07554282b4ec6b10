"""Options that several verbs share, each with one meaning."""

from __future__ import annotations

import argparse
from typing import TypeAlias

# what `add` of a family of verbs is given; a string, as the class takes no [] when it runs
Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def verb(
    verbs: Verbs,
    name: str,
    text: str,
    *,
    module: str | None = None,
) -> argparse.ArgumentParser:
    p: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
    p.set_defaults(module=module or name)
    return p


def profile(p: argparse.ArgumentParser, text: str = "registered name or profile file") -> None:
    p.add_argument("--profile", metavar="PROFILE", help=text)


def target(p: argparse.ArgumentParser) -> None:
    """How a stream is made."""
    p.add_argument("--entropy", choices=("auto", "huffman", "rans", "raw"), default="auto",
                   help="entropy coder (default: the shortest)")  # fmt: skip
    target = p.add_mutually_exclusive_group()
    target.add_argument("--quality", type=float, metavar="Q", help="1 (coarse) to 100 (fine)")
    target.add_argument("--max-bytes", type=int, metavar="N", help="most bytes of a whole stream, "
                        "used as well as possible")  # fmt: skip
    target.add_argument("--min-cosine", type=float, metavar="C",
                        help="least cosine after decoding, in the fewest bytes")  # fmt: skip
    target.add_argument("--mean-bytes", type=float, metavar="N", help="bytes on average: of the "
                        "streams of a file of embeddings or a table, or of a container's file per "
                        "item; best for many")  # fmt: skip
    p.add_argument("--effort", type=int, default=1, metavar="E", help="1 (fast, default) to 9: how "
                   "long to look for streams that keep more of what texts tell apart")  # fmt: skip
    p.add_argument("--texts", metavar="FILE", help="with --effort: the texts that matter, as "
                   "`embed-text` makes them (default: the profile's)")  # fmt: skip
    p.add_argument("--backbone", metavar="NAME", help="image encoder, where the profile takes any; "
                   "alone, it chooses the profile")  # fmt: skip


def backbone(p: argparse.ArgumentParser) -> None:
    p.add_argument("--device", help="cpu, cuda, … (default: the best there is)")
    p.add_argument("--weights", metavar="FILE", help="local backbone weights, .pt or .safetensors "
                   "(default: $CLIPCODEC_WEIGHTS, else open_clip's download)")  # fmt: skip


def language_model(p: argparse.ArgumentParser) -> None:
    p.add_argument("--language-model", metavar="DIR_OR_NAME", help="GPT-2 and its tokenizer: a "
                   "folder, or a name on the Hugging Face hub (default: what the captioner was "
                   "trained with, or gpt2)")  # fmt: skip


def templates(p: argparse.ArgumentParser) -> None:
    p.add_argument("--templates", nargs="+", metavar="T", help='put each text into sentences: '
                   'imagenet (80 of them), simple (7), or your own with {}, such as '
                   '"a photo of a {}."')  # fmt: skip


def lines(p: argparse.ArgumentParser, json: str, tsv: str) -> None:
    """How what is found is printed."""
    forms = p.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help=f"JSON on stdout, {json}")
    forms.add_argument("--tsv", action="store_true", help=f"tab-separated: {tsv}")


def table(p: argparse.ArgumentParser, text: str) -> None:
    p.add_argument("--column", metavar="NAME", help=f"tables: {text}")
    p.add_argument("--into", metavar="NAME", help="tables: the result's column (default: the same)")
    p.add_argument("--keep-column", action="store_true", help="tables: keep the first, with --into")
    p.add_argument("--skip-bad-rows", action="store_true", help="tables: name a row that fails, "
                   "make it null and go on; exit code 1")  # fmt: skip


def many(p: argparse.ArgumentParser) -> None:
    many = p.add_argument_group("with -o OUT.clpc")
    many.add_argument("--resume", action="store_true", default=None, help="go on with OUT.clpc: "
                      "what it holds is not done again, what is new is added")  # fmt: skip
    many.add_argument("--dry-run", action="store_true", default=None,
                      help="list what would be done")  # fmt: skip
    many.add_argument("--workers", type=int, metavar="N", help="processes that decode images and "
                      "encode embeddings (default: one per core); 0: none")  # fmt: skip
    many.add_argument("--batch-size", type=int, metavar="N", help="images that the backbone embeds "
                      "at a time (default: 64)")  # fmt: skip
    many.add_argument("--precision", choices=("fp32", "bf16", "fp16"),
                      help="of the backbone's arithmetic (default: fp32)")  # fmt: skip


def partial(p: argparse.ArgumentParser) -> None:
    p.add_argument("--partial", action="store_true", help="also read a container that was cut or "
                   "is being written, up to its last good block")  # fmt: skip


def force(p: argparse.ArgumentParser) -> None:
    p.add_argument("-f", "--force", action="store_true", help="overwrite existing files")


def quiet(p: argparse.ArgumentParser) -> None:
    p.add_argument("-q", "--quiet", action="store_true", help="no progress, errors only")
