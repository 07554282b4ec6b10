"""The profile that a container carries, and what is given to be carried.

embedded.py has its bytes; `CarriedProfile` is what a codec asks for it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, TypeGuard

from ..errors import (
    CorruptError,
    DecodeError,
    OptionError,
    ProfileError,
    UnsupportedError,
    WeightsError,
    brief,
    placed,
)
from ..profile import registry
from ..profile.file import LaterProfileError, Profile, Reopen, parse_profile
from ..profile.stored import located_profile
from ..system.forks import loading
from ..system.remote import RemoteFile, Source, name_of
from . import layout
from .embedded import CARRIED, MAX_PROFILE, Embedded, embedded_at, embedded_in
from .files import SeekableFile


def profile_in(embedded: Embedded, path: str | None = None) -> Profile:
    """The profile that a block holds: the registered one of this digest, if there is one.

    path  of the container, where a pickle finds it again; None: a pickle holds its bytes

    Raises CorruptError or UnsupportedError.
    """
    registered = registry.by_digest(embedded.digest)
    return registered or _parsed(embedded, path)


@lru_cache(maxsize=4)
def _parsed(embedded: Embedded, path: str | None) -> Profile:
    from ..models.spec import LOCAL  # here: decoding needs no models

    profile = _parse(embedded, path)
    if profile.backbone.startswith(LOCAL):  # of whoever made the container: nothing here is opened
        profile = replace(profile, backbone=registry.ANY_BACKBONE)
    return profile


def _parse(embedded: Embedded, path: str | None) -> Profile:
    again: Reopen | None = None if path is None else (_reopen, (path, embedded.digest.hex()))
    try:
        return parse_profile(embedded.data, path=path, reopen=again)
    except LaterProfileError as error:
        raise UnsupportedError(f"{CARRIED}: {brief(error)} (upgrade clipcodec)") from error
    except WeightsError as error:
        raise CorruptError(f"{CARRIED} is none: {brief(error)}") from error


def carried_profile(source: Source) -> Profile | None:
    """The profile that a container carries, finished or not (`.part`), read from its front alone.

    Raises DecodeError naming the file: it is no container, or its profile is cut, damaged or from a
    later release; OSError: it cannot be read.
    """
    found = embedded_at(source)
    path = None if isinstance(source, RemoteFile) else os.path.abspath(source)
    with placed(source=name_of(source)):
        return None if found is None else profile_in(found, path)


def _reopen(path: str, sha256: str) -> Profile:
    """A pickled profile that a container carries."""
    remedy = "bring the old one back, or open the container anew"
    try:
        found = embedded_at(path)
        if found is not None and found.digest.hex() == sha256:
            return profile_in(found, path)
    except OSError as error:
        raise WeightsError(
            f"container {path!r} cannot be read ({error.strerror}), and the pickle of the profile "
            "in it holds its path and SHA-256 alone: put the file there, or open the container "
            "where it is now"
        ) from error
    except DecodeError as error:
        raise WeightsError(f"{error}; {remedy}") from error
    now = "no profile" if found is None else f"one of SHA-256 {found.digest.hex()}"
    raise WeightsError(
        f"container {path} carries {now}, the pickled profile had {sha256}: the file was changed; "
        f"{remedy}"
    )


# what callers give


def is_container(source: object) -> TypeGuard[Source]:
    """Is it the path of a file, or an object of a store, that begins as a container does?"""
    if isinstance(source, RemoteFile):
        return source.read_at(0, len(layout.MAGIC)) == layout.MAGIC
    if not isinstance(source, (str, os.PathLike)) or not os.path.isfile(source):
        return False
    try:
        with open(source, "rb") as file:
            return file.read(len(layout.MAGIC)) == layout.MAGIC
    except OSError:
        return False  # whoever opens it next says why


def profile_of(source: str | os.PathLike[str] | Profile) -> Profile:
    """A profile by a registered name, its file, a container that carries it, or itself.

    Files may be given by path or URL.

    Raises ProfileError: there is none of that name, or the container carries none; WeightsError: a
    profile file is damaged; DecodeError: a container is, or its profile; StoreError.
    """
    return _profile_of(source if isinstance(source, Profile) else located_profile(source))


def _profile_of(given: Source | Profile) -> Profile:
    if not is_container(given):
        return registry.resolve(given)
    carried = carried_profile(given)
    if carried is None:
        raise ProfileError(
            f"container {name_of(given)} carries no profile: give a registered name, a profile "
            "file, or a container that carries one"
        )
    return carried


def to_embed(profile: str | os.PathLike[str] | Profile | Embedded) -> Embedded:
    """What a writer puts into a container.

    Raises OptionError: the profile is registered, or too large; as `profile_of`; and WeightsError:
    its file was changed.
    """
    if isinstance(profile, Embedded):
        return profile
    given = profile if isinstance(profile, Profile) else located_profile(profile)
    if is_container(given):
        carried = embedded_at(given)  # as it is: perhaps a later release can read more of it
        if carried is not None and registry.by_digest(carried.digest) is None:
            return carried
    chosen = _profile_of(given)
    refuse_registered(chosen)
    return Embedded.of(data_of(chosen))


def refuse_registered(profile: Profile) -> None:
    """Raise OptionError if no file need carry this profile."""
    if profile.id is not None:
        raise OptionError(
            f"profile {profile.name} is registered, so every installation has it: only a profile "
            "of your own is put into a file; leave it out (profile=, embed_profile=, "
            "--embed-profile)"
        )


def data_of(profile: Profile) -> bytes:
    """The bytes of its file. Raises WeightsError if that was changed, or cannot be read."""
    if profile.data is not None:
        return profile.data
    try:
        if is_container(profile.path):
            found = embedded_at(profile.path)
            data = b"" if found is None else found.data
        else:
            with open(profile.path, "rb") as file:
                data = file.read(MAX_PROFILE + 1)
    except OSError as error:
        raise WeightsError(
            f"profile {profile.path!r} cannot be read: {error.strerror or error}"
        ) from error
    if len(data) <= MAX_PROFILE and hashlib.sha256(data).digest() != profile.digest:
        raise WeightsError(
            f"{profile.path} was changed since profile {profile.name} was read from it: read it "
            "again"
        )
    return data


# for a codec


class CarriedProfile:
    """What a codec asks for the profile that a container carries for its streams: call it.

    read  gives the block; called when it is first needed, and once unless threads come together
    path  of the container, absolute; None: it has none
    file  that `read` reads; once it is closed, the container is opened again by its path

    Raises DecodeError, each time that it is called, if the block or the profile is damaged.
    Thread-safe. A pickle holds the path; without one, the profile.
    """

    def __init__(
        self,
        read: Callable[[], Embedded | None],
        path: str | None = None,
        file: SeekableFile | None = None,
    ) -> None:
        self._read, self._path, self._file = read, path, file
        self._found: tuple[Profile | DecodeError | None] | None = None

    @classmethod
    def of_file(cls, file: SeekableFile) -> CarriedProfile:
        """Of a container that is opened."""
        return cls(partial(embedded_in, file), file.own_path, file)

    @classmethod
    def of_path(cls, path: str) -> CarriedProfile:
        """Of a container that is opened for this alone."""
        return cls(partial(embedded_at, path), path)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._path is not None:
            return CarriedProfile.of_path, (self._path,)
        return _found_before, (self._look(),)

    def __call__(self) -> Profile | None:
        found = self._look()
        if isinstance(found, DecodeError):
            raise type(found)(found.reason)
        return found

    def _look(self) -> Profile | DecodeError | None:
        """The profile, or why there is none; found once, as an attacker may have made it slow."""
        if self._found is None:
            found: Profile | DecodeError | None = None
            try:
                if self._file is not None and self._file.closed and self._path is not None:
                    embedded = embedded_at(self._path)
                else:
                    embedded = self._read()
            except DecodeError as error:
                embedded, found = None, type(error)(error.reason)
            with loading:
                if self._found is None:
                    if embedded is not None:
                        found = _profile_or_error(embedded, self._path)
                    self._found = (found,)
                    self._read, self._file = _nothing, None  # they may hold memory
        return self._found[0]


def _profile_or_error(embedded: Embedded, path: str | None) -> Profile | DecodeError:
    try:
        return profile_in(embedded, path)
    except DecodeError as error:
        return type(error)(error.reason)


def _nothing() -> None:
    return None


def _found_before(found: Profile | DecodeError | None) -> CarriedProfile:
    made = CarriedProfile(_nothing)
    made._found = (found,)
    return made
