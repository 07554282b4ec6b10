"""The shipped profiles, by name and by number (shipped/registry.json; formats/README.md)."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeGuard

from ..errors import ProfileError, UnknownProfileError, WeightsError
from ..system.forks import loading
from ..system.remote import RemoteFile
from .file import Profile, read_profile
from .stored import located_profile, read_remote

DEFAULT = "openai-vit-b-32/predictive"
UNTRAINED = "any/rotation"
ANY_BACKBONE = "any"
_FOLDER = Path(__file__).parent / "shipped"

ProfileLike = str | os.PathLike[str] | Profile | None
"""A registered name, the path or URL of a profile file, or a loaded profile; None: the default."""


@dataclass(frozen=True)
class ProfileInfo:
    """One registered profile, as `profiles` lists it.

    Attributes:
        name: What `profile=` takes.
        id: Its registered number, which streams hold.
        kind: What it does between embeddings and payloads (formats/README.md).
        backbone: The model whose embeddings it is for; "any": of any.
        dim: Width D of its embeddings; None: any.
        bits: Bits of its packed symbols, header and check value aside; None: the rate is chosen on
            encoding.
        sha256: Of its file, in hex.
        file: Its name in the installation.

    Examples:
        >>> row = next(row for row in clipcodec.profiles() if row.name == "any/rotation")
        >>> row.backbone, row.dim, row.bits
        ('any', None, None)
    """

    name: str
    id: int
    kind: str
    backbone: str
    dim: int | None
    bits: int | None
    sha256: str
    file: str

    def __repr__(self) -> str:
        from ..system.shown import brief, counted, shown

        def parts() -> list[object]:
            return [brief(self.name), f"id {self.id}",
                    "any width" if self.dim is None else counted(self.dim, "dimension"),
                    f"backbone {self.backbone}", f"kind {self.kind}",
                    "any rate" if self.bits is None else f"{self.bits} bits"]  # fmt: skip

        return shown("ProfileInfo", parts)


@lru_cache(maxsize=1)
def registered() -> tuple[ProfileInfo, ...]:
    """All registered profiles, in the order of their ids. WeightsError: a damaged installation."""
    try:
        rows = json.loads((_FOLDER / "registry.json").read_text("utf-8"))["profiles"]
        return tuple(ProfileInfo(**row) for row in rows)
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise WeightsError(f"the registry of profiles is damaged, reinstall: {error}") from error


def resolve(profile: str | os.PathLike[str] | Profile | RemoteFile) -> Profile:
    """A profile from a registered name, a file's path or URL, an object of a store, or itself."""
    if isinstance(profile, Profile):
        return profile
    given = located_profile(profile)
    if isinstance(given, RemoteFile):
        own = read_remote(given)
    elif not isinstance(given, (str, os.PathLike)):
        raise ProfileError(f"profile is {type(given).__name__}: expected a name, a path or a URL")
    elif _is_name(given):
        return by_name(given)
    else:
        own = read_profile(os.fspath(given))
    return by_digest(own.digest) or own


def _is_name(given: str | os.PathLike[str]) -> TypeGuard[str]:
    """Is it no path of a file?"""
    return isinstance(given, str) and not (given.endswith(".safetensors") or os.path.exists(given))


def by_name(name: str) -> Profile:
    """The shipped profile of that name; ProfileError names those like it, else all."""
    for row in registered():
        if row.name == name:
            return _load(row)
    known = [row.name for row in registered()]
    if near := _near(name, known):
        raise ProfileError(f"no profile {name!r}; did you mean {' or '.join(near)}?")
    raise ProfileError(
        f"no profile {name!r}; known: {', '.join(known)}; or give the path of a profile file"
    )


def _near(name: str, known: list[str]) -> list[str]:
    """The names that were perhaps meant: of one part, such as "predictive", or misspelt."""
    from difflib import get_close_matches

    parts = {part: None for row in known for part in row.split("/")}
    for part in get_close_matches(name, parts, n=1, cutoff=0.8):
        return [row for row in known if part in row.split("/")]
    return get_close_matches(name, known, n=1)


def for_backbone(backbone: str) -> str:
    """The profile to use with a backbone: a trained one of all rates, or `UNTRAINED`."""
    for row in registered():
        if row.backbone == backbone and row.bits is None:
            return row.name
    return UNTRAINED


def fitting(dim: int) -> list[str]:
    """Names of the profiles that take embeddings of this width, those of one width first."""
    rows = [row for row in registered() if row.bits is None and row.dim in (dim, None)]
    return [row.name for row in sorted(rows, key=lambda row: row.dim is None)]


def by_id(number: int) -> Profile:
    """The shipped profile of that registered number, or UnknownProfileError."""
    for row in registered():
        if row.id == number:
            return _load(row)
    raise UnknownProfileError(
        f"profile id {number} is not known to this release of clipcodec: "
        "the stream is damaged, or made by a later one (upgrade clipcodec)"
    )


def by_digest(digest: bytes) -> Profile | None:
    """The shipped profile whose file's SHA-256 begins so, if there is one."""
    for row in registered():
        if bytes.fromhex(row.sha256).startswith(digest):
            return _load(row)
    return None


_loaded: dict[str, Profile] = {}


def _load(row: ProfileInfo) -> Profile:
    if row.name not in _loaded:
        with loading:  # each profile once, whatever the number of threads
            if row.name not in _loaded:
                _loaded[row.name] = read_profile(
                    _FOLDER / row.file, id=row.id, sha256=row.sha256, reopen=(by_name, (row.name,))
                )
    return _loaded[row.name]
