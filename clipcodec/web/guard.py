"""Whose requests are answered: those of our own page, and of no other site or host name.

The server listens on 127.0.0.1 only, but every page that is open in the user's browser can send
requests there. It could do so under a host name of its own, which it lets point to 127.0.0.1 (DNS
rebinding), and would then be allowed to read the answers. So a request must name us as its host,
and must not come from another site.
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_METHODS = ("GET", "HEAD", "POST")


class Guard:
    """An ASGI application around another, for one port of 127.0.0.1."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        names = ("127.0.0.1", "localhost")
        self._hosts = {f"{name}:{port}" for name in names}
        if port == 80:
            self._hosts.update(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if "cache-control" not in headers:
                    headers["Cache-Control"] = "no-store"
            await send(message)

        reason = self.fault(scope["method"], scope["path"], Headers(scope=scope))
        if reason is None:
            await self._app(scope, receive, send_with_headers)
        else:
            await PlainTextResponse(reason, 403)(scope, receive, send_with_headers)

    def fault(self, method: str, path: str, headers: Headers) -> str | None:
        """Why a request is refused; None if it is not."""
        if method not in _METHODS:
            return f"{method} is not answered here"
        host = headers.getlist("host")
        if len(host) != 1 or host[0].lower() not in self._hosts:
            return "this server answers under 127.0.0.1 and localhost only"
        origin = headers.getlist("origin")
        if method == "POST" and not origin:
            return "a POST must come from the page of this server"
        if any(given.lower() != f"http://{host[0].lower()}" for given in origin):
            return "requests of other sites are not answered"
        # Images and scripts are asked for without an Origin; browsers say here who asks.
        site = headers.get("sec-fetch-site", "none")
        followed = method == "GET" and path == "/" and headers.get("sec-fetch-mode") == "navigate"
        if site not in ("same-origin", "none") and not followed:
            return "requests of other sites are not answered"
        return None
