"""The container that a job goes on with: what is in it, and whether more of the same may follow."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..container import Container
from ..container.growing import PART
from ..container.profiles import carried_profile
from ..container.survey import Survey
from ..errors import OptionError, OutputExistsError, TruncatedError
from ..profile import Profile
from ..system.files import refuse_existing
from ..target import Target
from .steering import counted
from .stored import refuse_object, written_to

SETTLED = "settled"  # in the metadata
_SHOWN = 32  # characters


class Begun:
    """The container that a job goes on with, finished or not, if there is one. Surveyed once.

    path    the finished one, else the unfinished one
    part    the unfinished one
    found   is anything in it?
    survey  where its blocks are, for the writer; None if nothing is in it
    items, size   how many it holds, and the bytes that these take
    """

    def __init__(self, out: str, *, resume: bool) -> None:
        self.path, self.part = _paths(out)
        self.found = False
        self.survey: Survey | None = None
        self.items = self.size = 0
        self._recorded: Any = {}
        self._container: Container | None = None
        if resume and self.path.is_file():
            with suppress(TruncatedError):  # cut in its first bytes: nothing is in it
                self._container = Container(self.path, partial=True)
        if self._container is not None:
            count, metadata = len(self._container), self._container.metadata
            self._recorded = metadata.get("clipcodec")
            self.found = count > 0 or bool(metadata)
            self.survey = self._container.survey if self.found else None
            self.items, self.size = count, counted(self._container.survey)

    def __enter__(self) -> Begun:
        return self

    def __exit__(self, *_: object) -> None:
        if self._container is not None:
            self._container.close()

    @property
    def bytes_per_item(self) -> float | None:
        return self.size / self.items if self.items else None

    @property
    def settled(self) -> Target | None:
        """What `mean_bytes` has become for all items, if it was settled before the first."""
        found = self._recorded.get(SETTLED) if isinstance(self._recorded, dict) else None
        return Target(**found) if isinstance(found, dict) else None

    @property
    def prefix(self) -> bool | None:
        """Do ids begin with the directory's name? None: not decided yet."""
        return self._recorded.get("root") is None if self.found and self._recorded else None

    def check(self, identity: dict[str, Any], root: str | None) -> None:
        """Raise OptionError unless streams made with these options may be added."""
        if not self.found:
            return
        if not isinstance(self._recorded, dict):
            raise OptionError(
                f"{self.path} was not begun by clipcodec compress, so its options are unknown: "
                "begin another"
            )
        for key, value in identity.items():
            before = self._recorded.get(key)
            if before != value and key == "profile" and carried(self.path) is not None:
                raise OptionError(
                    f"{self.path} carries profile {before}, with which it goes on: leave out "
                    f"{value}, or begin another container"
                )
            if before != value:
                raise OptionError(
                    f"{self.path} was begun {_differs(key, before, value)}: give the same, or "
                    "begin another"
                )
        began = self._recorded.get("root")
        if began not in (None, root):
            raise OptionError(
                f"ids in {self.path} are paths in the directory {began!r}: add files of that one "
                "only, or begin another with all inputs at once; its ids then begin with their "
                "names"
            )

    def ids(self) -> set[str]:
        if self._container is None:
            return set()
        return {id for id in self._container.ids if id is not None}


def _paths(out: str | Path) -> tuple[Path, Path]:
    """The container to go on with, and the unfinished one; of a URL, those that are here."""
    target = Path(os.path.realpath(written_to(out)))
    part = target.with_name(target.name + PART)
    return target if target.is_file() else part, part


def carried(out: str | Path) -> Profile | None:
    """The profile in the container to go on with; None: there is none. DecodeError: it is damaged.

    An unfinished one that was cut before the end of its profile has no items, and no profile.
    """
    path, part = _paths(out)
    with suppress(*(TruncatedError,) * (path == part)):
        return carried_profile(path) if path.is_file() else None
    return None


def refuse(out: str | Path, mode: str) -> None:
    """Raise OutputExistsError, before long work, if a job of this mode could not write."""
    refuse_object(out, mode)
    path, part = _paths(out)
    if mode == "new" and path.is_file():
        unfinished = " is a container that was not finished, or is being written" * (path == part)
        raise OutputExistsError(
            f"{path}{unfinished or ' exists'}: --resume goes on with it, adding what is missing; "
            'or -f begins anew (in Python: mode="resume", mode="replace")'
        )
    if mode != "resume":
        refuse_existing(Path(os.path.realpath(written_to(out))), overwrite=True)


def _differs(key: str, before: Any, now: Any) -> str:
    """How an option was given before, and is given now."""
    if before is None:
        return f"without {key}=, not with {key}={_shown(now)}"
    if now is None:
        return f"with {key}={_shown(before)}, not without it"
    return f"with {key}={_shown(before)}, not {_shown(now)}"


def _shown(value: Any) -> str:
    """A number, a name, or as much of a digest as tells it from others."""
    return f"{value:g}" if isinstance(value, float) else str(value)[:_SHOWN]
