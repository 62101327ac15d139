"""The door: who may ask the page for anything. Only pages that it has served itself, on this machine."""

import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_ASK = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>cvae explore</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/style/base.css">
<link rel="stylesheet" href="/style/explore.css"></head>
<body><main class="ask"><h1>cvae explore</h1>
<p>This page asks for a token. It is at the end of the address that <code>cvae explore</code> has printed.</p>
<form method="get" action="/"><label for="token">Token</label>
<input id="token" name="token" autocomplete="off" autofocus><button class="main">Open</button></form></main>
</body></html>
"""
_OPEN_FILES = "/style/"  # what the page that asks for the token looks like


@dataclass(frozen=True)
class Door:
    """Who is let in.

    Attributes:
        hosts: what a request may name as its host, so that no other site's name leads here; None for any, which
            needs a token.
        token: what a visitor must know, if anything.
        cookie: the name of the cookie that remembers it.
    """

    hosts: frozenset[str] | None
    token: str | None = None
    cookie: str = "cvae-explore"

    @classmethod
    def on_this_machine(cls, port: int) -> "Door":
        """A door for browsers on this machine."""
        return cls(frozenset(f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")))

    @classmethod
    def for_others(cls, port: int) -> "Door":
        """A door for anyone who has the token, a new one."""
        return cls(None, secrets.token_urlsafe(18), f"cvae-explore-{port}")

    def refusal(self, headers: Headers) -> str | None:
        """Return why a request is not answered, whoever sends it; None if it may be."""
        host = headers.get("host", "")
        if self.hosts is not None and host not in self.hosts:
            return f"this page is for this machine only, not for a host named {host!r}"
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return f"another site, {origin!r}, has asked"
        if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
            return "another site has asked"
        return None

    def knows(self, headers: Headers) -> bool:
        """Whether a request comes from someone who has shown the token before."""
        if self.token is None:
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return False
        return cookie is not None and self.is_token(cookie.value)

    def is_token(self, text: str) -> bool:
        """Whether a text is the token."""
        return self.token is not None and secrets.compare_digest(text.encode(), self.token.encode())


class Guard:
    """Answers only whom the door lets in, and adds the headers that keep a browser from loading anything else."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_encoded(_HEADERS.items())]
            await send(message)

        answer = self._answer(scope, headers)
        await (answer or self._app)(scope, receive, send_with_headers)

    def _answer(self, scope: Scope, headers: Headers) -> Response | None:
        """What the guard answers itself."""
        if why := self._door.refusal(headers):
            return _no(403, why)
        if self._door.knows(headers) or scope["path"].startswith(_OPEN_FILES):
            return None
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["path"] != "/":
            return _no(401, "this page asks for a token")
        if not self._door.is_token(given):
            return HTMLResponse(_ASK, status_code=401)
        opened = RedirectResponse("/", status_code=303)
        opened.set_cookie(self._door.cookie, given, httponly=True, samesite="strict")
        return opened


def _no(status: int, why: str) -> Response:
    return Response(json.dumps({"error": why}), status_code=status, media_type="application/json")


def _encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers]
