"""What a program has set up in its process for reading images, and hands to its workers.

A worker is a new process. It gets sys.path, the environment and the working directory from
multiprocessing, and from here, before its first image:

* which formats Pillow opens, in which order, with which code: plugins, and formats taken away;
* decoders registered by plugins;
* settings: plain values with names in capitals, in the modules of Pillow (MAX_IMAGE_PIXELS,
  LOAD_TRUNCATED_IMAGES, MAX_TEXT_MEMORY, …) and of its plugins, and our limit of a file's size.

So an image is read, or refused, in a worker as in the program. Functions of Pillow that a program
has replaced are not handed over.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterable, Mapping
from enum import Enum
from numbers import Number
from typing import Any, NamedTuple

from ..errors import WorkerError, brief
from ..system.forks import loading

_PLAIN = (Number, str, bytes, type(None))
_OWN = "clipcodec.bulk.entries"  # where our limit is

Pickles = dict[str, bytes]


class _Setup(NamedTuple):
    """formats, decoders  name → pickled code, in order; None: the program has not loaded Pillow
    settings           module → name → value
    """

    formats: Pickles | None
    decoders: Pickles
    settings: dict[str, dict[str, Any]]


_current: bytes | None = None  # in a worker: what it has taken over


def captured() -> bytes:
    """What is set up in this process now, for `adopt`.

    Raises WorkerError for a plugin that exists in this process only.
    """
    formats: Pickles | None = None
    decoders: Pickles = {}
    packages = {_OWN}
    image = sys.modules.get("PIL.Image")
    if image is not None:
        with loading:
            image.init()  # imports one module per format
        opened = {name: image.OPEN[name] for name in image.ID if name in image.OPEN}
        formats = _pickled("format", opened)
        decoders = _pickled("decoder", image.DECODERS)
        packages |= {"PIL"} | _packages(part for pair in opened.values() for part in pair)
        packages |= _packages(image.DECODERS.values())
    setup = _Setup(formats, decoders, _settings(packages))
    return pickle.dumps(setup)


def adopt(data: bytes) -> None:
    """Take over in this worker what the program had set up. Nothing is done a second time."""
    global _current
    if data == _current:
        return
    formats, decoders, settings = pickle.loads(data)
    if formats is not None:
        from PIL import Image

        Image.init()
        opened = _unpickled("format", formats)
        Image.DECODERS.update(_unpickled("decoder", decoders))
        Image.ID[:] = list(opened)
        Image.OPEN.clear()
        Image.OPEN.update(opened)
    for name, values in settings.items():
        module = sys.modules.get(name)  # what is not imported here, the plugins do not use
        for key, value in values.items():
            if module is not None and getattr(module, key, None) != value:
                setattr(module, key, value)
    _current = data


def _packages(parts: Iterable[Any]) -> set[str]:
    """The packages that these classes and functions come from, or modules outside a package."""
    modules = {str(getattr(part, "__module__", "PIL")) for part in parts if part is not None}
    return {module.rpartition(".")[0] or module for module in modules}


def _settings(packages: set[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, module in list(sys.modules.items()):
        if name in packages or any(name.startswith(f"{package}.") for package in packages):
            found[name] = {
                key: value
                for key, value in list(getattr(module, "__dict__", {}).items())
                if key.isupper() and key[0] != "_" and isinstance(value, _PLAIN)
                and not isinstance(value, Enum)
            }  # fmt: skip
    return found


def _pickled(what: str, parts: Mapping[str, Any]) -> Pickles:
    found: Pickles = {}
    for name, part in parts.items():
        try:
            found[name] = pickle.dumps(part)
        except Exception as error:  # PicklingError, AttributeError, TypeError
            raise _unknown(what, name, error) from error
    return found


def _unpickled(what: str, parts: Pickles) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, data in parts.items():
        try:
            found[name] = pickle.loads(data)
        except Exception as error:  # whatever an import may raise
            raise _unknown(what, name, error) from None
    return found


def _unknown(what: str, name: str, error: Exception) -> WorkerError:
    return WorkerError(
        f"worker processes cannot use Pillow's {what} {name}, which this program has registered "
        f"({type(error).__name__}: {brief(error)}): define it at the top of a module that can be "
        "imported, or give workers=0 (--workers 0)"
    )
