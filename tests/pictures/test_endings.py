"""What a single picture may be called, and what its file then holds."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features
from PIL.ExifTags import Base

from cvae_cli.errors import UsageError
from cvae_cli.pictures.files import ENDINGS, check_ending, encode_picture

TEXT = {"prompt": "ein grünes Kleid \U0001f457\nzwei Taschen", "seed": 7, "temperature": 0.5}
ALLOWED = {".jpg": 4, ".jpeg": 4, ".avif": 6, ".gif": 12}  # mean difference of a pixel, from 0 to 255; otherwise none


def text_of(picture: Image.Image) -> dict[str, Any]:
    match picture.format:
        case "GIF":
            return dict(json.loads(picture.info["comment"]))
        case "TIFF":
            return dict(json.loads(picture.tag_v2[270]))  # type: ignore[attr-defined]
    return dict(json.loads(picture.getexif()[Base.ImageDescription]))


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_every_ending_keeps_the_picture_and_what_was_said(ending: str, mode: str) -> None:
    y, x = np.mgrid[0:64, 0:96]
    picture = Image.fromarray(np.stack([x * 2, y * 3, (x + y) * 1], -1).astype(np.uint8)).convert(mode)
    content = encode_picture(picture, Path(f"x{ending.upper()}"), TEXT)
    with Image.open(io.BytesIO(content)) as read:
        difference = np.asarray(read.convert(mode)).astype(int) - np.asarray(picture)
        assert abs(difference).mean() <= ALLOWED.get(ending, 0)
        if ending == ".png":
            assert read.text == {key: str(value) for key, value in TEXT.items()}  # type: ignore[attr-defined]
        else:
            assert text_of(read) == TEXT
    assert content == encode_picture(picture, Path(f"y{ending}"), TEXT)


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_prompts_of_a_large_sheet_fit(ending: str) -> None:
    prompts = "\n".join(f"a very long prompt, number {number}, with ü" for number in range(3000))
    content = encode_picture(Image.new("L", (8, 8)), Path(f"x{ending}"), TEXT | {"prompt": prompts})
    with Image.open(io.BytesIO(content)) as read:
        said = read.text if ending == ".png" else text_of(read)  # type: ignore[attr-defined]
    assert str(said["seed"]) == "7"
    if ending in {".jpg", ".jpeg"}:  # whose texts have at most 64 KiB
        assert prompts.startswith(said["prompt"].removesuffix("…"))
        assert len(said["prompt"]) > 20_000
    else:
        assert said["prompt"] == prompts


@pytest.mark.parametrize(("ending", "limit"), [(".webp", "16,383"), (".jpg", "65,500"), (".gif", "65,535")])
def test_a_sheet_that_a_format_cannot_hold_is_refused(ending: str, limit: str) -> None:
    width = int(limit.replace(",", ""))
    assert encode_picture(Image.new("L", (width, 1)), Path(f"x{ending}"))
    with pytest.raises(UsageError, match=f"{ending} holds at most {limit} pixels a side, and the picture has"):
        encode_picture(Image.new("L", (width + 1, 1)), Path(f"x{ending}"))


def test_a_pillow_without_avif_refuses_it_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    check_ending(Path("x.avif"))
    monkeypatch.setattr(features, "check", lambda feature: False)
    with pytest.raises(UsageError, match="cannot write AVIF"):
        check_ending(Path("x.avif"))
