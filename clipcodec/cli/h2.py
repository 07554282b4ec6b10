"""To be replaced by common and terminal."""

import os
from pathlib import Path

from ..errors import OptionError
from ..system.files import written_directly

ARROW = "→"


def size_text(size: float) -> str:
    return counted(round(size), "byte")


def counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def is_directory(output: str, several: str | None, instead: str = "") -> bool:
    if Path(output).is_dir():
        return True
    slash = output.endswith(("/", os.sep))
    if not slash and several is None:
        return False
    if Path(output).exists():
        need = f", and {several} need one" if several else ""
        raise OptionError(f"-o {output}: it is a file, not a directory{need}{instead}")
    if not slash and Path(output).suffix:
        raise OptionError(
            f"-o {output}: {several} need a directory, and this is the name of a file: give "
            f"-o {output}/ for a directory of that name{instead}"
        )
    return True


def is_unseen(output: str) -> bool:
    return output == "-" or written_directly(output)


def label_of(name: str) -> str:
    return "stdin" if name == "-" else name
