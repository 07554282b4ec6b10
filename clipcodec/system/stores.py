"""Object stores, through fsspec: where an object is, and what the errors of a store mean."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from ..errors import (
    ClipcodecError,
    MissingDependencyError,
    OptionError,
    ReplacedError,
    StoreError,
    brief,
)

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(::|://)")  # two characters: "C:" is a drive
_USER = re.compile(r"(?<=://)[^/?#]*@")  # who asks
_SIGNATURE = re.compile(r"[?#].*$")  # what signs the request
_KEYS = re.compile(r"(s3a?|gs|gcs|memory)://")  # of names in which ? and # are letters
_LOCAL = ("file", "local")
_CREDENTIALS = {  # of boto, Google, Azure: none of them is an OSError
    "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound",
    "SSOError", "TokenRetrievalError", "GoogleAuthError", "ClientAuthenticationError",
}  # fmt: skip
_PASSING = {  # clients' names for a connection that was lost, or an answer that was cut
    "ConnectionError", "HTTPClientError", "ClientConnectionError", "ClientPayloadError",
    "IncompleteRead", "IncompleteReadError", "ResponseParserError", "ServiceRequestError",
    "ServiceResponseError", "TransportError", "ChunkedEncodingError",
}  # fmt: skip
_PASSING_NUMBERS = {
    getattr(errno, name)
    for name in ("EBUSY", "EAGAIN", "EREMOTEIO", "ECONNRESET", "ETIMEDOUT", "EPIPE", "ECONNABORTED")
    if hasattr(errno, name)
}
_MISSING, _REFUSED, _REPLACED = {404, 410}, {401, 403}, {412}
_LATER = {408, 425, 429, 500, 502, 503, 504}  # a request that may be tried again


def is_url(source: object) -> bool:
    """Is it a URL, such as s3://bucket/name, and no path? Also a chain of fsspec, zip://a::s3://b.

    >>> is_url("s3://bucket/photos.clpc"), is_url("C:/photos.clpc"), is_url("photos/a://b")
    (True, False, False)
    """
    return isinstance(source, str) and "://" in source and _URL.match(source) is not None


def local_path(url: str) -> str | None:
    """The path that a file:// URL names; None for others. %20 and the like are characters."""
    from urllib.request import url2pathname  # here: it imports much

    scheme, _, rest = url.partition("://")
    if scheme.lower() not in _LOCAL:
        return None
    return url2pathname(rest.removeprefix("localhost") if rest.startswith("localhost/") else rest)


def place_of(source: Any) -> Any:
    """The object of a store that a URL or fsspec's OpenFile names; the path of a file:// URL.

    Anything else is given back as it is. Raises OptionError as `Location.of`.
    """
    path = local_path(source) if isinstance(source, str) and is_url(source) else None
    if path is not None:
        return path
    location = Location.of(source)
    return source if location is None else location


def shown_url(url: str) -> str:
    """The URL without passwords and signatures, for messages.

    >>> shown_url("https://me:word@host/a.clpc?X-Amz-Signature=12")
    'https://host/a.clpc'
    >>> shown_url("s3://bucket/a#1.clpc")
    's3://bucket/a#1.clpc'
    """
    url = _USER.sub("", url)
    return url if _KEYS.match(url) else _SIGNATURE.sub("", url)


class Location:
    """Where an object is. Can be pickled, also with the credentials that fsspec was given.

    url   as it was given, or as the file system calls it
    name  for messages
    """

    def __init__(self, url: str, fs: Any = None, path: str = "") -> None:
        self.url, self.name = url, shown_url(url)
        self._fs, self._path, self._process = fs, path, os.getpid()

    @classmethod
    def of(cls, source: object) -> Location | None:
        """Of a URL, or of an `OpenFile` of fsspec or the like; None: it is neither.

        Raises OptionError for an OpenFile that uncompresses or decodes.
        """
        if isinstance(source, Location):
            return source
        if is_url(source):
            return cls(str(source))
        fs: Any = getattr(source, "fs", None)
        path: Any = getattr(source, "path", None)
        if isinstance(source, os.PathLike) or not hasattr(fs, "unstrip_protocol") or path is None:
            return None
        if hasattr(source, "read") or hasattr(source, "write"):  # an open file
            return None
        found = cls(fs.unstrip_protocol(path), fs, path)
        if getattr(source, "compression", None) or "t" in getattr(source, "mode", "b"):
            raise OptionError(
                f"{found.name}: it is to be changed while it is read or written (compression, "
                "text): give a plain binary one, or the file object that its open() gives"
            )
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        return Location, (self.url,) if self._fs is None else (self.url, self._fs, self._path)

    def store(self) -> tuple[Any, str]:
        """The file system of fsspec, usable in this process, and the path in it.

        Raises MissingDependencyError, OptionError (no such scheme), PermissionError or StoreError.
        """
        if self._fs is None:
            return _resolved(self.url)
        if self._process != os.getpid():  # its threads and connections are the parent's
            fs = self._fs
            self._fs = type(fs)(*fs.storage_args, **fs.storage_options)
            self._process = os.getpid()
        return self._fs, self._path


def _resolved(url: str) -> tuple[Any, str]:
    name = shown_url(url)
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f'{name} is in an object store, and fsspec is not installed: pip install '
            '"clipcodec[cloud]"', name="fsspec",
        ) from error  # fmt: skip
    try:
        fs, path = url_to_fs(url)
    except ImportError as error:
        raise _no_package(name, error) from error
    except ValueError as error:
        if "rotocol" not in str(error):
            raise StoreError(f"{name}: {brief(error)}") from error
        raise OptionError(
            f"{name}: {brief(error)}: expected a path, or a URL that fsspec knows, such as "
            "s3://, gs://, az:// or https://"
        ) from error
    except Exception as error:  # whatever a client raises when it looks for credentials
        fail(name, error, "cannot be reached")
    return fs, str(path)


def _no_package(name: str, error: ImportError) -> MissingDependencyError:
    missing = error if error.name else error.__cause__
    package = getattr(missing, "name", None) or "a package"
    how = '"clipcodec[cloud]"' if package == "s3fs" else package
    return MissingDependencyError(
        f"{name} needs {package}, which is not installed: pip install {how}", name=package
    )


# errors


def passes(error: BaseException) -> bool:
    """May the request that failed so be tried again?"""
    status = _status(error)
    if status is not None:
        return status in _LATER
    if isinstance(error, (FileNotFoundError, PermissionError)) or _of(error, _CREDENTIALS):
        return False
    if isinstance(error, (TimeoutError, ConnectionError, EOFError)) or _of(error, _PASSING):
        return True
    return isinstance(error, OSError) and error.errno in _PASSING_NUMBERS


def fail(name: str, error: BaseException, what: str) -> NoReturn:
    """Raise what the error of a store means, naming the object.

    what  could not be done

    Raises FileNotFoundError, PermissionError, IsADirectoryError, MissingDependencyError,
    ReplacedError or StoreError.
    """
    if isinstance(error, (ClipcodecError, IsADirectoryError)):
        raise error
    status = _status(error)
    if status in _MISSING or (status is None and isinstance(error, FileNotFoundError)):
        raise FileNotFoundError(errno.ENOENT, "no such object, or no such bucket", name) from error
    if status in _REFUSED or isinstance(error, PermissionError) or _of(error, _CREDENTIALS):
        why = _words(error) or "refused"
        raise PermissionError(
            errno.EACCES,
            f"the store refuses it: no credentials, or without this right ({why})",
            name,
        ) from error
    if status in _REPLACED:
        raise replaced(name) from error
    if isinstance(error, ImportError):
        raise _no_package(name, error) from error
    raise StoreError(f"{name}: {what}: {type(error).__name__}: {_words(error)}") from error


def _words(error: BaseException) -> str:
    """What an error says, without what signs the requests of the URLs in it."""
    return re.sub(r"(?<=//)[^/@\s]*@|\?[^\s'\")]*", "", brief(error))


def replaced(name: str, how: str = "replaced") -> ReplacedError:
    """The error about an object that is not the one that was opened."""
    return ReplacedError(
        f"{name} was {how} since it was opened: open it again for what is there now"
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was raised from."""
    found: BaseException | None = error
    for _ in range(5):
        if found is None:
            return
        yield found
        found = found.__cause__ or found.__context__


def _of(error: BaseException, names: set[str]) -> bool:
    """Is the error, or what it was raised from, of a class with one of these names?"""
    return any(_is(one, names) for one in _chain(error))


def _is(error: BaseException, names: set[str]) -> bool:
    return any(base.__name__ in names for base in type(error).__mro__)


def _status(error: BaseException) -> int | None:
    """The HTTP status that a client's error holds; None: it holds none."""
    for one in _chain(error):
        if _is(one, _PASSING):  # what it was raised from may have a number of its own
            return None
        response = getattr(one, "response", None)
        if isinstance(response, dict):  # of boto
            status: Any = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        else:
            names = (name for name in ("status", "status_code", "code") if hasattr(one, name))
            status = getattr(one, next(names, ""), None)
        if isinstance(status, int) and 400 <= status < 600:
            return status
    return None
