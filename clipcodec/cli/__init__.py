"""The `clipcodec` command: argparse verbs, each with its imports inside.

Data goes to stdout, messages to stderr. Exit code 0: done; 1: an input failed (stderr names it, and
the others were done, unless no backbone could be loaded); 2: the command line is wrong;
130: interrupted (Ctrl-C); 129, 143: stopped by SIGHUP or SIGTERM. None of these leaves a
half-written file.
"""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from ..errors import BackboneWarning, ClipcodecError, OptionError, ProfileError, RateError
from ..system.optional import missing_named
from .arguments.parser import build_parser
from .spelling import speak, typed
from .terminal import flush, give_up_stdout, note, say, standard_streams


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    with standard_streams():
        return _run(argv)


def _run(argv: Sequence[str] | None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    speak(parser, args)
    try:
        with _stoppable(), missing_named(), warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: say(f"warning: {typed(str(message))}")
            if getattr(args, "quiet", False):
                warnings.simplefilter("ignore", BackboneWarning)
            _name_local_files(args)
            _open_profiles(args)
            code: int = import_module(f".{args.module}", __name__).run(args)
        flush()
        return code
    except BrokenPipeError:
        give_up_stdout()  # the reader has gone
        return 1
    except (ClipcodecError, OSError) as error:
        words = import_module(".common", __name__).words
        usage = isinstance(error, (OptionError, ProfileError)) and not isinstance(error, RateError)
        note(f"clipcodec {args.verb}: {words(error)}") if usage else say(words(error))
        give_up_stdout()
        return 2 if usage else 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130


def _name_local_files(args: Any) -> None:
    """A file:// URL is the path that it names, wherever it stands."""
    from ..system.stores import is_url, local_path

    for option, given in vars(args).items():
        many = given if isinstance(given, list) else [given]
        if any(map(is_url, many)):
            import_module(".inputs", __name__).forget()
            found = [(local_path(one) or one) if is_url(one) else one for one in many]
            setattr(args, option, found if isinstance(given, list) else found[0])


def _open_profiles(args: Any) -> None:
    """--profile FILE.clpc, of every verb that has it, is the profile that the container carries.

    That of a URL is read once.
    """
    if getattr(args, "profile", None) is None:
        return
    from ..container.profiles import is_container, profile_of
    from ..system.stores import is_url

    if isinstance(args.profile, str) and (is_url(args.profile) or is_container(args.profile)):
        args.profile = profile_of(args.profile)


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
