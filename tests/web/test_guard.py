"""Only our own page is answered."""

from __future__ import annotations

import pytest

pytest.importorskip("starlette")

from starlette.datastructures import Headers

from clipcodec.web.guard import Guard


async def nothing(scope: object, receive: object, send: object) -> None:
    raise AssertionError("not reached")


def fault(method: str, path: str, *headers: str, port: int = 8765) -> str | None:
    """Headers as `Name: value`."""
    raw = [tuple(part.strip().encode() for part in line.lower().split(":", 1)) for line in headers]
    return Guard(nothing, port).fault(method, path, Headers(raw=raw))  # type: ignore[arg-type]


OURS = "Host: 127.0.0.1:8765"


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/", [OURS]),
        ("GET", "/", ["Host: localhost:8765"]),
        ("GET", "/", ["Host: LOCALHOST:8765"]),
        ("HEAD", "/", [OURS]),
        ("GET", "/api/items", [OURS, "Origin: http://127.0.0.1:8765"]),
        ("GET", "/api/items", [OURS, "Sec-Fetch-Site: same-origin"]),
        ("GET", "/", [OURS, "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"]),
        ("GET", "/", [OURS, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"]),  # a link
        ("POST", "/api/image", [OURS, "Origin: http://127.0.0.1:8765"]),
        ("POST", "/api/image", ["Host: localhost:8765", "Origin: http://localhost:8765"]),
    ],
)
def test_our_page_is_answered(method: str, path: str, headers: list[str]) -> None:
    assert fault(method, path, *headers) is None


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/", []),
        ("GET", "/", ["Host: evil.example"]),  # DNS rebinding
        ("GET", "/", ["Host: evil.example:8765"]),
        ("GET", "/", ["Host: 127.0.0.1.evil.example:8765"]),
        ("GET", "/", ["Host: 127.0.0.1"]),
        ("GET", "/", ["Host: 127.0.0.1:80"]),
        ("GET", "/", ["Host: 0.0.0.0:8765"]),
        ("GET", "/", ["Host: [::1]:8765"]),
        ("GET", "/", [OURS, "Host: evil.example"]),
        ("GET", "/api/items", [OURS, "Origin: http://evil.example"]),
        ("GET", "/api/items", [OURS, "Origin: null"]),
        ("GET", "/api/items", [OURS, "Origin: https://127.0.0.1:8765"]),
        ("GET", "/api/items", [OURS, "Origin: http://localhost:8765"]),
        ("GET", "/api/items", [OURS, "Origin: http://127.0.0.1:3000"]),  # another program here
        ("GET", "/api/items", [OURS, "Sec-Fetch-Site: same-site"]),
        ("GET", "/api/thumb/0", [OURS, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"]),
        ("GET", "/api/items", [OURS, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"]),
        ("POST", "/api/image", [OURS]),
        ("POST", "/api/image", [OURS, "Origin: null"]),
        ("POST", "/api/image", [OURS, "Origin: http://evil.example"]),
        ("POST", "/", [OURS, "Origin: http://127.0.0.1:8765", "Sec-Fetch-Site: cross-site",
                       "Sec-Fetch-Mode: navigate"]),
        ("PUT", "/", [OURS]),
        ("OPTIONS", "/", [OURS]),
    ],
)  # fmt: skip
def test_all_others_are_refused(method: str, path: str, headers: list[str]) -> None:
    assert fault(method, path, *headers) is not None


def test_port_80_need_not_be_named() -> None:
    assert fault("GET", "/", "Host: localhost", port=80) is None
    assert fault("GET", "/", "Host: localhost", port=8765) is not None
