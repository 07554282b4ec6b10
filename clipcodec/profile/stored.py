"""Profile files in object stores: read whole, and checked as a local file is."""

from __future__ import annotations

from typing import Any

from ..errors import WeightsError, brief
from ..system.remote import RemoteFile, located
from .file import _CONTAINER, MAX_FILE_BYTES, Profile, parse_profile


def located_profile(profile: Any) -> Any:
    """The object that a URL names, opened, or the path of a file://…; anything else as it is.

    Raises WeightsError: there is none, or it may not be read; StoreError, OptionError: no such
    scheme; MissingDependencyError.
    """
    try:
        return located(profile)
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        name = error.filename or profile
        raise WeightsError(f"profile {name!r} cannot be read: {error.strerror}") from error


def read_remote(file: RemoteFile) -> Profile:
    """As `read_profile`. The profile keeps its bytes, and a pickle holds them.

    Raises WeightsError; StoreError.
    """
    if file.size > MAX_FILE_BYTES:
        raise WeightsError(f"profile {file.name}: more than {MAX_FILE_BYTES} bytes")
    data = file.read_at(0, file.size)
    if data.startswith(_CONTAINER):
        raise WeightsError(
            f"profile {file.name} is a container: if it carries a profile, "
            "clipcodec.open(URL).profile gives it"
        )
    try:
        return parse_profile(data, path=file.name)
    except WeightsError as error:
        raise WeightsError(f"profile {file.name}: {brief(error)}") from error
