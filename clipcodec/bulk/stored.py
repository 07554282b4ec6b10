"""A job whose container goes into an object store: written here first, uploaded when it is whole.

Nothing can be appended to an object, and a job of hours must be able to go on. So it writes a file
in the working directory, named after the object, which is deleted when the object is there.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import shutil

from ..errors import OptionError, OutputExistsError
from ..system import uploads
from ..system.stores import Location, place_of

_PIECE = 1 << 22  # bytes that are copied at a time
_DIGEST = 8  # characters that tell objects of one name apart


def written_to(out: str | os.PathLike[str]) -> str:
    """The file that a job for this container writes: a path as it is; of a URL, NAME.DIGEST.clpc.

    >>> written_to("photos.clpc"), written_to("s3://bucket/photos.clpc")
    ('photos.clpc', 'photos.0306d1f1.clpc')

    Raises OptionError: it is a folder of a store.
    """
    place: str | os.PathLike[str] | Location = place_of(out)
    if not isinstance(place, Location):
        return os.fspath(place)
    name = posixpath.basename(place.name)
    if not name:
        raise OptionError(
            f"{place.name} is a folder: name the container in it, such as photos.clpc"
        )
    stem, suffix = os.path.splitext(name)
    digest = hashlib.sha256(place.name.encode()).hexdigest()
    return f"{stem}.{digest[:_DIGEST]}{suffix}"


def refuse_object(out: str | os.PathLike[str], mode: str) -> None:
    """Raise before long work if a job of this mode could not make the object of this URL.

    Raises OutputExistsError; OptionError: a store that cannot be written; and as
    `system.stores.fail`.
    """
    place = place_of(out)
    if not isinstance(place, Location):
        return
    try:
        uploads.refuse_existing(place, overwrite=mode == "replace")
    except OutputExistsError as error:
        if mode == "resume":
            raise OutputExistsError(
                f"{place.name} is there, and nothing can be appended to an object of a store: "
                "compress what is new into another container and merge both, or download it, go "
                "on with that file, and upload it"
            ) from error
        raise


def deliver(out: str, mode: str) -> None:
    """Upload the whole container and delete its file; of a path there is nothing to do.

    Raises OutputExistsError and StoreError, among others; the file stays then.
    """
    place = place_of(out)
    if not isinstance(place, Location):
        return
    path = written_to(out)
    with open(path, "rb") as file, uploads.replacing(place, overwrite=mode == "replace") as there:
        shutil.copyfileobj(file, there, _PIECE)
    os.unlink(path)
