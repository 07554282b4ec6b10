"""The `clipcodec` command: argparse verbs, each with its imports inside.

Data goes to stdout, messages to stderr. Exit code 0: done; 1: an input failed (stderr names it, and
the others were done, unless no backbone could be loaded); 2: the command line is wrong;
130: interrupted (Ctrl-C); 129, 143: stopped by SIGHUP or SIGTERM. None of these leaves a
half-written file.
"""

from __future__ import annotations

import argparse
import signal
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NoReturn

from .. import __version__
from ..errors import BackboneWarning, ClipcodecError, OptionError, ProfileError, RateError
from ..system.optional import missing_named
from .terminal import flush, give_up_stdout, say, shown, standard_streams

STREAM_SUFFIX = ".clip"  # of the file of a stream
CONTAINER_SUFFIX = ".clpc"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    with standard_streams():
        return _run(argv)


def _run(argv: Sequence[str] | None) -> int:
    args = build_parser().parse_args(argv)
    try:
        with _stoppable(), missing_named(), warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: say(f"warning: {message}")
            if getattr(args, "quiet", False):
                warnings.simplefilter("ignore", BackboneWarning)
            code: int = import_module(f".{args.module}", __name__).run(args)
        flush()
        return code
    except BrokenPipeError:
        give_up_stdout()  # the reader has gone
        return 1
    except (ClipcodecError, OSError) as error:
        words = import_module(".common", __name__).words
        say(words(error))
        give_up_stdout()
        usage = isinstance(error, (OptionError, ProfileError)) and not isinstance(error, RateError)
        return 2 if usage else 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM and SIGHUP, unless they are ignored, clean up before the end as Ctrl-C does."""
    changed = []
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, _stop)
                changed.append(number)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


def _stop(number: int, _frame: Any) -> None:
    signal.signal(number, signal.SIG_IGN)  # a second one must not interrupt the cleaning up
    raise SystemExit(128 + number)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        super().error(shown(message))


def build_parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _Parser(
        prog="clipcodec",
        description="Turn images into a few dozen bytes of meaning, and back into CLIP embeddings.",
    )
    parser.add_argument("--version", action="version", version=f"clipcodec {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    p = _verb(verbs, "compress", "images or embeddings to streams")
    p.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="image, or embeddings as .npy, .npz, .safetensors, .pt or .csv; - for stdin; "
        'with -o OUT.clpc also a directory, "pattern", list.txt or shard.tar',
    )
    p.add_argument("-o", "--output", metavar="OUT", help=f"file, directory (several inputs) or - "
                   f"for stdout; default: INPUT{STREAM_SUFFIX}; OUT.clpc: a container")  # fmt: skip
    _profile(p)
    _target(p)
    _backbone(p)
    _table(p, "embeddings or images in .parquet inputs")
    _many(p)
    _force(p)
    _quiet(p)

    p = _verb(verbs, "decompress", "streams and containers to embeddings")
    p.add_argument("inputs", nargs="+", metavar="STREAM", help="stream or container (.clpc) file; "
                   "- for stdin")  # fmt: skip
    p.add_argument("-o", "--output", metavar="OUT", help=".npy file for all inputs together, or - "
                   "for stdout; default: each input's name with .npy for "
                   f"{STREAM_SUFFIX}")  # fmt: skip
    p.add_argument("--json", action="store_true", help="JSON on stdout, one line per stream")
    p.add_argument("--ids", metavar="FILE", help="write the ids of containers' items, one per line")
    _partial(p)
    _profile(p, "profile file that private streams were made with")
    _table(p, "streams in .parquet inputs (default: the one marked so)")
    _force(p)

    p = _verb(verbs, "info", "what a stream, a container or another file is", module="decompress")
    p.add_argument("inputs", nargs="+", metavar="FILE", help="stream, container (.clpc), "
                   "embeddings, image or Parquet table; - for stdin")  # fmt: skip
    p.add_argument("--json", action="store_true", help="JSON on stdout, one line per file")
    _partial(p)
    _profile(p, "profile file that private streams were made with")

    p = _verb(verbs, "attach", "put streams into image files, beside their other metadata")
    p.add_argument("inputs", nargs="+", metavar="IMAGE", help="JPEG, PNG, WebP, AVIF or HEIF file; "
                   "- for stdin")  # fmt: skip
    p.add_argument("-o", "--output", metavar="OUT", help="file, directory (several images) or - "
                   "for stdout; default, with -f: the image file itself")  # fmt: skip
    p.add_argument("--stream", metavar="FILE", help="an existing stream; - for stdin "
                   "(default: one made of the image)")  # fmt: skip
    _profile(p)
    _target(p)
    _backbone(p)
    _force(p)
    _quiet(p)

    p = _verb(verbs, "extract", "get streams out of image files", module="attach")
    p.add_argument("inputs", nargs="+", metavar="IMAGE", help="image file; - for stdin")
    p.add_argument("-o", "--output", metavar="OUT", help=f"file, directory (several images) or - "
                   f"for stdout; default: IMAGE{STREAM_SUFFIX}")  # fmt: skip
    _profile(p, "of several streams, the one of this profile (name or file)")
    _force(p)

    p = _verb(verbs, "search", "the items of a container nearest to words, images or embeddings")
    p.add_argument("container", metavar="CONTAINER", help="container (.clpc); - for stdin; with "
                   "--index what `compress` takes, or a table")  # fmt: skip
    p.add_argument("--text", action="append", metavar="TEXT", help='words to search for, such as '
                   '"two dogs on a beach"; may be given several times')  # fmt: skip
    p.add_argument("--query", nargs="+", metavar="QUERY",
                   help="image, stream, or file of embeddings; - for stdin")  # fmt: skip
    p.add_argument("--text-embeddings", nargs="+", metavar="FILE", help="texts with their "
                   "embeddings, as `embed-text` makes them; torch is not needed")  # fmt: skip
    _templates(p)
    p.add_argument("-k", type=int, default=10, help="hits for each query (default: 10)")
    _lines(p, "one line per query", "query, rank, score, index, id")
    p.add_argument("--index", metavar="FILE", help="compress CONTAINER, which is a directory, "
                   "archive, list or table, to this container first, or add to it what is "
                   "new")  # fmt: skip
    p.add_argument("--column", metavar="NAME", help="with --index, of a table: streams, "
                   "embeddings or images (default: the only one of streams or of "
                   "embeddings)")  # fmt: skip
    _profile(p, "profile file that private streams were made with; with --index, what to make "
             "them with")  # fmt: skip
    _target(p)
    _backbone(p)
    _quiet(p)

    p = _verb(verbs, "classify", "which of some labels fits each input best")
    p.add_argument("inputs", nargs="+", metavar="INPUT", help="image, stream, container (.clpc) or "
                   "file of embeddings; - for stdin")  # fmt: skip
    p.add_argument("--labels", nargs="+", required=True, metavar="LABEL", help="words; or one file "
                   "of them, one per line, or of their embeddings, as `embed-text` makes "
                   "it")  # fmt: skip
    _templates(p)
    p.add_argument("-k", type=int, default=3, help="labels for each input (default: 3)")
    p.add_argument("--temperature", type=float, metavar="T", help="factor of the cosines in the "
                   "softmax (default: the model's, or 100)")  # fmt: skip
    _lines(p, "one line per embedding", "name, rank, label, probability")
    _profile(p, "profile file that private streams were made with")
    p.add_argument("--backbone", metavar="NAME", help="the model, where the inputs do not say it")
    _backbone(p)
    _quiet(p)

    p = _verb(verbs, "embed-text", "texts to a file of embeddings, for search and classify",
              module="embed_text")  # fmt: skip
    p.add_argument("inputs", nargs="*", metavar="FILE", help="texts in UTF-8, one per line; - for "
                   "stdin")  # fmt: skip
    p.add_argument("--text", action="append", metavar="TEXT", help="a text; may be given several "
                   "times")  # fmt: skip
    p.add_argument("-o", "--output", required=True, metavar="OUT", help="file to write "
                   "(.safetensors); - for stdout")  # fmt: skip
    _templates(p)
    _profile(p, "the profile whose backbone is the model (name or file)")
    p.add_argument("--backbone", metavar="NAME", help="the model (default: the profile's)")
    _backbone(p)
    _force(p)
    _quiet(p)

    p = _verb(verbs, "browse", "a page in the browser for the pictures of a container")
    p.add_argument("container", metavar="CONTAINER", help="container (.clpc)")
    p.add_argument("--images", metavar="DIR", help="folder of the pictures: ids are their names in "
                   "it; nothing else is shown (default: names only)")  # fmt: skip
    p.add_argument("--labels", nargs="+", metavar="LABEL", help="words; or one file of them, one "
                   "per line, or of their embeddings, as `embed-text` makes it (default: those of "
                   "--text-embeddings)")  # fmt: skip
    _templates(p)
    p.add_argument("--text-embeddings", metavar="FILE", help="words to search by without weights, "
                   "as `embed-text` makes them")  # fmt: skip
    p.add_argument("--port", type=int, default=8765, metavar="N", help="on 127.0.0.1 (default: "
                   "8765; 0: a free one)")  # fmt: skip
    p.add_argument("--open", action="store_true", help="open the page in the browser")
    p.add_argument("--cache", metavar="DIR", help="where thumbnails are kept (default: "
                   "$XDG_CACHE_HOME/clipcodec/thumbnails)")  # fmt: skip
    _profile(p, "profile file that private streams were made with")
    p.add_argument("--backbone", metavar="NAME", help="what made the embeddings, where the profile "
                   "takes any")  # fmt: skip
    _backbone(p)

    p = _verb(verbs, "locate", "the regions of images that words name")
    p.add_argument("inputs", nargs="+", metavar="INPUT", help="image, or container (.clpc) of "
                   "regions that --keep made; - for stdin")  # fmt: skip
    words = p.add_mutually_exclusive_group()
    words.add_argument("--text", action="append", metavar="TEXT", help='what to look for, such as '
                       '"a red cup"; may be given several times')  # fmt: skip
    words.add_argument("--text-embeddings", metavar="FILE", help="texts with their embeddings, as "
                       "`embed-text` makes them; for a container torch is not needed")  # fmt: skip
    _templates(p)
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
    _profile(p)
    _target(p)
    _backbone(p)
    _force(p)
    _quiet(p)

    p = _verb(verbs, "caption", "a sentence for each image, stream or embedding")
    p.add_argument("inputs", nargs="+", metavar="INPUT", help="stream, container (.clpc), file of "
                   "embeddings or image; - for stdin")  # fmt: skip
    p.add_argument("--captioner", required=True, metavar="FILE", help="weights: of "
                   "train-captioner, or ClipCap's (see docs/captions.md)")  # fmt: skip
    _language_model(p)
    p.add_argument("--beam", type=int, default=1, metavar="N", help="texts followed at a time; "
                   "1 (default): the likeliest word each time")  # fmt: skip
    p.add_argument("--max-tokens", type=int, default=67, metavar="N", help="longest caption "
                   "(default: 67)")  # fmt: skip
    p.add_argument("--prefix-length", type=int, metavar="P", help="refuse weights of another "
                   "prefix length")  # fmt: skip
    p.add_argument("--scale", type=float, metavar="S", help="norm of the embeddings that the "
                   "weights were trained on (default: what the file says, or 1)")  # fmt: skip
    _lines(p, "one line per caption", "input, item, id, caption")
    _partial(p)
    _profile(p, "profile file that private streams were made with")
    p.add_argument("--backbone", metavar="NAME", help="image encoder of image inputs (default: "
                   "what the captioner was trained on)")  # fmt: skip
    _backbone(p)
    _quiet(p)

    p = _verb(verbs, "train-captioner", "a captioner of your own, from embeddings and captions",
              module="caption")  # fmt: skip
    p.add_argument("--embeddings", required=True, metavar="FILE", help=".npy, .npz, .safetensors, "
                   ".pt or .csv, a row for each image")  # fmt: skip
    p.add_argument("--captions", required=True, metavar="FILE", help="text: a line for each row, "
                   "or lines of the row's number (from 0), a tab, and a caption")  # fmt: skip
    p.add_argument("-o", "--output", required=True, metavar="OUT.safetensors", help="file to write")
    _language_model(p)
    p.add_argument("--kind", choices=("mlp", "transformer"), help="of the mapping network "
                   "(default: mlp)")  # fmt: skip
    p.add_argument("--prefix-length", type=int, metavar="P", help="vectors that GPT-2 is given "
                   "(default: 10)")  # fmt: skip
    p.add_argument("--clip-length", type=int, metavar="N", help="transformer: vectors made of the "
                   "embedding (default: 10)")  # fmt: skip
    p.add_argument("--layers", type=int, metavar="N", help="transformer (default: 8)")
    p.add_argument("--epochs", type=int, default=10, metavar="N", help="default: 10")
    p.add_argument("--batch-size", type=int, default=40, metavar="N", help="default: 40")
    p.add_argument("--learning-rate", type=float, default=2e-5, metavar="R", help="default: 2e-5")
    p.add_argument("--warmup", type=int, default=5000, metavar="N", help="steps; at most half of "
                   "all (default: 5000)")  # fmt: skip
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--tune-language-model", action="store_true", help="train GPT-2, too, and store "
                   "it in OUT")  # fmt: skip
    p.add_argument("--scale", type=float, metavar="S", help="multiply unit-norm embeddings "
                   "(default: as --start, or 1)")  # fmt: skip
    p.add_argument("--start", metavar="FILE", help="captioner to go on from: ours, or ClipCap's")
    p.add_argument("--resume", action="store_true", help="go on after the last whole epoch of a "
                   "run that was stopped")  # fmt: skip
    _profile(p, "encode and decode the embeddings with this profile (name or file) first")
    _target(p)
    p.add_argument("--device", help="cpu, cuda, … (default: the best there is)")
    _force(p)
    _quiet(p)

    p = _verb(verbs, "evaluate", "what codecs keep of embeddings: accuracy, neighbours, retrieval")
    p.add_argument("data", nargs="+", metavar="DATA", help="set of embeddings with labels "
                   "(.safetensors), or a directory of such sets (docs/evaluation.md)")  # fmt: skip
    p.add_argument("--codec", nargs="+", action="extend", metavar="CODEC", help="such as "
                   "PROFILE@max_bytes=50, faiss:OPQ32,PQ32x8np, int8, scalar:0.03 (default: the "
                   "profiles that fit)")  # fmt: skip
    p.add_argument("--profile", nargs="+", metavar="PROFILE", help="profiles (names or files) that "
                   "are measured at each of the sizes below")  # fmt: skip
    p.add_argument("--max-bytes", nargs="+", type=int, metavar="N", help="sizes (default: 25 50 "
                   "100)")  # fmt: skip
    p.add_argument("--mean-bytes", nargs="+", type=float, metavar="N", help="averages")
    p.add_argument("--quality", nargs="+", type=float, metavar="Q", help="qualities")
    p.add_argument("--training", metavar="DIR", help="rows that other codecs are fitted to: "
                   "train*.safetensors")  # fmt: skip
    p.add_argument("--keep", metavar="DIR", help="where what was fitted is kept, and found again")
    p.add_argument("--rows", type=int, metavar="N", help="measure on at most N images of each set")
    p.add_argument("--quick", action="store_true", help="fit other codecs to few rows, in seconds")
    p.add_argument("-o", "--output", metavar="OUT.json", help="result file; if it is there, what "
                   "it has is not measured again")  # fmt: skip
    p.add_argument("--plot", metavar="OUT.svg", help="draw what is lost, by bytes")
    p.add_argument("--json", action="store_true", help="JSON on stdout, one line per codec")
    _force(p)
    _quiet(p)

    p = _verb(verbs, "profiles", "the profiles of this release")
    p.add_argument("name", nargs="?", help="show this profile's card (name or file)")
    p.add_argument("--json", action="store_true", help="JSON on stdout")

    p = _verb(verbs, "demo", "compress samples and an image, and show what is lost")
    p.add_argument("image", nargs="?", help="an image of yours (default: one drawn here)")
    p.add_argument("--count", type=int, default=64, help="sample embeddings (default: 64)")
    _backbone(p)

    p = _verb(verbs, "fetch", "download and verify backbone weights for offline use",
              module="profiles")  # fmt: skip
    p.add_argument("backbones", nargs="*", metavar="BACKBONE", default=["openai-vit-b-32"],
                   help="default: openai-vit-b-32")  # fmt: skip
    _quiet(p)

    p = _verb(verbs, "train", "a profile of your own from embeddings")
    p.add_argument("--recipe", choices=("predictive", "pqvae"), default="predictive",
                   help="predictive (default): all rates; pqvae: one fixed rate")  # fmt: skip
    p.add_argument("--embeddings", required=True, nargs="+", metavar="FILE",
                   help=".npy, .npz, .safetensors, .pt or .csv; a file given twice counts "
                   "twice")  # fmt: skip
    p.add_argument("--out", required=True, metavar="FILE", help="profile file to write")
    p.add_argument("--text-embeddings", nargs="+", metavar="FILE",
                   help="predictive: what texts can tell apart is kept better")  # fmt: skip
    p.add_argument("--held-out", nargs="+", metavar="FILE", help="predictive: embeddings that "
                   "tables are fitted to (default: some of the others)")  # fmt: skip
    p.add_argument("--text-weight", type=float, metavar="G", help="0 to 0.99 (default: 0.6)")
    p.add_argument("--hidden", type=int, metavar="H", help="predictive: units of each "
                   "prediction; 0: none (default: by the number of rows)")  # fmt: skip
    p.add_argument("--restore", type=int, metavar="R", help="predictive: units of the last "
                   "network, which restores what was quantised (default: twice those)")  # fmt: skip
    p.add_argument("--start", metavar="FILE", help="predictive: weights to start from, instead of "
                   "the first phase")  # fmt: skip
    p.add_argument("--replay", type=int, metavar="N", help="predictive: steps of the second phase")
    p.add_argument("--weight-decay", type=float, metavar="W", help="predictive (default: 0.6)")
    p.add_argument("--device", help="predictive: where torch trains, such as cuda (default: cpu)")
    p.add_argument("--shrinkage", type=float, metavar="S", help="predictive: 0 to 1, how much to "
                   "distrust the covariance (default: by the number of rows)")  # fmt: skip
    p.add_argument(
        "--dropout", type=float, metavar="P", help="predictive (default: by the number of rows)"
    )
    p.add_argument("--codewords", type=int, metavar="K", help="pqvae: codebook size (default: 4)")
    p.add_argument("--sub-dim", type=int, metavar="D", help="pqvae: channels of a sub-vector "
                   "(default: 16)")  # fmt: skip
    p.add_argument("--steps", type=int, metavar="N", help="default: by the recipe and the rows")
    p.add_argument("--learning-rate", type=float, metavar="R", help="default: as for those")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--backbone", default="openai-vit-b-32",
                   help="what made the embeddings (default: openai-vit-b-32)")  # fmt: skip
    p.add_argument("--name", help="default: private/FILE")
    p.add_argument("--card", metavar="FILE", help="JSON to keep in the profile (data, licence, …)")
    _force(p)
    _quiet(p)
    return parser


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str,
    *,
    module: str | None = None,
) -> argparse.ArgumentParser:
    p: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
    p.set_defaults(module=module or name)
    return p


def _profile(p: argparse.ArgumentParser, text: str = "registered name or profile file") -> None:
    p.add_argument("--profile", metavar="PROFILE", help=text)


def _target(p: argparse.ArgumentParser) -> None:
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


def _backbone(p: argparse.ArgumentParser) -> None:
    p.add_argument("--device", help="cpu, cuda, … (default: the best there is)")
    p.add_argument("--weights", metavar="FILE", help="local backbone weights, .pt or .safetensors "
                   "(default: $CLIPCODEC_WEIGHTS, else open_clip's download)")  # fmt: skip


def _language_model(p: argparse.ArgumentParser) -> None:
    p.add_argument("--language-model", metavar="DIR_OR_NAME", help="GPT-2 and its tokenizer: a "
                   "folder, or a name on the Hugging Face hub (default: what the captioner was "
                   "trained with, or gpt2)")  # fmt: skip


def _templates(p: argparse.ArgumentParser) -> None:
    p.add_argument("--templates", nargs="+", metavar="T", help='put each text into sentences: '
                   'imagenet (80 of them), simple (7), or your own with {}, such as '
                   '"a photo of a {}."')  # fmt: skip


def _lines(p: argparse.ArgumentParser, json: str, tsv: str) -> None:
    """How what is found is printed."""
    forms = p.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help=f"JSON on stdout, {json}")
    forms.add_argument("--tsv", action="store_true", help=f"tab-separated: {tsv}")


def _table(p: argparse.ArgumentParser, text: str) -> None:
    p.add_argument("--column", metavar="NAME", help=f"tables: {text}")
    p.add_argument("--into", metavar="NAME", help="tables: the result's column (default: the same)")
    p.add_argument("--keep-column", action="store_true", help="tables: keep the first, with --into")
    p.add_argument("--skip-bad-rows", action="store_true", help="tables: name a row that fails, "
                   "make it null and go on; exit code 1")  # fmt: skip


def _many(p: argparse.ArgumentParser) -> None:
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


def _partial(p: argparse.ArgumentParser) -> None:
    p.add_argument("--partial", action="store_true", help="also read a container that was cut or "
                   "is being written, up to its last good block")  # fmt: skip


def _force(p: argparse.ArgumentParser) -> None:
    p.add_argument("-f", "--force", action="store_true", help="overwrite existing files")


def _quiet(p: argparse.ArgumentParser) -> None:
    p.add_argument("-q", "--quiet", action="store_true", help="no progress, errors only")
