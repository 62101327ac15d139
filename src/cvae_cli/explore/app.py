"""The page's addresses: its files, and one for each action."""

import json
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from cvae_cli.errors import CvaeError, MissingError, byte_size
from cvae_cli.evaluation.page import STYLE
from cvae_cli.explore import actions
from cvae_cli.explore import asked as ask
from cvae_cli.explore.desk import Job
from cvae_cli.explore.door import Door, Guard
from cvae_cli.explore.runs import Runs
from cvae_cli.explore.session import Session
from cvae_cli.explore.shelf import MAX_UPLOAD
from cvae_cli.version import __version__

_FILES = Path(__file__).parent / "files"
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_MAX_QUESTION = 1 << 20  # bytes of a question; of those that are refused, too

_ACTIONS: dict[str, tuple[type[ask.Asked], Callable[..., None]]] = {
    "draw": (ask.Drawing, actions.draw),
    "reconstruct": (ask.Picture, actions.reconstruct),
    "directions": (ask.Asked, actions.directions),
    "move": (ask.Move, actions.move),
    "morph": (ask.Morph, actions.morph),
    "map": (ask.Map, actions.chart),
    "glance": (ask.Point, actions.glance),
    "point": (ask.Point, actions.point),
}

Answer = Callable[[Request], Coroutine[Any, Any, Response]]


def make_app(session: Session, door: Door) -> Guard:
    """Return the application: every answer to those whom the door lets in."""
    runs = Runs(session.places.runs)

    async def about(request: Request) -> Response:
        models = session.describe()
        return JSONResponse({"models": models, "runs": runs.names, "tab": session.places.tab, "version": __version__})

    async def keep(request: Request) -> Response:
        content = await _body(request, MAX_UPLOAD, "a picture")
        name = request.query_params.get("name", "")
        return _stream(session, lambda say: actions.keep(session, content, name, say))

    async def run(request: Request) -> Response:
        name = request.path_params["name"]
        if request.query_params.get("version") == runs.version(name):
            return Response(status_code=204)
        return JSONResponse(runs.read(name))

    async def grid(request: Request) -> Response:
        place = request.path_params
        return Response(runs.grid(place["name"], place["stage"], place["epoch"]), media_type="image/png")

    routes = [
        Route("/", _file(_FILES / "page.html")),
        Route("/style/base.css", _file(STYLE)),
        *(Route(f"/style/{path.name}", _file(path)) for path in _FILES.glob("*.css")),
        *(Route(f"/script/{path.name}", _file(path)) for path in _FILES.glob("*.js")),
        Route("/api/about", about),
        Route("/api/pictures", keep, methods=["POST"]),
        Route("/api/runs/{name:path}/grid/{stage:int}/{epoch:int}.png", grid),
        Route("/api/runs/{name:path}", run),
        *(Route(f"/api/{name}", _action(session, *what), methods=["POST"]) for name, what in _ACTIONS.items()),
    ]
    handlers: Any = {CvaeError: _refused, HTTPException: _unknown}
    return Guard(Starlette(routes=routes, exception_handlers=handlers), door)


def _file(path: Path) -> Answer:
    async def answer(request: Request) -> Response:
        return Response(path.read_bytes(), media_type=_KINDS[path.suffix])

    return answer


def _action(session: Session, kind: type[ask.Asked], act: Callable[..., None]) -> Answer:
    async def answer(request: Request) -> Response:
        try:
            asked = kind.model_validate_json(await _body(request, _MAX_QUESTION, "a question"))
        except ValidationError as error:
            return JSONResponse({"error": _first_mistake(error)}, 400)
        return _stream(session, lambda say: act(session, asked, say))

    return answer


def _stream(session: Session, job: Job) -> Response:
    """Return an answer of lines of JSON, each sent as soon as its part is made. The last one may be an error."""

    async def lines() -> AsyncIterator[bytes]:
        parts = session.desk.do(job)
        try:
            async for part in parts:
                yield _line(part)
        except CvaeError as error:
            hint = session.shelf.named(error.hint) if error.hint else None
            yield _line({"error": session.shelf.named(error.message), "hint": hint})
        except Exception as error:  # a bug, of which the page must not be silent
            yield _line({"error": f"unexpected {type(error).__name__}: {error}"[:500], "hint": "this is a bug in cvae"})
        finally:
            await parts.aclose()  # type: ignore[attr-defined]

    return StreamingResponse(lines(), media_type="application/x-ndjson")


def _line(part: dict[str, Any]) -> bytes:
    return json.dumps(part, allow_nan=False).encode() + b"\n"


async def _body(request: Request, most: int, what: str) -> bytes:
    """Read what is sent along, unless it is too long; what is left of it is not read.

    Raises:
        HTTPException: it is too long, or its sender has left.
    """
    content = bytearray()
    too_long = HTTPException(413, f"{what} may have at most {byte_size(most)}", {"Connection": "close"})
    if int(request.headers.get("content-length", "0")) > most:
        raise too_long
    try:
        async for chunk in request.stream():
            content += chunk
            if len(content) > most:
                raise too_long
    except ClientDisconnect as error:
        raise HTTPException(400, "the sender has left") from error
    return bytes(content)


def _first_mistake(error: ValidationError) -> str:
    mistake = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, mistake["loc"]))
    return f"{where}: {mistake['msg']}" if where else str(mistake["msg"])


async def _refused(request: Request, error: CvaeError) -> Response:
    status = 404 if isinstance(error, MissingError) else 400
    return JSONResponse({"error": error.message, "hint": error.hint}, status)


async def _unknown(request: Request, error: HTTPException) -> Response:
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
