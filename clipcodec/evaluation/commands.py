"""What the commands of this folder share: errors in words, exit codes, messages."""

from __future__ import annotations

import sys
from collections.abc import Callable

from ..errors import ClipcodecError, OptionError, ProfileError, RateError


def say(command: str, text: object) -> None:
    """A message on stderr, above a progress bar if there is one; control characters are shown."""
    from tqdm import tqdm

    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in f"{command}: {text}")
    tqdm.write(line, file=sys.stderr)


def exit_code(command: str, work: Callable[[], int]) -> int:
    """What `work` returns; or 2 for a usage error, 1 for another, 130 after an interruption."""
    try:
        return work()
    except (ClipcodecError, ImportError, OSError) as error:
        say(command, error)
        usage = isinstance(error, (OptionError, ProfileError)) and not isinstance(error, RateError)
        return 2 if usage else 1
    except KeyboardInterrupt:
        say(command, "interrupted: the same command goes on where this one stopped")
        return 130
