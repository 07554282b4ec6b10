"""URLs told from paths, and what the errors of a store's client mean. No store is needed."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from clipcodec.errors import CorruptError, ReplacedError, StoreError
from clipcodec.system.remote import joined
from clipcodec.system.stores import Location, fail, is_url, local_path, passes, shown_url
from clipcodec.system.uploads import replacing, upload_to


@pytest.mark.parametrize(
    "source",
    ["s3://bucket/a", "gs://b/a", "https://host/a?b=c", "zip://a::s3://b/c.zip", "FILE:///a"],
)
def test_urls(source: str) -> None:
    assert is_url(source)


@pytest.mark.parametrize(
    "source",
    ["a.clpc", "C:\\a.clpc", "C:/a.clpc", "C://a.clpc", "folder/s3://a", "a:b", "", b"s3://b/a",
     Path("s3://b/a"), None, "://a"],
)  # fmt: skip
def test_paths_and_other_objects(source: object) -> None:
    assert not is_url(source)


def test_local_urls_are_paths(tmp_path: Path) -> None:
    path = tmp_path / "a ü%.clpc"
    assert local_path(path.as_uri()) == str(path)
    assert local_path("file://localhost/a/b") == "/a/b"
    assert local_path("s3://bucket/a") is None
    assert upload_to(path.as_uri(), "x") is None
    with replacing(path.as_uri(), overwrite=False) as file:
        file.write(b"here")
    assert path.read_bytes() == b"here"


def test_messages_have_no_secret() -> None:
    url = "https://me:word@host/a.clpc?X-Signature=12#x"
    assert shown_url(url) == Location(url).name == "https://host/a.clpc"
    assert Location(url).url == url


class Answer(Exception):
    """As that of an HTTP client."""

    def __init__(self, status: int) -> None:
        super().__init__(f"answer {status} of https://host/a?signature=12")
        self.status = status


class ClientError(Exception):
    """As that of boto."""

    def __init__(self, status: int) -> None:
        super().__init__("an answer")
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}}


class NoCredentialsError(Exception):
    pass


class ClientPayloadError(Exception):
    pass


@pytest.mark.parametrize("kind", [Answer, ClientError])
def test_what_a_status_means(kind: type[Exception]) -> None:
    for status, meant in (
        (404, FileNotFoundError), (401, PermissionError), (403, PermissionError),
        (412, ReplacedError), (500, StoreError), (503, StoreError), (400, StoreError),
    ):  # fmt: skip
        with pytest.raises(meant, match="s3://b/a"):
            fail("s3://b/a", kind(status), "cannot be read")
        assert passes(kind(status)) == (status >= 500)


@pytest.mark.parametrize(
    ("error", "again", "meant"),
    [
        (TimeoutError(), True, StoreError),
        (ConnectionResetError(), True, StoreError),
        (OSError(errno.EBUSY, "slow down"), True, StoreError),
        (EOFError("7 bytes came"), True, StoreError),
        (ClientPayloadError(), True, StoreError),
        (OSError(errno.EINVAL, "no"), False, StoreError),
        (ValueError("no"), False, StoreError),
        (PermissionError("Forbidden"), False, PermissionError),
        (NoCredentialsError(), False, PermissionError),
        (FileNotFoundError(), False, FileNotFoundError),
        (IsADirectoryError(), False, IsADirectoryError),
        (CorruptError("s3://b/a"), False, CorruptError),
    ],
)
def test_what_other_errors_mean(error: Exception, again: bool, meant: type[Exception]) -> None:
    assert passes(error) == again
    with pytest.raises(meant):
        fail("s3://b/a", error, "cannot be read")


def test_a_cause_that_was_raised_from_another_counts() -> None:
    """fsspec's http calls everything that it cannot read a missing file."""
    error = FileNotFoundError("https://host/a")
    error.__cause__ = Answer(403)
    with pytest.raises(PermissionError):
        fail("https://host/a", error, "cannot be opened")
    lost = ClientPayloadError("cut")
    lost.__cause__ = Answer(400)
    assert passes(lost)


def test_what_signs_a_request_is_not_in_messages() -> None:
    for status in (403, 500):
        with pytest.raises(OSError, match="host/a") as caught:
            fail("https://host/a", Answer(status), "cannot be read")
        assert "signature" not in str(caught.value)


def test_ranges_that_are_near_are_joined_in_their_order() -> None:
    far = 10_000_000
    ranges = [(5, 10), (15, 5), (100, 0), (far, 7), (50, 7), (57, 1)]
    assert [*joined(ranges)] == [[(5, 10), (15, 5), (100, 0)], [(far, 7)], [(50, 7), (57, 1)]]
    assert [*joined([])] == []
    large = [(at, 100_000) for at in range(0, far, 100_000)]
    requests = [*joined(large)]
    assert [part for parts in requests for part in parts] == large
    sizes = [sum(size for _, size in parts) for parts in requests]
    assert sizes[0] < sizes[1] < 5_000_000  # work begins soon
    assert max(sizes) < 5_000_000
    assert len(requests) < 6


@pytest.mark.parametrize("name", ["a#1.clpc", "a?b.clpc", "x//y@z.clpc", "a b@c/d.clpc"])
def test_letters_of_a_key_are_shown(name: str) -> None:
    """Else a message would name another object."""
    assert shown_url(f"s3://bucket/{name}") == f"s3://bucket/{name}"


def test_all_of_a_password_is_left_out() -> None:
    assert shown_url("https://me:p@ss@host/a.clpc") == "https://host/a.clpc"
