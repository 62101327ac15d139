"""Pictures: open any file, grids, text in files, previews in a terminal, and rounding."""

import io
import json
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from pillow_heif import register_heif_opener

from cvae_cli.errors import CorruptError, MissingError, UsageError
from cvae_cli.pictures import kinds
from cvae_cli.pictures.files import FORMATS, png_bytes, save_picture
from cvae_cli.pictures.grid import grid, to_pil
from cvae_cli.pictures.opening import open_picture
from cvae_cli.pictures.terminal import preview

RED = (255, 0, 0)

register_heif_opener()
Image.init()
WRITABLE = [
    suffix
    for suffix in sorted(kinds.PILLOW | kinds.AVIF | kinds.HEIF)
    if Image.registered_extensions()[suffix] in Image.SAVE
]
"""The endings of pictures that Pillow writes as well as reads."""


def filled(mode: str, value: Any) -> Image.Image:
    """Return a wide picture of one value, which must also be cropped and resized."""
    return Image.new(mode, (12, 8), value)


def of_values(value: float, dtype: type[np.generic]) -> Image.Image:
    return Image.fromarray(np.full((8, 8), value, dtype))


def saved(folder: Path, picture: Image.Image, name: str, **options: Any) -> Path:
    path = folder / name
    picture.save(path, **options)
    return path


def opened(path: Path, *, size: int = 8, channels: int) -> tuple[Any, list[str]]:
    """Open a picture, check its shape, and return the value of the middle pixel and the list of changes."""
    picture, done = open_picture(path, size=size, channels=channels)
    assert picture.size == (size, size)
    assert picture.mode == ("L" if channels == 1 else "RGB")
    return picture.getpixel((size // 2, size // 2)), done


FITTED = ["centre-cropped to 8x8", "resized from 8x8"]


MODES = [  # picture, file; value and changes for a grey model; the same for an RGB model
    (filled("L", 100), "grey.png", 100, [], (100, 100, 100), ["made RGB"]),
    (filled("RGB", RED), "rgb.png", 76, ["made grey"], RED, []),
    (filled("RGB", RED).convert("CMYK"), "cmyk.jpg", 76, ["made grey"], RED, ["made RGB"]),
    (filled("RGB", RED).convert("CMYK"), "cmyk.tif", 76, ["made grey"], RED, ["made RGB"]),
    (filled("RGB", RED).convert("YCbCr"), "ycbcr.tif", 76, ["made grey"], RED, ["made RGB"]),
    (filled("LAB", (128, 128, 128)), "lab.tif", 119, ["made grey"], (119, 119, 119), ["made RGB"]),
    (filled("RGB", RED).quantize(4), "palette.png", 76, ["made grey"], RED, ["made RGB"]),
    (filled("1", 1), "bits.png", 255, ["made grey"], (255, 255, 255), ["made RGB"]),
    (filled("LA", (100, 255)), "opaque-la.png", 100, ["laid on black"], (100,) * 3, ["laid on white", "made RGB"]),
    (filled("LA", (100, 0)), "clear-la.png", 0, ["laid on black"], (255,) * 3, ["laid on white", "made RGB"]),
    (filled("RGBA", (*RED, 0)), "clear.png", 0, ["laid on black", "made grey"], (255,) * 3, ["laid on white"]),
    (filled("RGBA", (*RED, 0)), "clear.webp", 0, ["laid on black", "made grey"], (255,) * 3, ["laid on white"]),
    (filled("RGBA", (*RED, 255)), "opaque.png", 76, ["laid on black", "made grey"], RED, ["laid on white"]),
]


@pytest.mark.parametrize(
    ("picture", "name", "grey", "grey_done", "rgb", "rgb_done"), MODES, ids=[name for _, name, *_ in MODES]
)
def test_any_mode_comes_out_as_asked_and_what_was_done_is_said(
    tmp_path: Path,
    picture: Image.Image,
    name: str,
    grey: int,
    grey_done: list[str],
    rgb: tuple[int, ...],
    rgb_done: list[str],
) -> None:
    path = saved(tmp_path, picture, name)
    value, done = opened(path, size=4, channels=1)
    assert value == pytest.approx(grey, abs=2)
    assert done == [*grey_done, *FITTED]
    colour, done = opened(path, size=4, channels=3)
    assert colour == pytest.approx(rgb, abs=2)
    assert done == [*rgb_done, *FITTED]


@pytest.mark.parametrize("name", ["palette.png", "palette.gif"])
def test_the_transparent_colour_of_a_palette_is_black_for_grey_models_and_white_for_rgb(
    tmp_path: Path, name: str
) -> None:
    picture = Image.new("P", (8, 8), 1)
    picture.putpalette([0, 0, 255, *RED])
    picture.paste(0, (4, 0, 8, 8))  # the right half, including the middle pixel
    path = saved(tmp_path, picture, name, transparency=0)
    assert opened(path, channels=1) == (0, ["laid on black", "made grey"])
    assert opened(path, channels=3) == ((255, 255, 255), ["laid on white", "made RGB"])
    left, _ = open_picture(path, size=8, channels=3)
    assert left.getpixel((1, 4)) == RED


@pytest.mark.parametrize(
    ("value", "dtype", "name", "expected"),
    [
        (32768, np.uint16, "middle.png", 128),
        (65535, np.uint16, "white.png", 255),
        (200, np.uint16, "nearly-black.png", 1),
        (32768, np.uint16, "middle.tif", 128),
        (32768, np.int32, "middle.pgm", 128),
        (100, np.int32, "of-8-bits.tif", 100),
        (32768, np.int32, "of-16-bits.tif", 128),
        (-5, np.int32, "negative.tif", 0),
        (0.5, np.float32, "of-one.tif", 128),
        (100, np.float32, "float-of-8-bits.tif", 100),
        (32768, np.float32, "float-of-16-bits.tif", 128),
        (float("nan"), np.float32, "nan.tif", 0),
    ],
)
def test_more_than_eight_bits_keep_their_brightness(
    tmp_path: Path, value: float, dtype: type[np.generic], name: str, expected: int
) -> None:
    path = saved(tmp_path, of_values(value, dtype), name)
    assert opened(path, channels=1) == (expected, ["reduced to 8 bits"])
    assert opened(path, channels=3) == ((expected,) * 3, ["reduced to 8 bits", "made RGB"])


def test_32_bit_values_beyond_16_bits_are_spread_from_black_to_white(tmp_path: Path) -> None:
    values = np.linspace(0, 2**30, 64, dtype=np.int32).reshape(8, 8)
    picture, _ = open_picture(saved(tmp_path, Image.fromarray(values), "wide.tif"), size=8, channels=1)
    expected = np.linspace(0, 255, 64).reshape(8, 8)
    np.testing.assert_allclose(np.asarray(picture), expected, atol=1)


def test_the_transparent_grey_of_16_bits_is_that_very_value(tmp_path: Path) -> None:
    values = np.full((8, 8), 32769, np.uint16)
    values[:, 4:] = 32768
    path = saved(tmp_path, Image.fromarray(values), "key.png", transparency=32768)
    picture, done = open_picture(path, size=8, channels=3)
    assert (picture.getpixel((0, 0)), picture.getpixel((7, 0))) == ((128, 128, 128), (255, 255, 255))
    assert done == ["reduced to 8 bits", "laid on white", "made RGB"]


@pytest.mark.parametrize("name", ["moving.gif", "moving.webp", "moving.png", "pages.tif"])
def test_of_several_frames_the_first_is_taken(tmp_path: Path, name: str) -> None:
    first, *others = [filled("RGB", colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if name.endswith("webp") else {}
    path = saved(tmp_path, first, name, save_all=True, append_images=others, **options)
    value, done = opened(path, channels=3)
    assert value == RED
    assert done[0] == "first of 3 frames"


def test_a_photo_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    pixels = np.zeros((8, 16), np.uint8)
    pixels[:, :8] = 255  # white on the left; after a quarter turn, at the top
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path, Image.fromarray(pixels), "photo.jpg", exif=exif)
    picture, done = open_picture(path, size=8, channels=1)
    assert done == ["turned upright", "centre-cropped to 8x8"]
    turned = np.asarray(picture).astype(int)
    assert turned[:3].min() > 250
    assert turned[-3:].max() < 5


def test_a_picture_that_fits_is_left_alone(tmp_path: Path) -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    picture, done = open_picture(saved(tmp_path, Image.fromarray(pixels), "fits.png"), size=8, channels=1)
    assert done == []
    np.testing.assert_array_equal(np.asarray(picture), pixels)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (37, 11)])
def test_any_size_comes_out_as_asked(tmp_path: Path, size: tuple[int, int]) -> None:
    path = saved(tmp_path, Image.new("L", size, 9), "odd.png")
    value, done = opened(path, size=28, channels=1)
    assert value == 9
    assert done[-1] == f"resized from {min(size)}x{min(size)}"


def test_only_the_middle_of_a_wide_picture_is_taken(tmp_path: Path) -> None:
    picture = Image.new("RGB", (24, 8), "white")
    picture.paste("black", (8, 0, 16, 8))
    cropped, _ = open_picture(saved(tmp_path, picture, "wide.png"), size=8, channels=3)
    assert cropped.getextrema() == ((0, 0), (0, 0), (0, 0))


@pytest.mark.parametrize("name", ["damaged.png", "damaged.jpg", "damaged.gif", "damaged.webp", "damaged.tif"])
def test_a_damaged_picture_is_refused_wherever_it_was_cut(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    path = saved(tmp_path, Image.fromarray(noise), name)
    whole = path.read_bytes()
    for length in range(0, len(whole) // 2, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(CorruptError, match=re.escape(name)):
            open_picture(path, size=8, channels=3)


def test_no_damage_escapes_as_another_error(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.random.default_rng(i).integers(0, 256, (16, 16), dtype=np.uint8)) for i in range(2)]
    path = saved(tmp_path, frames[0], "damaged.gif", save_all=True, append_images=frames[1:])
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for position in random.integers(0, len(whole), 4):
            damaged[position] = random.integers(0, 256)
        path.write_bytes(damaged)
        try:
            open_picture(path, size=8, channels=1)
        except (CorruptError, UsageError):
            refused += 1
    assert refused > 20


@pytest.mark.parametrize(
    ("name", "error"), [("absent.png", MissingError), ("file.png/inside.png", MissingError), ("", UsageError)]
)
def test_what_is_no_file_is_refused(tmp_path: Path, name: str, error: type[Exception]) -> None:
    (tmp_path / "file.png").touch()
    with pytest.raises(error, match=re.escape(str(tmp_path / name))):
        open_picture(tmp_path / name, size=8, channels=1)


def test_the_memory_of_a_picture_is_bounded_not_the_number_of_its_pixels(tmp_path: Path) -> None:
    flat = Image.new("1", (14_000, 14_000))
    with pytest.raises(UsageError, match=r"14,000 x 14,000 pixels and would take 980 MB of memory"):
        open_picture(saved(tmp_path, flat, "bomb.png"), size=8, channels=1)
    path = saved(tmp_path, flat.crop((0, 0, 8_200, 8_000)), "large.png")
    assert opened(path, channels=1)[1] == ["made grey", "centre-cropped to 8000x8000", "resized from 8000x8000"]
    assert Image.MAX_IMAGE_PIXELS  # the protection of the user's own code is as it was


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("size", [(12_000, 9_000), (16_320, 12_240)], ids=["108 megapixels", "200 megapixels"])
def test_pictures_of_telephones_take_little_memory(tmp_path: Path, size: tuple[int, int]) -> None:
    photo = Image.new("L", size, 10)
    photo.paste(200, (0, 0, size[0], size[1] // 2))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    path = saved(tmp_path, photo, "photo.jpg", exif=exif)
    code = """
import sys
from cvae_cli.data.decode import decode
pixels, broken = decode(sys.argv[1], ["photo.jpg"], 64)
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak) // 1024, pixels[0], pixels[-1], broken)
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    megabytes, first, last, broken = done.stdout.split()
    assert broken == "{}"
    assert int(first) == pytest.approx(10, abs=2)
    assert int(last) == pytest.approx(200, abs=2)
    assert int(megabytes) < 150
    _, changes = open_picture(path, size=8, channels=1)  # as `reconstruct` does, also where the whole is too large
    assert changes[0] == "turned upright"


def test_the_endings_are_those_that_pillow_reads() -> None:
    Image.init()
    readable = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    by_others = {".bufr", ".emf", ".eps", ".grib", ".h5", ".hdf", ".mpeg", ".mpg", ".ps", ".wmf"}
    readable |= {".mpo"}  # a JPEG of several pictures
    assert readable - by_others - kinds.HEIF == kinds.PILLOW | kinds.AVIF
    assert kinds.is_picture("deep/IMG.1.JPG")
    assert not kinds.is_picture("jpg")
    assert set(kinds.COMMON) <= kinds.PILLOW | kinds.HEIF


@pytest.mark.parametrize("suffix", WRITABLE)
def test_every_kind_that_pillow_writes_is_read(tmp_path: Path, suffix: str) -> None:
    kind = Image.registered_extensions()[suffix]
    mode = {"XBM": "1", "MSP": "1", "PALM": "1", "PFM": "F"}.get(kind, "P" if kind == "BLP" else "RGB")
    picture = Image.new("RGB", (64, 64), "white").convert(mode)
    path = tmp_path / f"picture{suffix}"
    with warnings.catch_warnings(action="ignore"):  # Pillow gives up some kinds
        picture.save(path)
    white = np.asarray(open_picture(path, size=8, channels=3)[0])
    assert white.min() > 250


def test_a_heic_picture_is_known_by_its_content_and_the_way_to_read_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_heif_opener()
    saved(tmp_path, Image.new("RGB", (64, 64), RED), "photo.heic").rename(tmp_path / "photo.jpg")
    unregistered = {name: opener for name, opener in Image.OPEN.items() if name not in {"HEIF", "AVIF"}}
    monkeypatch.setattr(Image, "OPEN", unregistered)
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name in unregistered])
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UsageError, match="is a HEIC picture") as caught:
        open_picture(tmp_path / "photo.jpg", size=8, channels=3)
    assert caught.value.hint == 'for these:  pip install "cvae-cli[heif]"'
    monkeypatch.undo()
    assert opened(tmp_path / "photo.jpg", channels=3)[0] == pytest.approx(RED, abs=4)


def test_postscript_is_not_given_to_ghostscript(tmp_path: Path) -> None:
    saved(tmp_path, filled("RGB", RED), "drawing.eps").rename(tmp_path / "drawing.png")
    with pytest.raises(UsageError, match="PostScript"):
        open_picture(tmp_path / "drawing.png", size=8, channels=3)


def pictures(n: int, mode: str = "L") -> list[Image.Image]:
    """Return `n` pictures, 4 wide and 3 high; the i-th has the grey value i."""
    return [Image.new(mode, (4, 3), i if mode == "L" else (i, i, i)) for i in range(n)]


@pytest.mark.parametrize(
    ("n", "columns", "size"),
    [
        (1, None, (4, 3)),
        (1, 8, (4, 3)),
        (2, None, (10, 3)),
        (3, None, (10, 8)),
        (9, None, (16, 13)),
        (10, None, (22, 13)),
        (3, 1, (4, 13)),
        (7, 3, (16, 13)),
        (3, 50, (16, 3)),
    ],
)
def test_a_grid_has_as_many_columns_as_asked_and_margins_between(
    n: int, columns: int | None, size: tuple[int, int]
) -> None:
    sheet = grid(pictures(n), columns=columns)
    assert sheet.size == size


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_grid_runs_row_by_row_on_white(mode: str) -> None:
    sheet = np.asarray(grid(pictures(5, mode), columns=3).convert("L"))
    expected = np.full((8, 16), 255)
    for i in range(5):
        top, left = 5 * (i // 3), 6 * (i % 3)
        expected[top : top + 3, left : left + 4] = i
    np.testing.assert_array_equal(sheet, expected)


@pytest.mark.parametrize(
    "prompt",
    ["a red dress", "", "ein grünes Kleid", "一条裙子 👗", "dress\nbag\n", "tab\tand\rreturn", "x" * 100_000],
    ids=lambda prompt: repr(prompt[:12]),
)
def test_png_text_comes_back_as_it_was(prompt: str) -> None:
    picture = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    with Image.open(io.BytesIO(png_bytes(picture, {"prompt": prompt, "seed": "7"}))) as read:
        assert read.text == {"prompt": prompt, "seed": "7"}
        assert read.tobytes() == picture.tobytes()


@pytest.mark.parametrize(
    ("prompt", "kept"), [("a\0dress", "a dress"), ("dress \udcff", "dress ?")], ids=["NUL", "not UTF-8"]
)
def test_png_text_keeps_what_it_can_hold(prompt: str, kept: str) -> None:
    with Image.open(io.BytesIO(png_bytes(Image.new("L", (2, 2)), {"prompt": prompt}))) as read:
        assert read.text == {"prompt": kept}


def test_formats_are_listed_without_pillow() -> None:
    code = "import sys; from cvae_cli.pictures.files import FORMATS; print(*FORMATS, 'PIL' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "png webp False\n"


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_every_format_keeps_pixels_and_text(suffix: str, mode: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).convert(mode)
    content = FORMATS[suffix](picture, {"prompt": "ein grünes Kleid", "seed": "7"})
    with Image.open(io.BytesIO(content)) as read:
        assert read.format == suffix.upper()
        assert read.convert(mode).tobytes() == picture.tobytes()
        text = read.text if suffix == "png" else json.loads(read.getexif()[ExifTags.Base.ImageDescription])
    assert text == {"prompt": "ein grünes Kleid", "seed": "7"}


def test_the_same_picture_and_text_are_the_same_bytes(tmp_path: Path) -> None:
    picture = filled("RGB", RED)
    save_picture(picture, tmp_path / "new" / "red.png", {"seed": "0"})
    assert (tmp_path / "new" / "red.png").read_bytes() == png_bytes(picture, {"seed": "0"})
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["red.png"]


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(
    ("size", "width", "columns", "lines"),
    [
        ((28, 28), 80, 28, 14),
        ((28, 28), 28, 28, 14),
        ((58, 28), 40, 40, 10),
        ((3, 5), 80, 3, 3),
        ((1, 1), 80, 1, 1),
        ((1000, 2), 10, 10, 1),
        ((28, 28), 1, 1, 1),
    ],
)
def test_a_preview_has_two_rows_a_line_and_fits_the_width(
    mode: str, size: tuple[int, int], width: int, columns: int, lines: int
) -> None:
    shown = preview(Image.new(mode, size), width=width).split("\n")
    visible = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in shown]
    assert visible == ["▀" * columns] * lines
    assert all(line.endswith("\x1b[0m") for line in shown)


def test_a_preview_shows_the_upper_pixel_over_the_lower() -> None:
    picture = Image.new("RGB", (1, 3))
    for y, colour in enumerate([(1, 2, 3), (4, 5, 6), (7, 8, 9)]):
        picture.putpixel((0, y), colour)
    first, second = preview(picture, width=80).split("\n")
    assert first == "\x1b[38;2;1;2;3;48;2;4;5;6m▀\x1b[0m"
    assert second == "\x1b[38;2;7;8;9;48;2;0;0;0m▀\x1b[0m"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 0), (0.49 / 255, 0), (0.51 / 255, 1), (127.4 / 255, 127), (127.6 / 255, 128), (254.6 / 255, 255), (1, 255)],
)
@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_to_pil_rounds_to_the_nearest_value(value: float, expected: int, channels: int, mode: str) -> None:
    (picture,) = to_pil(torch.full((1, channels, 2, 3), value))
    assert (picture.mode, picture.size) == (mode, (3, 2))
    assert set(picture.tobytes()) == {expected}


def test_to_pil_bounds_what_is_outside_and_keeps_pictures_and_channels_in_order() -> None:
    images = torch.tensor([[-0.5, 0.0, 1.0], [1.5, 0.2, 0.4]]).view(2, 3, 1, 1)
    assert [picture.getpixel((0, 0)) for picture in to_pil(images)] == [(0, 0, 255), (255, 51, 102)]


def test_every_8_bit_value_survives_to_pil() -> None:
    values = torch.arange(256).view(1, 1, 16, 16)
    (picture,) = to_pil(values / 255)
    assert picture.tobytes() == bytes(range(256))


def test_a_small_picture_that_promises_gigabytes_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk of a PNG may have a length of 4 GB, for which there may be no memory."""

    def no_memory(self: object) -> None:
        raise MemoryError

    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load_end", no_memory)
    with pytest.raises(CorruptError, match="promises more data than memory can hold"):
        open_picture(tmp_path / "a.png", size=4, channels=3)
