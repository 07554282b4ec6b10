"""Finds the weights: a file, a folder, or the Hugging Face cache (downloading if necessary)."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import sys
import threading
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..errors import WeightsError, WeightsUnavailableError
from .spec import LOCAL, BackboneSpec, load_module, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    Weights = str | os.PathLike[str] | None

ENVIRONMENT_VARIABLE = "CLIPCODEC_WEIGHTS"
"""Its value is the path of the weights file, where none is given."""
_PATIENCE = "HF_HUB_ETAG_TIMEOUT"  # huggingface_hub's: seconds until the hub has to answer
_PROBE_SECONDS = 3.5  # unless that is set
_DISK_ERRORS = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO,
    errno.ENOTDIR, errno.EEXIST, errno.EISDIR,
}  # fmt: skip
# In the order in which open_clip looks for them in a folder.
_LOCAL_FILES = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "model.safetensors",
    "pytorch_model.bin",
)


def locate(spec: BackboneSpec, weights: Weights, *, download: bool = True) -> Path:
    """Find the weights file of a backbone.

    Args:
        spec: The network, see `clipcodec.models.spec`.
        weights: The file, if the caller names it. None: what CLIPCODEC_WEIGHTS names, else the
            published one, in the Hugging Face cache.
        download: Fetch published weights that are not on disk; otherwise they count as unavailable.

    Returns:
        The path of the file.

    Raises:
        WeightsUnavailableError: There is no such file, and it cannot be fetched.

    Examples:
        >>> from clipcodec.models import locate, spec
        >>> locate(spec("openai-vit-b-32"), None).suffix
        '.safetensors'
    """
    named_by = ""
    if weights is None:
        weights = os.environ.get(ENVIRONMENT_VARIABLE) or None
        named_by = f" (named by {ENVIRONMENT_VARIABLE})"
    if weights is None:
        return published(spec, progress=None, download=download)
    path = Path(weights)
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise WeightsUnavailableError(
            f"weights file {str(path)!r}{named_by} {what}: give the .safetensors or .pt file of"
            f" backbone {spec.name!r} ({spec.arch})"
        )
    return path


def published(spec: BackboneSpec, *, progress: bool | None, download: bool = True) -> Path:
    """The file in a `local-dir:` folder, or in the Hugging Face cache (downloading if necessary).

    download  as for `locate`
    progress  show a bar; None: only if standard error is a terminal
    Raises `WeightsUnavailableError`, or `WeightsError` if the download is damaged.
    """
    if spec.arch.startswith(LOCAL):
        folder = Path(spec.arch.removeprefix(LOCAL))
        for name in _LOCAL_FILES:
            if (folder / name).is_file():
                return folder / name
        raise WeightsUnavailableError(
            f"{str(folder)!r} holds no weights: expected one of {', '.join(_LOCAL_FILES)}"
        )
    if spec.pretrained is None:
        raise WeightsUnavailableError(
            f"no weights are published for backbone {spec.name!r}: give a file with weights=,"
            f" --weights or {ENVIRONMENT_VARIABLE}"
        )
    repository, files = _hub_files(spec)
    hub = load_module("huggingface_hub")
    for name in files:
        try:
            cached = hub.try_to_load_from_cache(repository, name)
        except OSError as error:
            raise WeightsUnavailableError(
                f"the Hugging Face cache cannot be read ({_why(error)}): check its permissions,"
                " set HF_HOME to another folder, or give a file with weights=, --weights or"
                f" {ENVIRONMENT_VARIABLE}"
            ) from error
        if isinstance(
            cached, str
        ):  # else the file is not cached, or known not to exist in the repository
            return Path(cached)
    if not download:
        raise WeightsUnavailableError(
            f"the weights of backbone {spec.name!r} are not on this machine: run 'clipcodec fetch"
            f" {spec.name}' once, or start with --weights and a file of them"
        )
    return _download(spec, repository, files, progress)


def _hub_files(spec: BackboneSpec) -> tuple[str, list[str]]:
    """Repository, and file names to try in open_clip's order: .safetensors before .bin."""
    hub = spec.hub or settings(spec.name, spec.arch, spec.pretrained)[1].get("hf_hub", "")
    repository, _, name = hub.rpartition("/")
    if not repository:
        raise WeightsUnavailableError(
            f"open_clip has no Hugging Face repository for backbone {spec.name!r}: give a file with"
            f" weights=, --weights or {ENVIRONMENT_VARIABLE}"
        )
    if not name:
        return repository, ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
    return repository, list(dict.fromkeys([str(Path(name).with_suffix(".safetensors")), name]))


def _download(spec: BackboneSpec, repository: str, files: list[str], progress: bool | None) -> Path:
    hub, constants = load_module("huggingface_hub"), load_module("huggingface_hub.constants")
    errors = load_module("huggingface_hub.errors")
    missing = f"the weights of backbone {spec.name!r} are not in {constants.HF_HUB_CACHE}"
    remedy = (
        f"run 'clipcodec fetch {spec.name}' where there is a network and copy that folder here, or"
        f" give a file with weights=, --weights or {ENVIRONMENT_VARIABLE}"
    )
    if constants.HF_HUB_OFFLINE:
        raise WeightsUnavailableError(f"{missing}, and HF_HUB_OFFLINE forbids a download: {remedy}")
    if str(constants.HF_HUB_CACHE).startswith("~"):  # no home directory was found
        raise WeightsUnavailableError(
            f"{missing}, and there is no home directory to download them to: set HF_HOME to a"
            f" folder, or give a file with weights=, --weights or {ENVIRONMENT_VARIABLE}"
        )
    reason = unanswered()
    if reason:
        message = f"{missing}, and {constants.ENDPOINT} cannot be reached ({reason}): {remedy}"
        raise WeightsUnavailableError(message)
    with _progress(sys.stderr.isatty() if progress is None else progress):
        for name in files:
            try:
                path = Path(hub.hf_hub_download(repository, name, library_name="open_clip"))
            except (
                Exception
            ) as error:  # the hub's network errors have no common base class in all releases
                absent = isinstance(error, errors.EntryNotFoundError)
                unknown = isinstance(error, errors.LocalEntryNotFoundError)
                if absent and not unknown and name != files[-1]:
                    continue  # try open_clip's second file name
                if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
                    remedy = (
                        "free space there and check its permissions, set HF_HOME to another folder,"
                        f" or give a file with weights=, --weights or {ENVIRONMENT_VARIABLE}"
                    )
                message = (
                    f"{missing}, and downloading {repository} failed ({_why(error)}): {remedy}"
                )
                raise WeightsUnavailableError(message) from error
            verify(path, spec)
            return path
    raise AssertionError("files is never empty")


def check_at_hand(spec: BackboneSpec, what: str, repository: str, *files: str) -> None:
    """Raise `WeightsUnavailableError` soon if no file is cached and none can be downloaded.

    what   it is that lies there, for the message
    files  any of which will do
    """
    hub = load_module("huggingface_hub")
    constants = load_module("huggingface_hub.constants")
    if os.path.isdir(repository) or any(
        isinstance(hub.try_to_load_from_cache(repository, name), str) for name in files
    ):
        return
    if constants.HF_HUB_OFFLINE:
        reason: str | None = "HF_HUB_OFFLINE forbids a download"
    else:
        reason = unanswered()
        reason = reason and f"{constants.ENDPOINT} cannot be reached ({reason})"
    if reason:
        raise WeightsUnavailableError(
            f"{what} of backbone {spec.name!r} is not in {constants.HF_HUB_CACHE}, and {reason}:"
            f" run 'clipcodec fetch {spec.name}' where there is a network and copy that folder here"
        )


def unanswered() -> str | None:
    """Ask the hub once, briefly: huggingface_hub would retry a dead network for half a minute."""
    constants = load_module("huggingface_hub.constants")
    set_by_user = os.environ.get(_PATIENCE)
    patience = float(constants.HF_HUB_ETAG_TIMEOUT) if set_by_user else _PROBE_SECONDS
    return _unreachable(constants.ENDPOINT, patience)


def _why(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _unreachable(url: str, seconds: float) -> str | None:
    """Why `url` cannot be reached by huggingface_hub's own client; None if it can, or may be.

    So proxies, certificates and what else a program has set for the downloads count here, too. Any
    HTTP answer will do, an error status too. A proxy that can be reached but does not answer within
    `seconds` may be slow, and the download has to find out.
    """
    silence = f"no answer within {seconds:g} s, which {_PATIENCE} changes"
    slow = None if _by_proxy(url) else silence
    try:  # before the clock starts: importing the client and reading certificates take a while
        session = load_module("huggingface_hub.utils").get_session()
    except Exception as error:  # no certificates, or a proxy of a kind that it cannot use
        return _why(error)
    # A redirection is an answer. requests, of older releases, does not follow any here.
    options = {"follow_redirects": False} if hasattr(session, "follow_redirects") else {}
    answer: list[str | None] = []

    def ask() -> None:
        try:
            session.head(url, timeout=seconds, **options)
            answer.append(None)
        except Exception as error:  # its errors have no common base class in all releases
            kind = type(error).__name__
            if kind == "ReadTimeout":
                answer.append(slow)
            else:
                answer.append(silence if kind.endswith("Timeout") else _why(error))

    # In a thread, because the client's timeout is one of each step, and not of the name lookup.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds + 0.25)  # the client's timeout tells more if it comes first
    return answer[0] if answer else slow


def _by_proxy(url: str) -> bool:
    """Is this URL asked of a proxy, by the rules that requests and httpx share?"""
    parts = urlsplit(url)
    proxies = urllib.request.getproxies()
    named = proxies.get(parts.scheme) or proxies.get("all")
    return bool(named) and not urllib.request.proxy_bypass(parts.netloc)


@contextmanager
def _progress(show: bool) -> Iterator[None]:
    """Show huggingface_hub's progress bars and log messages, or hide both."""
    utils, log = load_module("huggingface_hub.utils"), logging.getLogger("huggingface_hub")
    bars, level = not utils.are_progress_bars_disabled(), log.level
    if show:
        yield
        return
    try:
        log.setLevel(logging.CRITICAL)
        if bars:
            utils.disable_progress_bars()
        yield
    finally:
        log.setLevel(level)
        if bars:
            utils.enable_progress_bars()


def replacement(path: Path, spec: BackboneSpec) -> str:
    """What a user can do about a damaged file, as text: a cached one is to be downloaded again."""
    blob = path.resolve()
    if any(part.startswith("models--") for part in blob.parts):
        return f"delete {str(blob)!r} and run 'clipcodec fetch {spec.name}'"
    return f"give the .safetensors or .pt file of {spec.arch}"


def sha256(path: Path) -> str:
    """Compute the SHA-256 of a file's content.

    Args:
        path: Of the file.

    Returns:
        64 hexadecimal digits.

    Examples:
        >>> from pathlib import Path
        >>> from clipcodec.models import sha256
        >>> len(sha256(Path("photo.jpg")))
        64
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def verify(path: Path, spec: BackboneSpec) -> bool:
    """Check a cached file against its name, which is its SHA-256; False if the name is no SHA-256.

    Raises `WeightsError` if the two differ.
    """
    blob = path.resolve()
    if not re.fullmatch("[0-9a-f]{64}", blob.name):
        return False
    found = sha256(blob)
    if found != blob.name:
        raise WeightsError(
            f"weights file {str(blob)!r} is damaged (its SHA-256 is {found}, but should be its"
            f" name): delete it and run 'clipcodec fetch {spec.name}'"
        )
    return True
