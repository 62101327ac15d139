"""Show a picture in a terminal."""

from PIL import Image


def preview(picture: Image.Image, *, width: int) -> str:
    """Return a picture as text for a terminal: half blocks in 24-bit colours, at most `width` characters wide."""
    if picture.width > width:
        picture = picture.resize((width, max(1, picture.height * width // picture.width)))
    pixels = picture.convert("RGB")
    lines = []
    for y in range(0, pixels.height, 2):
        line = []
        for x in range(pixels.width):
            upper = pixels.getpixel((x, y))
            lower = pixels.getpixel((x, y + 1)) if y + 1 < pixels.height else (0, 0, 0)
            line.append("\x1b[38;2;{};{};{};48;2;{};{};{}m\u2580".format(*upper, *lower))  # type: ignore[misc]
        lines.append("".join(line) + "\x1b[0m")
    return "\n".join(lines)
