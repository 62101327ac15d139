"""The page of `cvae explore` in a real browser: it draws what the commands draw, and nothing leaves the machine."""

import base64
import io
import json
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import FASHION, Command
from PIL import Image

from cvae_cli import CVAE, load_dataset

COLOUR_SCHEMES = ("light", "dark")


TABS = ("Draw", "Latent", "Morph", "Map", "Runs")


@pytest.fixture
def address(
    executable: str, clean_environment: dict[str, str], quick_model: Path, run_folder: Path, tmp_path: Path
) -> Iterator[str]:
    """The address of a page with a small model and a run, served by the command; Ctrl-C ends it."""
    shutil.copytree(quick_model, tmp_path / "quick")
    shutil.copytree(run_folder, tmp_path / "runs" / "small")
    command = [executable, "explore", "quick", "--no-browser", "--port", "0", "--data-dir", str(FASHION)]
    with subprocess.Popen(command, cwd=tmp_path, env=clean_environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:")
            yield address
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 130
            assert time.monotonic() - began < 10  # a second on an idle machine
        finally:
            process.kill()


def test_all_of_it(browse: Callable[..., Any], address: str, cvae: Command, tmp_path: Path) -> None:
    with browse(address) as page:
        _draw(page, cvae, tmp_path)
        _compare(page)
        _drop(page, tmp_path)
        _drag(page, tmp_path)
        _morph(page, cvae, tmp_path)
        _map(page)
        _follow_a_run(page, tmp_path / "runs" / "small")
        _use_keys(page)
        _look(page, tmp_path)


def _picture(image: Any) -> Image.Image:
    """The picture of an element, as it came from the server."""
    return Image.open(io.BytesIO(base64.b64decode(image.get_attribute("src").partition(",")[2])))


def _copied(page: Any, panel: str) -> list[str]:
    page.locator(f"{panel} .code button").first.click()
    return shlex.split(page.evaluate("navigator.clipboard.readText()"))


def _draw(page: Any, cvae: Command, folder: Path) -> None:
    """The page draws at once, and again for each chip and seed; the copied command draws the same files."""
    tiles = page.locator("#draw .tiles img")
    page.locator("#draw .code").wait_for()
    assert tiles.count() == 8
    first = tiles.first.get_attribute("src")
    page.get_by_role("button", name="bag", exact=True).click()
    page.locator("#draw .code", has_text="cvae generate bag").wait_for()
    page.get_by_label("Seed", exact=True).fill("7")
    page.locator("#draw").get_by_role("button", name="Draw", exact=True).click()
    page.locator("#draw .code", has_text="--seed 7").wait_for()
    assert tiles.first.get_attribute("src") != first
    words = _copied(page, "#draw")
    done = cvae(*words[1:], cwd=folder)
    assert done.returncode == 0, done.stderr
    files = sorted((folder / "bag").glob("*.png"))
    assert len(files) == 8
    for index, file in enumerate(files):
        image = page.locator("#draw .tiles img").nth(index)
        save = page.locator("#draw .tiles a").nth(index)
        assert save.get_attribute("download") == file.name
        shown = _picture(image)
        with Image.open(file) as drawn:
            assert shown.tobytes() == drawn.tobytes()
            assert shown.text == drawn.text  # type: ignore[attr-defined]


def _compare(page: Any) -> None:
    """A second model draws the same prompt and seed beside the first."""
    page.get_by_label("Compare with").select_option(label="runs/small")
    page.locator("#draw .pane").nth(1).locator(".code", has_text="--model runs/small").wait_for()
    first, second = page.locator("#draw .code code").all_inner_texts()
    assert second == first.replace("--model quick", "--model runs/small")
    page.get_by_label("Compare with").select_option(index=0)
    page.locator("#draw .pane").nth(1).wait_for(state="detached")


def _drop(page: Any, folder: Path) -> None:
    """A picture that is dropped is reconstructed; what is none is said."""
    page.get_by_role("tab", name="Latent").click()
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    page.locator("input[type=file]").set_input_files(folder / "broken.png")
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert "broken.png is not a picture that can be read" in alert.inner_text()
    Image.radial_gradient("L").resize((60, 40)).save(folder / "round.png")
    drop = """async ([name, content]) => {
        const given = new DataTransfer();
        given.items.add(new File([new Uint8Array(content)], name));
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: given, bubbles: true }));
    }"""
    page.evaluate(drop, ["round.png", list((folder / "round.png").read_bytes())])
    page.get_by_text("Say what the picture shows").wait_for()
    page.locator("#latent").get_by_role("button", name="bag", exact=True).click()
    page.locator("#latent .pane", has_text="Squared error").wait_for()
    assert "round.png: centre-cropped to 40x40" in page.locator("#latent .said").all_inner_texts()[0]


def _drag(page: Any, folder: Path) -> None:
    """A slider moves the latent: the picture is that of the lines of Python."""
    sliders = page.locator("#latent .sliders input")
    sliders.first.wait_for()
    moved = page.locator("#latent .main-figure")
    sliders.first.fill("2.5")
    page.locator("#latent .main-figure[data-moves='1']").wait_for()
    sliders.nth(1).press("ArrowLeft")
    page.locator("#latent .main-figure[data-moves='2']").wait_for()
    code = page.locator("#latent [aria-label='Lines of Python']").text_content()
    assert "'principal 1': 2.5, 'principal 2': -0.1" in code
    model = CVAE.from_pretrained(folder / "quick")
    directions = model.directions(model.latents(n=500, data_dir=FASHION))
    amounts = {"principal 1": 2.5, "principal 2": -0.1}
    expected = model.move(folder / "round.png", amounts, directions, prompt="bag")
    assert _picture(moved.locator("img")).tobytes() == expected.tobytes()


def _morph(page: Any, cvae: Command, folder: Path) -> None:
    """The copied command draws the steps of the morph."""
    page.get_by_role("tab", name="Morph").click()
    page.locator("#morph [name=start]").fill("dress")
    page.locator("#morph [name=end]").fill("sneaker")
    page.locator("#morph").get_by_role("button", name="Morph", exact=True).click()
    slider = page.get_by_label("Step of the morph")
    slider.fill("4")
    done = cvae(*_copied(page, "#morph")[1:], cwd=folder)
    assert done.returncode == 0, done.stderr
    step = _picture(page.locator("#morph .stage img"))
    with Image.open(folder / "morph.png") as strip:
        left = 4 * (strip.width - 28) // 8
        assert strip.convert("L").crop((left, 0, left + 28, 28)).tobytes() == step.tobytes()
    slider.press("ArrowRight")
    assert page.locator("#morph output").inner_text() == "6 of 9"
    page.locator("#morph .shelf").first.locator("button").first.click()  # from a picture
    page.locator("#morph").get_by_role("button", name="Morph", exact=True).click()
    page.locator("#morph .code", has_text="--prompt").wait_for()


def _map(page: Any) -> None:
    """Arrow keys and the mouse show the picture of a point, and a click its reconstruction and its neighbours."""
    page.get_by_role("tab", name="Map").click()
    page.locator("#map .code", has_text="--method pca").wait_for()
    legend = page.get_by_role("group", name="Classes").get_by_role("button")
    assert legend.count() == 10
    canvas = page.locator("canvas")
    canvas.press("ArrowRight")  # the picture in the middle
    glance = page.locator(".glance")
    glance.wait_for()
    said = page.locator("#map-said").inner_text()
    place = re.match(r"Picture (\d+) of 200: ", said)
    assert place
    test = load_dataset("fashion-mnist", "test", data_dir=FASHION)
    pixels = test.read(np.array([int(place[1]) - 1])).tobytes()
    assert _picture(glance.locator("img")).tobytes() == pixels
    box = canvas.bounding_box()
    x, y = page.evaluate(
        """(() => {
            const glance = document.querySelector(".glance"), canvas = document.querySelector("canvas");
            const { left, top } = glance.style, isRight = parseFloat(left) + 128 > canvas.clientWidth / 2;
            return [parseFloat(left) + (isRight ? 128 : -16), parseFloat(top) + 50];
        })()"""
    )
    page.mouse.move(box["x"] + 2, box["y"] + 2)  # where there is no point
    glance.wait_for(state="hidden")
    page.mouse.click(box["x"] + x, box["y"] + y)
    page.locator("#map [aria-label='Its neighbours'] button").nth(7).wait_for()
    assert _picture(page.locator("#map figure img").first).tobytes() == pixels
    assert _picture(page.locator("#map figure img").nth(1)).size == (28, 28)
    legend.first.click()
    assert legend.first.get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Drag its latent").click()
    page.locator("#latent .sliders input").first.wait_for()
    assert page.get_by_role("tab", name="Latent").evaluate("each => each === document.activeElement")


def _follow_a_run(page: Any, run: Path) -> None:
    """A new epoch appears by itself."""
    page.get_by_role("tab", name="Runs").click()
    status = page.locator("#runs [data-status]")
    page.get_by_text("model: epoch 2").wait_for()
    assert page.locator("#runs svg").count() == 3
    assert page.get_by_role("img", name="Samples of epoch 2").evaluate(
        "each => each.decode().then(() => each.naturalWidth)"
    )
    lines = (run / "metrics.jsonl").read_text().splitlines()
    lines.append(json.dumps(json.loads(lines[-1]) | {"epoch": 3}))
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    page.get_by_text("model: epoch 3").wait_for()
    assert status.inner_text() == "model: epoch 3"


def _use_keys(page: Any) -> None:
    """Tabs are reached by arrow keys, and every control has a name."""
    page.get_by_role("tab", name="Runs").press("ArrowRight")
    assert page.get_by_role("tab", name="Draw").get_attribute("aria-selected") == "true"
    assert page.locator("#draw").is_visible()
    for tab in TABS:
        page.get_by_role("tab", name=tab).click()
        nameless = """[...document.querySelectorAll("main button, main input, main select, main img")].filter((each) =>
            each.checkVisibility() && !(each.ariaLabel || each.alt || each.title || each.textContent.trim() ||
            each.labels?.length || each.closest("button")?.ariaLabel)).map((each) => each.outerHTML)"""
        found = page.evaluate(nameless)
        assert found == [], found


def _look(page: Any, folder: Path) -> None:
    """Nothing is wider than the screen, every picture is drawn, and a dark page is dark."""
    for tab in TABS:
        page.get_by_role("tab", name=tab).click()
        page.locator(f"#{tab.lower()} .busy").first.wait_for(state="detached")
        for width in (1400, 400):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            for scheme in COLOUR_SCHEMES:
                page.emulate_media(color_scheme=scheme)
                file = folder / f"{tab.lower()}-{width}-{scheme}.png"
                page.screenshot(path=file, full_page=True)
                with Image.open(file) as shot:
                    corner = shot.convert("L").getpixel((1, 1))
                    assert corner > 200 if scheme == "light" else corner < 50
        broken = "[...document.images].filter(each => each.checkVisibility() && !each.naturalWidth).length"
        assert page.evaluate(broken) == 0
