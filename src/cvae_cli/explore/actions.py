"""What the page can do. Each action is a call of the library that a command makes too, so both give the same bits."""

import base64
import time
from typing import Any

from PIL import Image

from cvae_cli.bulk.files import Picture as Written
from cvae_cli.bulk.sampling import Sampling, prompt_conditions, sample_pictures
from cvae_cli.errors import UsageError, spelled_out
from cvae_cli.evaluation.latents.projection import Method
from cvae_cli.evaluation.reconstruct import reconstruct_files
from cvae_cli.events import Callback, Event, Notice, Progress
from cvae_cli.explore import asked as ask
from cvae_cli.explore import charts, commands
from cvae_cli.explore.desk import Say
from cvae_cli.explore.examples import prompts_of
from cvae_cli.explore.session import Session
from cvae_cli.explore.shelf import Kept
from cvae_cli.models.directions import latent_of_picture, moved_picture
from cvae_cli.models.sampling import chunk_size
from cvae_cli.pictures.files import png_bytes
from cvae_cli.pictures.grid import to_pil
from cvae_cli.pictures.opening import open_picture
from cvae_cli.text.prompts import Prompts, slug

_MAX_ENCODED = 64  # latents of pictures that are kept, for sliders
_MAX_NAME = 100  # characters of the name of a file
_PREVIEW = 192  # pixels a side of a picture that was dropped onto the page


def draw(session: Session, asked: ask.Drawing, say: Say) -> None:
    """Draw pictures for a prompt, and say each as soon as it is drawn; see `cvae generate --format png`."""
    began = time.perf_counter()
    callback = _callback(session, say)
    model = session.model(asked.model, callback)
    model.prior.check_guidance(asked.guidance)
    sampling = Sampling(asked.seed, asked.temperature, asked.guidance)
    prompts = list(Prompts([asked.prompt]))  # also an empty one, for a model without a condition
    conditions = prompt_conditions(model, prompts, callback)
    digits, size = len(str(asked.n)), chunk_size(model.device, model.config.image.size)
    for start in range(0, asked.n, size):
        numbers = range(start, min(start + size, asked.n))
        say({"progress": "drawing", "done": start, "total": asked.n})
        for images in sample_pictures(model, prompts, conditions, asked.n, sampling, numbers):
            for number, image in zip(numbers, images, strict=True):
                name = f"{number + 1:0{digits}}"
                picture = Written(image, name, asked.prompt, number, sampling.metadata(model))
                say({"picture": _put(session, picture.image, f"{name}-{slug(asked.prompt)}.png", picture.text)})
    say({"command": commands.generate_command(asked.model, asked), "seconds": time.perf_counter() - began})


def keep(session: Session, content: bytes, name: str, say: Say) -> None:
    """Keep a picture that was dropped onto the page, and say how it looks; every picture file is opened with care."""
    key = session.shelf.put(content, spelled_out(name.replace("\\", "/").rpartition("/")[2])[-_MAX_NAME:] or "picture")
    kept = session.shelf.get(key)
    picture, _ = open_picture(kept.path, size=_PREVIEW, channels=3)
    say({"picture": {"key": key, "name": kept.name, "src": _source(png_bytes(picture))}})


def reconstruct(session: Session, asked: ask.Picture, say: Say) -> None:
    """Reconstruct a picture, and say how close the reconstruction is; see `cvae reconstruct`."""
    callback = _callback(session, say)
    model = session.model(asked.model, callback)
    kept = session.shelf.get(asked.picture)
    prompt = _shown(session, asked.model, asked.prompt)
    result = reconstruct_files(model, [kept.path], prompt=prompt, callback=callback)
    original, picture = (to_pil(images)[0] for images in (result.originals, result.pictures))
    say(
        {
            "original": _source(png_bytes(original)),
            "reconstruction": _source(png_bytes(picture)),
            "scores": {name: values[0] for name, values in result.scores.items()},
            "command": commands.reconstruct_command(asked.model, kept.name, prompt),
        }
    )


def directions(session: Session, asked: ask.Asked, say: Say) -> None:
    """Say along which directions the latents of a model vary."""
    chart = session.chart(asked.model, _callback(session, say))
    found = chart.directions
    say({"directions": found.names, "shares": found.shares, "of": chart.title, "why": chart.why})


def move(session: Session, asked: ask.Move, say: Say) -> None:
    """Move the latent of a picture along directions; see `CVAE.move`."""
    callback = _callback(session, say)
    model = session.model(asked.model, callback)
    kept = session.shelf.get(asked.picture)
    prompt = _shown(session, asked.model, asked.prompt)
    chart = session.chart(asked.model, callback)
    place = (asked.model, asked.picture, prompt)
    if place not in session.encoded:
        session.encoded[place] = latent_of_picture(model, kept.path, prompt=prompt, callback=callback)
        while len(session.encoded) > _MAX_ENCODED:
            session.encoded.popitem(last=False)
    amounts = {name: amount for name, amount in asked.amounts.items() if amount}
    picture = to_pil(moved_picture(model, session.encoded[place], amounts, chart.directions))[0]
    text = {"model": model.config.name, "moved": amounts}
    code = commands.move_code(asked.model, kept.name, prompt, amounts, _latents_call(session, chart))
    say({"picture": _put(session, picture, f"moved-{kept.name}", text, prompt=prompt), "code": code})


def morph(session: Session, asked: ask.Morph, say: Say) -> None:
    """Draw the way from one prompt or picture to another; see `cvae latents --interpolate`."""
    callback = _callback(session, say)
    model = session.model(asked.model, callback)
    say({"progress": "drawing", "done": 0, "total": None})
    ends = [_end(session, end) for end in (asked.start, asked.end)]
    has_pictures = any(isinstance(end, Kept) for end in ends)
    prompt = _shown(session, asked.model, asked.prompt) if has_pictures else None
    pictures = model.interpolate(
        *(end.path if isinstance(end, Kept) else end for end in ends),
        steps=asked.steps,
        prompt=prompt,
        seed=asked.seed,
        temperature=asked.temperature,
        guidance=asked.guidance,
        callback=callback,
    )
    start, end = (each.name if isinstance(each, Kept) else each for each in ends)
    text = {"from": start, "to": end, **Sampling(asked.seed, asked.temperature).metadata(model)}
    for number, picture in enumerate(pictures):
        say({"picture": _put(session, picture, f"morph-{number + 1:02}.png", {"step": number, **text})})
    say({"command": commands.morph_command(asked.model, asked, start, end, prompt, asked.steps)})


def chart(session: Session, asked: ask.Map, say: Say) -> None:
    """Say where the latents of pictures lie; see `cvae latents`."""
    callback = _callback(session, say)
    found = session.chart(asked.model, callback)
    method: Method = "tsne" if asked.method == "tsne" else "pca"
    of = found.latents
    command = None
    if found.data is not None:
        command = commands.map_command(asked.model, method=method, n=charts.PICTURES, data_dir=session.data_dir)
    say(
        {
            "points": found.points(method, callback),
            "classes": list(of.classes),
            "labels": None if of.labels is None else of.labels.tolist(),
            "texts": of.texts,
            "title": found.title,
            "why": found.why,
            "command": command,
        }
    )


def glance(session: Session, asked: ask.Point, say: Say) -> None:
    """Say how the picture of a point of the map looks."""
    found = session.chart(asked.model, _callback(session, say))
    _check_point(found, asked.point)
    say({"src": _source(png_bytes(found.picture(asked.point))), "text": found.latents.texts[asked.point]})


def point(session: Session, asked: ask.Point, say: Say) -> None:
    """Say what a point of the map is: its picture, its reconstruction, and its neighbours."""
    found = session.chart(asked.model, _callback(session, say))
    _check_point(found, asked.point)

    def described(number: int) -> dict[str, Any]:
        shown = found.latents.texts[number]
        name = f"{slug(shown)}-{int(found.latents.rows[number])}.png"
        return _put(session, found.picture(number), name, {"prompt": shown}, prompt=shown) | {"point": number}

    say({"picture": described(asked.point)})
    say({"reconstruction": _source(png_bytes(found.reconstruction(asked.point)))})
    for number in found.neighbours(asked.point):
        say({"neighbour": described(number)})


def _callback(session: Session, say: Say) -> Callback:
    """Return a callback that passes on the progress and what the user must know."""

    def tell(event: Event) -> None:
        if isinstance(event, Progress):
            say({"progress": session.shelf.named(event.task), "done": event.done, "total": event.total})
        elif isinstance(event, Notice):
            say({"note": session.shelf.named(event.text), "warning": event.is_warning})

    return tell


def _put(
    session: Session, picture: Image.Image, name: str, text: dict[str, Any], *, prompt: str | None = None
) -> dict[str, Any]:
    """Keep a picture, and return what the page needs to show it and to ask about it."""
    content = png_bytes(picture, text)
    prompt = text.get("prompt", prompt)
    key = session.shelf.put(content, name, prompt=prompt)
    return {"key": key, "name": session.shelf.get(key).name, "prompt": prompt, "src": _source(content)}


def _source(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def _shown(session: Session, model: str, prompt: str | None) -> str | None:
    """What a picture shows; a model without a condition is not told.

    Raises:
        UsageError: the model must know.
    """
    if not session.model(model).is_conditional:
        return None
    if not (prompt or "").strip():
        raise UsageError(f"say what the picture shows: {model} encodes a picture together with its prompt")
    return prompt


def _end(session: Session, end: ask.End) -> str | Kept:
    if end.picture is not None:
        return session.shelf.get(end.picture)
    return end.prompt or ""


def _check_point(found: "charts.Chart", point: int) -> None:
    if point >= len(found.latents):
        raise UsageError(f"the map has {len(found.latents)} points, from 0")


def _latents_call(session: Session, found: "charts.Chart") -> str:
    """The call that gives the latents of a chart."""
    if found.data is None:
        return f"model.prior_latents({prompts_of(found.model.config)!r}, n={len(found.latents)})"
    place = "" if session.data_dir is None else f", data_dir={str(session.data_dir)!r}"
    return f"model.latents(n={charts.PICTURES}{place})"
