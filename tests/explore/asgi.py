"""A client of an ASGI application, without a network: what a browser, or somebody else, sends and gets."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

HOST = {"host": "127.0.0.1:8765"}


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The parts of an answer."""
        return [json.loads(line) for line in self.body.splitlines()]


async def send(
    app: Callable[..., Awaitable[None]],
    path: str,
    body: bytes | dict[str, Any] | None = None,
    *,
    headers: Mapping[str, str] = HOST,
    leave: asyncio.Event | None = None,
) -> Answer:
    """Send a request, and wait for the whole answer.

    Args:
        leave: when it is set, the client leaves without waiting.
    """
    content = json.dumps(body).encode() if isinstance(body, dict) else body
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET" if content is None else "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "server": ("127.0.0.1", 8765),
        "client": ("127.0.0.1", 50000),
        "scheme": "http",
        "root_path": "",
    }
    is_read = False
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        nonlocal is_read
        if not is_read:
            is_read = True
            return {"type": "http.request", "body": content or b"", "more_body": False}
        await (leave or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def take(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, take)
    start = sent[0]
    got = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], got, b"".join(message.get("body", b"") for message in sent[1:]))
