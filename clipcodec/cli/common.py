"""What several verbs share: options, standard streams, outputs, progress, failures in words."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import ClipcodecError, DecodeError, OptionError, UnknownProfileError
from ..system import uploads
from ..system.files import open_number, refuse_existing, written_directly
from ..system.stores import is_url
from ..target import Target
from .formats import STREAM, Format, refuse_foreign, refuse_other_format
from .inputs import STDIO as STDIO
from .inputs import as_given, label_of, open_input
from .spelling import typed
from .suffixes import STREAM_SUFFIX
from .terminal import say

if TYPE_CHECKING:
    from ..codec import Codec

T = TypeVar("T")
_LONGEST = 1 << 20  # bytes; far above any stream of any profile


def target_of(args: argparse.Namespace) -> Target:
    """What the command line asks of every stream. Raises OptionError."""
    texts = None
    if args.texts is not None:
        from .words import read_text_embeddings

        if args.effort == 1:
            raise OptionError("--texts counts with an --effort above 1: give one, such as 5")
        texts = read_text_embeddings(args.texts)
    return Target(
        quality=args.quality, max_bytes=args.max_bytes, min_cosine=args.min_cosine,
        mean_bytes=getattr(args, "mean_bytes", None), effort=args.effort, texts=texts,
        entropy=args.entropy,
    )  # fmt: skip


def codec_of(args: argparse.Namespace) -> Codec:
    """The codec that the command line names, for verbs that encode images."""
    from ..codec import Codec

    return Codec(args.profile, backbone=args.backbone, device=args.device, weights=args.weights)


def read_stream(name: str, codec: Codec, what: str = "a stream") -> bytes:
    """The bytes of one stream, of a file or for "-" of stdin. DecodeError if they are too many.

    what  is expected, in words
    """
    refuse_foreign(name, what, STREAM, codec=codec, error=DecodeError)
    with open_input(name) as file:
        data = file.read(_LONGEST + 1)
    if len(data) > _LONGEST:
        raise DecodeError(f"more than {_LONGEST} bytes: not a stream of one embedding")
    return data


@contextmanager
def as_stream(name: str) -> Iterator[None]:
    """Bytes of a file of another name that cannot be decoded were perhaps never a stream."""
    try:
        yield
    except DecodeError as error:
        if not name.lower().endswith(STREAM_SUFFIX) and not isinstance(error, UnknownProfileError):
            error.reason = f"no stream, or a damaged one: {error.reason}"
        raise


def write_output(name: str, data: bytes, *, force: bool) -> None:
    """Write a whole file, or stdout for "-" unless that is a terminal."""
    if name != STDIO:
        uploads.write(name, data, overwrite=force)
        return
    _refuse_terminal()
    sys.stdout.buffer.write(data)


def write_result(path: str, data: bytes, args: argparse.Namespace) -> None:
    """Write what `output_path` or the like gave a name to; -o may be a directory to make."""
    if args.output not in (None, path):
        make_folder(path)
    write_output(path, data, force=args.force)


def make_folder(path: str) -> None:
    """Make the folder of an output; an object store has none."""
    if not is_url(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)


def refuse_beside(name: str) -> None:
    """Raise if the result of this input would go beside it, into an object store."""
    if is_url(name):
        raise OptionError(f"{name} is in an object store: say with -o where the result goes")


def output_path(
    name: str,
    output: str | None,
    inputs: int,
    suffix: str,
    made: Format | None = None,
    *,
    instead: str = "",
) -> str:
    """Where the result of the input `name` goes: beside it, to `output`, or into that directory.

    inputs   how many inputs there are
    made     what is written; the name of a file must not promise another format
    instead  as for `is_directory`
    """
    if output is None:
        refuse_beside(name)
        return STDIO if is_unnamed(name) else name + suffix
    several = f"{inputs} results" if inputs > 1 else None
    if output == STDIO:
        if several:
            raise OptionError(f"{several} cannot share stdout: give -o DIRECTORY/{instead}")
        return output
    if is_directory(output, several, instead):
        return path_in(output, name, suffix)
    if made is not None:
        refuse_other_format(output, made)
    refuse_no_folder(output)
    return output


def refuse_no_folder(output: str, option: str = "-o") -> None:
    """Raise before long work if the folder of the output file is not there."""
    if output == STDIO or is_url(output):
        return
    folder = Path(output).parent
    if folder.exists() and not folder.is_dir():
        raise OptionError(f"{option} {output}: {folder} is a file, not a folder: name another")
    if not folder.is_dir():
        raise OptionError(f"{option} {output}: there is no folder {folder}: make it first")


def is_directory(output: str, several: str | None, instead: str = "") -> bool:
    """Is the output a directory, there already or to be made? Its name says so if it ends with /.

    several  what cannot share one file, such as "3 results": then it must be a directory, and
             OptionError is raised if it is a file, or its name is that of a file
    instead  another remedy, for the message
    """
    if Path(output).is_dir():
        return True
    slash = output.endswith(("/", os.sep))
    if not slash and several is None:
        return False
    if Path(output).exists():
        need = f", and {several} need one" if several else ""
        raise OptionError(
            f"-o {output}: it is a file, not a directory{need}: give another name{instead}"
        )
    if not slash and Path(output).suffix:
        raise OptionError(
            f"-o {output}: {several} need a directory, and this is the name of a file: give "
            f"-o {output}/ for a directory of that name{instead}"
        )
    return True


def path_in(directory: str, name: str, suffix: str = "") -> str:
    """The file in a directory of results that belongs to this input."""
    file = Path(label_of(name)).name + suffix
    return f"{directory.rstrip('/')}/{file}" if is_url(directory) else str(Path(directory) / file)


def is_unnamed(name: str) -> bool:
    """Is this input stdin, or such as /dev/stdin or a shell's <(…)? No file can lie beside it."""
    return name == STDIO or open_number(name) is not None


def _refuse_terminal(*, always: bool = False) -> None:
    if always or sys.stdout.isatty():
        raise OptionError("refusing to write bytes to a terminal: use -o FILE or a pipe")


def refuse_terminal_or_existing(name: str, *, force: bool) -> None:
    """Raise before long work if the output could not be written after it."""
    if name == STDIO:
        _refuse_terminal()
        return
    if is_url(name):
        uploads.refuse_existing(name, overwrite=force)
    elif not written_directly(name):
        refuse_existing(Path(name), overwrite=force)
    elif (number := open_number(name)) is not None and os.isatty(number):
        _refuse_terminal(always=True)


def report(name: str, error: Exception) -> None:
    """Say on stderr that one input failed, and why."""
    say(f"{label_of(name)}: {words(error, name)}")


def for_each(names: Iterable[str], work: Callable[[str], object]) -> int:
    """Do the work for every input; the exit code. One that fails is named, the others go on."""
    failed = 0
    for name in names:
        try:
            work(name)
        except BrokenPipeError:
            raise
        except (ClipcodecError, OSError) as error:
            report(name, error)
            failed += 1
    return 1 if failed else 0


def words(error: Exception, name: str = "") -> str:
    """What an error says, on one line. Its file is named, unless the line begins with `name`."""
    label = label_of(name)
    if isinstance(error, ClipcodecError) and error.source is not None:
        part = f"{error.source}: ".removeprefix(f"{label}: ")  # such as "items 5 to 9: "
        error.source = part.removesuffix(": ") or None
    text = typed(str(error))
    if isinstance(error, OSError) and error.strerror:
        named = error.filename not in (None, name)
        text = f"{error.filename}: {error.strerror}" if named else error.strerror
    text = _relative(text)
    for quoted in (f"{name}: ", f"{name!r}: ", f"{name!r} "):
        text = text.removeprefix(quoted) if name else text
    if name and text.startswith(f"{name} is "):
        text = text[len(name) + 1 :]
    return as_given(" ".join(text.split()))


def _relative(text: str) -> str:
    """Paths in the working directory, which the library may have resolved, as they are typed."""
    try:
        here = os.path.join(os.getcwd(), "")
    except OSError:  # it is gone
        return text
    return text if here == os.sep else re.sub(rf"(?<![\w/]){re.escape(here)}", "", text)


def refuse_shared(outputs: Iterable[str]) -> None:
    """Raise if inputs have the same output: with -f the second would replace the first."""
    for output, count in Counter(os.path.realpath(path) for path in outputs).items():
        if count > 1:
            raise OptionError(f"{count} inputs would become {output}: give them one at a time")


def _tqdm() -> Any:
    """The class of progress bars; None without tqdm, which a light installation leaves out."""
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm


def progress(items: Iterable[T], *, quiet: bool, **options: Any) -> Iterable[T]:
    """The items, and while they are worked on a progress bar on stderr if that is a terminal."""
    tqdm = None if quiet else _tqdm()
    if tqdm is None:
        return items
    bar: Iterable[T] = tqdm(items, disable=None, leave=False, **options)
    return bar


@contextmanager
def progress_bar(*, quiet: bool, **options: Any) -> Iterator[Callable[..., None]]:
    """A bar as of `progress`, that is told how many are done, of how many if that is known, and
    words to show behind it.
    """
    tqdm = None if quiet else _tqdm()
    bar: Any = None

    def show(done: int, total: int | None, words: str = "") -> None:
        nonlocal bar
        if tqdm is None:
            return
        if bar is None:  # begins when the work does
            bar = tqdm(total=total, disable=None, leave=False, **options)
        bar.total = total
        if words:
            bar.set_postfix_str(words, refresh=False)
        bar.update(done - bar.n)

    try:
        yield show
    finally:
        if bar is not None:
            bar.close()
