"""The server of `cvae explore`: who is let in, one job at a time, and clear words for whatever is sent."""

import asyncio
import io
import json
import os
import resource
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asgi import HOST, Answer, send
from conftest import Command
from helpers import data_for, small_model
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cvae_cli import CVAE
from cvae_cli.errors import UsageError
from cvae_cli.explore.app import make_app
from cvae_cli.explore.desk import MAX_WAITING, Desk
from cvae_cli.explore.door import Door
from cvae_cli.explore.serve import address_of, find_door, open_socket
from cvae_cli.explore.session import Places, Session
from cvae_cli.explore.shelf import MAX_UPLOAD, Shelf
from cvae_cli.training.sample_grid import save_sample_grid

LONG = "x" * 100_000


@pytest.fixture
def session(quick_model: Path) -> Iterator[Session]:
    made = Session(Places([str(quick_model)], []), Desk(), Shelf())
    yield made
    assert made.desk.close()
    made.shelf.close()


@pytest.fixture
def app(session: Session) -> Any:
    return make_app(session, Door.on_this_machine(8765))


def draw(session: Session, **changes: Any) -> dict[str, Any]:
    """The question for a picture."""
    return {"model": session.places.models[0], "prompt": "dress", "n": 1} | changes


def ask(app: Any, path: str, body: Any = None, **settings: Any) -> Answer:
    return asyncio.run(send(app, path, body, **settings))


def test_the_page_offers_the_guidance_that_a_model_takes(session: Session, tmp_path: Path) -> None:
    variants = {"map-attentive": (2.0, 5.0), "map-score": (1.0, 10), "map-flow": (None, 10)}
    for variant in variants:
        small_model(variant).save_pretrained(tmp_path / variant)
    session.places = Places([str(tmp_path / variant) for variant in variants], [])
    offered = [(each["guidance"], each["most_guidance"]) for each in session.describe()]
    assert offered == list(variants.values())


# ---- the door


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"host": "evil.example"}, "this machine only"),
        ({"host": "127.0.0.1:80"}, "this machine only"),
        ({}, "this machine only"),
        (HOST | {"origin": "http://evil.example"}, "another site"),
        (HOST | {"origin": "null"}, "another site"),
        (HOST | {"origin": "http://127.0.0.1:9999"}, "another site"),
        (HOST | {"sec-fetch-site": "cross-site"}, "another site"),
        (HOST | {"sec-fetch-site": "same-site"}, "another site"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/about", "/api/draw"])
def test_a_foreign_host_or_origin_is_refused(
    app: Any, session: Session, headers: dict[str, str], why: str, path: str
) -> None:
    answer = ask(app, path, draw(session) if path == "/api/draw" else None, headers=headers)
    assert answer.status == 403
    assert why in json.loads(answer.body)["error"]


def test_the_page_itself_is_let_in_and_may_load_nothing_else(app: Any) -> None:
    for headers in (HOST, HOST | {"origin": "http://127.0.0.1:8765", "sec-fetch-site": "same-origin"}):
        answer = ask(app, "/", headers=headers)
        assert answer.status == 200
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
    for host in ("localhost:8765", "[::1]:8765"):
        assert ask(app, "/", headers={"host": host}).status == 200
    assert ask(app, "/api/../../etc/passwd").status == 404
    assert ask(app, "/style/../page.py").status == 404


def test_another_host_asks_for_a_token(session: Session) -> None:
    door = find_door("0.0.0.0", 8765)
    assert door.token is not None
    assert address_of("0.0.0.0", 8765, door).endswith(f"/?token={door.token}")
    assert find_door("127.0.0.1", 8765).token is None
    app = make_app(session, door)
    asked = ask(app, "/")
    assert (asked.status, b"asks for a token" in asked.body) == (401, True)
    assert ask(app, "/?token=wrong").status == 401
    assert ask(app, "/api/draw", draw(session)).status == 401
    opened = ask(app, f"/?token={door.token}")
    assert (opened.status, opened.headers["location"]) == (303, "/")
    cookie = opened.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    with_cookie = HOST | {"cookie": cookie.partition(";")[0]}
    assert ask(app, "/", headers=with_cookie).status == 200
    assert ask(app, "/", headers=with_cookie | {"origin": "http://evil.example"}).status == 403
    assert ask(app, "/", headers=HOST | {"cookie": "cvae-explore-8765=wrong; ;=;"}).status == 401


def test_a_port_in_use_is_said(cvae: Command, quick_model: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = cvae("explore", quick_model, "--no-browser", "--port", str(port))
        assert (done.returncode, done.stdout) == (2, "")
        assert f"port {port} is in use" in done.stderr
        assert "--port 0" in done.stderr
    with pytest.raises(UsageError, match="no address"):
        open_socket("no.such.host.invalid", 0)


def test_what_is_no_model_is_said_before_anything_is_served(cvae: Command, tmp_path: Path) -> None:
    done = cvae("explore", "fashoin", "--no-browser")
    assert done.returncode == 2
    assert 'Did you mean "fashion"?' in done.stderr


# ---- what is sent


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prompt": LONG}, "at most 2000 characters"),
        ({"prompt": ""}, 'no class of this model in ""'),
        ({"prompt": "quantum"}, "quantum"),
        ({"n": 0}, "greater than or equal to 1"),
        ({"n": 10**9}, "less than or equal to 64"),
        ({"seed": -1}, "seed must be from 0"),
        ({"seed": 2**40}, "seed must be from 0"),
        ({"temperature": 1e9}, "temperature must be from 0 to 100"),
        ({"temperature": float("nan")}, "finite"),
        ({"guidance": 3.0}, "guidance needs a prior"),
        ({"model": "../../etc"}, "no model"),
        ({"model": LONG}, "at most 400 characters"),
        ({"prompt": None}, "string"),
        ({"more": 1}, "more"),
    ],
)
def test_a_bad_question_gets_a_clear_sentence(app: Any, session: Session, changes: dict[str, Any], said: str) -> None:
    answer = ask(app, "/api/draw", draw(session, **changes))
    error = answer.lines[-1]["error"]
    assert said in error
    assert "unexpected" not in error
    assert len(error) < 300


@pytest.mark.parametrize(
    ("action", "question", "said"),
    [
        ("morph", {"start": {"prompt": ""}, "end": {"prompt": "bag"}}, 'no class of this model in ""'),
        ("morph", {"start": {"prompt": LONG}, "end": {"prompt": "bag"}}, "at most 2000 characters"),
        ("morph", {"start": {"picture": "../../../etc/hosts"}, "end": {"prompt": "bag"}}, "pattern"),
        ("morph", {"start": {"picture": "0" * 16}, "end": {"prompt": "bag"}}, "no longer on the page"),
        ("morph", {"start": {"prompt": "bag"}, "end": {"prompt": "coat"}, "steps": 10**6}, "less than or equal to 33"),
        ("reconstruct", {"picture": "0" * 16, "prompt": LONG}, "at most 2000 characters"),
        ("move", {"picture": "0" * 16, "amounts": {"principal 1": 1e9}}, "less than or equal to 100"),
        ("move", {"picture": "0" * 16, "amounts": {str(number): 1 for number in range(100)}}, "at most 64 items"),
        ("map", {"method": LONG}, "pattern"),
        ("point", {"point": -1}, "greater than or equal to 0"),
        ("point", {"point": 10**6}, "the map has"),
    ],
)
def test_every_action_says_what_it_cannot_do(
    app: Any, session: Session, action: str, question: dict[str, Any], said: str
) -> None:
    answer = ask(app, f"/api/{action}", question | {"model": session.places.models[0]})
    error = answer.lines[-1]["error"]
    assert said in error
    assert "unexpected" not in error
    assert len(error) < 300


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_question_is_refused(app: Any, body: bytes) -> None:
    answer = ask(app, "/api/draw", body)
    assert answer.status == 400
    assert json.loads(answer.body)["error"]


def hostile_pictures() -> dict[str, bytes]:
    """Files that are no pictures, or that want too much."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)

    size = (60_000).to_bytes(4) * 2
    header = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size + b"\x08\x02\x00\x00\x00")
    return {
        "empty.png": b"",
        "text.png": b"no picture at all",
        "cut.png": b"\x89PNG\r\n\x1a\n",
        "bomb.png": header + chunk(b"IDAT", zlib.compress(b"\0" * 100_000)) + chunk(b"IEND", b""),
        "program.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
        "page.svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    }


@pytest.mark.parametrize("name", hostile_pictures())
def test_a_hostile_picture_is_named_and_refused(app: Any, name: str) -> None:
    answer = ask(app, f"/api/pictures?name=../../{name}", hostile_pictures()[name])
    error = answer.lines[-1]["error"]
    assert name in error
    assert "/tmp" not in error
    assert "unexpected" not in error


def test_too_large_a_picture_is_refused_before_it_is_read(app: Any) -> None:
    answer = ask(app, "/api/pictures", b"", headers=HOST | {"content-length": str(MAX_UPLOAD + 1)})
    assert (answer.status, b"at most 17 MB" in answer.body) == (413, True)
    assert ask(app, "/api/pictures", b"\0" * (MAX_UPLOAD + 1)).status == 413


# ---- the desk


def test_pictures_are_those_of_generate_and_come_one_by_one(app: Any, session: Session, quick_model: Path) -> None:
    lines = ask(app, "/api/draw", draw(session, n=19, seed=3, temperature=0.5)).lines
    shown = [session.shelf.get(line["picture"]["key"]).path for line in lines if "picture" in line]
    expected = CVAE.from_pretrained(quick_model).generate("dress", n=19, seed=3, temperature=0.5)
    assert [Image.open(path).tobytes() for path in shown] == [picture.tobytes() for picture in expected]
    kinds = [next(iter(line)) for line in lines]
    assert kinds == ["progress", *["picture"] * 16, "progress", *["picture"] * 3, "command"]


def test_fifty_at_once_are_served_in_order_or_told_that_it_is_busy(app: Any, session: Session) -> None:
    async def all_at_once() -> list[Answer]:
        return await asyncio.gather(*(send(app, "/api/draw", draw(session, seed=seed)) for seed in range(50)))

    answers = asyncio.run(all_at_once())
    errors = [answer.lines[-1]["error"] for answer in answers if "error" in answer.lines[-1]]
    served = [answer for answer in answers if "command" in answer.lines[-1]]
    assert len(errors) + len(served) == 50
    assert len(served) >= MAX_WAITING
    assert errors
    assert all("busy" in error for error in errors)
    assert any("waiting" in answer.lines[0] for answer in served)
    assert ask(app, "/api/draw", draw(session)).lines[-1]["command"]  # and it goes on


def test_a_closed_tab_stops_its_work_at_once(app: Any, session: Session) -> None:
    """The second client gets its picture long before the first one's 64 would have been drawn."""
    model = session.model(session.places.models[0])
    layers = 0

    def count(*_: object) -> None:
        nonlocal layers
        layers += 1

    next(model.network.modules()).register_forward_pre_hook(count)
    for module in model.modules():
        module.register_forward_pre_hook(lambda *_: time.sleep(0.002))
        module.register_forward_pre_hook(count)

    async def leave_early() -> tuple[int, Answer]:
        leave = asyncio.Event()
        first = asyncio.create_task(send(app, "/api/draw", draw(session, n=64), leave=leave))
        while not layers:
            await asyncio.sleep(0.01)
        leave.set()
        await asyncio.gather(first, return_exceptions=True)
        answer = await send(app, "/api/draw", draw(session))
        return layers, answer

    seen, answer = asyncio.run(leave_early())
    assert "command" in answer.lines[-1]
    alone = layers
    ask(app, "/api/draw", draw(session, n=64))
    assert seen < layers - alone  # the batch that was being drawn, and the one of the second client


def test_memory_stays_flat_over_many_requests(app: Any, session: Session) -> None:
    picture = io.BytesIO()
    Image.radial_gradient("L").save(picture, "PNG")

    async def many(number: int) -> None:
        for seed in range(number):
            await send(app, "/api/draw", draw(session, seed=seed, prompt="bag"))
            await send(app, "/api/pictures?name=a.png", picture.getvalue())

    asyncio.run(many(10))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    asyncio.run(many(40))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB


def test_old_pictures_make_room_on_the_shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cvae_cli.explore.shelf._MAX_PICTURES", 3)
    shelf = Shelf()
    keys = [shelf.put(bytes([number]), "a.png") for number in range(4)]
    assert shelf.put(bytes([3]), "a.png") == keys[3]
    assert [path.exists() for path in (shelf.get(key).path for key in keys[1:])] == [True] * 3
    with pytest.raises(Exception, match="no longer on the page"):
        shelf.get(keys[0])
    assert shelf.named(f"{shelf.get(keys[1]).path}: cropped") == "a.png: cropped"
    shelf.close()


def test_examples_are_the_captions_that_a_model_has_learned(session: Session, tmp_path: Path) -> None:
    """Those of its samples, which the file of these says; without such a file, those of scenes."""
    folder = tmp_path / "mine"
    model = small_model("captioned-map-score")
    model.save_pretrained(folder)

    session.places = Places([str(folder)], [])

    def examples() -> list[str]:
        return session.describe()[0]["prompts"]

    assert "two dogs on a beach" in examples()
    data = data_for("captioned-map-score", 3)
    save_sample_grid(model, data, folder / "samples.png")
    captions = [data.conditions.text(row) for row in range(3)]
    assert examples() == list(dict.fromkeys(captions))
    (folder / "samples.png").write_bytes(b"no picture")
    assert "two dogs on a beach" in examples()
    nested = PngInfo()
    nested.add_text("prompts", "[" * 100_000)
    Image.new("L", (8, 8)).save(folder / "samples.png", pnginfo=nested)
    assert "two dogs on a beach" in examples()
    huge = (
        (folder / "samples.png").read_bytes().replace(struct.pack(">II", 8, 8), struct.pack(">II", 60_000, 60_000), 1)
    )
    header = huge[12:29]
    (folder / "samples.png").write_bytes(huge[:29] + struct.pack(">I", zlib.crc32(header)) + huge[33:])
    assert "two dogs on a beach" in examples()
    (folder / "samples.png").unlink()
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "samples.png")
    assert "two dogs on a beach" in examples()
