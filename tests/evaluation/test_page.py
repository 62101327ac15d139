"""`evaluate --report`: one page with everything in it, in which every text is a text."""

import base64
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import FASHION, Command
from PIL import Image

from cvae_cli import CVAE, evaluate, load_dataset
from cvae_cli.errors import UsageError
from cvae_cli.evaluation.context import Context, Settings
from cvae_cli.evaluation.history import METRICS_FILE
from cvae_cli.evaluation.measure import evaluate_model
from cvae_cli.evaluation.page import check_page, content, write_page
from cvae_cli.evaluation.page.commands import find_runs, make_commands
from cvae_cli.evaluation.page.figures import Trade, draw_trades
from cvae_cli.evaluation.page.latents import data_options
from cvae_cli.evaluation.page.models import model_part
from cvae_cli.evaluation.page.pictures import show
from cvae_cli.events import Event, Progress

EVIL = '"><img src=x onerror=alert(1)>'
CLASSES = ("<script>alert(1)<", 'a & b\'s "c"')
TINY = ["--size", "16", "--epochs", "2", "--prior", "none", "--batch-size", "8", "--condition", "labels",
        "--set", "data.epoch_size=1", "--set", "architecture.network.width=8"]  # fmt: skip
COLOUR_SCHEMES = ("light", "dark")


class Page(HTMLParser):
    """What a browser makes of a page: its elements with their attributes, and its texts by element."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements[-1:] and self.elements[-1][0] not in {"script", "style"} and data.strip():
            self.texts.append(data.strip())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_every_name_is_a_text_and_every_picture_has_one(cvae: Command, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for index in range(12):
            pixels = random.integers(100 * number, 100 * number + 100, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{index}.png")
    trained = cvae("train", "folder:pictures", *TINY, "--out", EVIL)
    assert trained.returncode == 0, trained.stderr
    done = cvae("evaluate", "--model", EVIL, "--metric", "mse", "--metric", "ssim", "--split", "train",
                "--report", "report.html", "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "report in report.html" in done.stderr
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(html)

    # nothing comes from elsewhere, and no name has become an element
    assert {name for name, _ in page.elements} & {"iframe", "object", "embed", "base", "form"} == set()
    assert len(page.all("script")) == 1
    sources = [each["src"] for each in page.all("img") if "src" in each]
    assert len(sources) > 30
    assert all(source is not None and source.startswith("data:image/") for source in sources)
    assert all("onerror" not in attributes for _, attributes in page.elements)
    assert re.findall(r"(?:src|href)=[\"'](?!data:|#)", html) == []
    assert [each["href"] for each in page.all("link")] == ["data:,"]
    assert page.all("html") == [{"lang": "en"}]

    # the names are there, as they are, and each picture says what it shows
    assert EVIL in page.texts
    assert {*CLASSES} <= set(page.texts)
    alts = [each["alt"] for each in page.all("img") if "src" in each]
    assert all(alts)
    assert any(alt is not None and alt.endswith(f": {CLASSES[0]}") for alt in alts)
    anchors = {str(each["href"])[1:] for each in page.all("a")}
    assert anchors == {each["id"] for each in page.all("h2")}
    assert {"scores", "samples", "reconstructions", "classes", "latents", "interpolation", "curves"} <= anchors

    # the numbers are those of the evaluation
    scores = json.loads(done.stdout)["models"][0]["scores"]
    assert f"{scores['mse']:.4g}" in page.texts
    assert f"{scores['ssim']:.4g}" in page.texts
    rows = [cells for cells in _rows(page) if cells[0] in CLASSES]
    means = [float(cells[2]) for cells in rows]
    counts = [int(cells[1]) for cells in rows]
    assert np.average(means, weights=counts) == pytest.approx(scores["mse"], rel=1e-3)
    errors = [float(text) for text in page.texts[page.texts.index("Smallest errors") :][2:16:2]]
    assert errors == sorted(errors)
    assert any("cvae evaluate --model " in text and "--report report.html" in text for text in page.texts)
    assert any("cvae latents --model " in text and " --split train -n " in text for text in page.texts)


def _rows(page: Page) -> list[list[str]]:
    """The rows of the table of classes."""
    texts = page.texts[page.texts.index("distortion", page.texts.index("Classes")) + 1 :]
    return [texts[start : start + 6] for start in (0, 6)]


def test_the_accuracy_of_each_class_is_that_of_its_samples(quick_model: Path) -> None:
    model = CVAE.from_pretrained(quick_model)
    data = load_dataset("fashion-mnist", "test", data_dir=FASHION).sample(40, 0)
    scores = evaluate_model(model, data, ["accuracy"]).scores
    shown, groups = content._choose(data)
    part = model_part("quick", model, data, shown, groups, Context(torch.device("cpu")), has_accuracy=True)
    table = content._classes(data, groups, [part])
    assert table is not None
    column = table.columns.index("accuracy")
    correct = [row.pictures * float(row.values[column]) for row in table.rows]
    assert all(value == pytest.approx(round(value), abs=0.01) for value in correct)
    assert sum(correct) / 40 == pytest.approx(scores["accuracy"], abs=1e-3)


def test_commands_say_what_the_page_was_made_of(tmp_path: Path) -> None:
    data = load_dataset("fashion-mnist", "test", data_dir=FASHION).sample(30, 0)
    settings = Settings(seed=3, temperature=0.7, guidance=1.5)
    options = data_options(data, data_dir=tmp_path)
    texts = {
        each.about: each.text for each in make_commands(None, ["fashion"], ["bag"], ["bag", "coat"], settings, options)
    }
    place = f"--dataset fashion-mnist --split test -n 30 --data-dir {tmp_path}"
    assert texts["Latent space"] == f"cvae latents --model fashion {place} --seed 3 -o latents.png"
    sampled = "--seed 3 --temperature 0.7 --guidance 1.5"
    assert texts["Samples of fashion"] == f"cvae generate bag -n 8 --model fashion {sampled} -o samples.png"
    assert texts["Interpolation by fashion"] == (
        f"cvae latents --model fashion --interpolate bag coat {sampled} -o between.gif"
    )


def test_the_run_of_a_model_is_that_of_its_first_stage(quick_model: Path, tmp_path: Path) -> None:
    last = tmp_path / "run" / "prior" / "guidance" / "model"
    shutil.copytree(quick_model, last)
    shutil.copytree(quick_model, tmp_path / "alone" / "model")
    assert find_runs([str(last), None, str(tmp_path / "alone")]) == []
    (last.parent / METRICS_FILE).touch()
    assert find_runs([str(last)]) == [str(last.parent)]
    (tmp_path / "run" / METRICS_FILE).touch()
    assert find_runs([str(last), str(last.parent)]) == [str(tmp_path / "run")]


def test_distortions_of_one_kind_share_a_panel() -> None:
    kinds = ["gaussian", "bernoulli", "gaussian"]
    trades = [Trade(str(number), kind, rate=float(number), distortion=9.0) for number, kind in enumerate(kinds)]
    panels = draw_trades(trades).axes
    assert [panel.get_title() for panel in panels] == ["gaussian likelihood", "bernoulli likelihood"]
    rates = [[float(line.get_xdata()[0]) for line in panel.lines if len(line.get_xdata()) == 1] for panel in panels]
    assert rates == [[0, 2], [1]]


def test_large_pictures_of_a_page_are_compressed_and_small_ones_keep_every_pixel() -> None:
    for size, kind in ((64, "PNG"), (65, "WEBP")):
        shown = show([Image.effect_noise((size, size), 50)] * 2, "two")
        with Image.open(io.BytesIO(base64.b64decode(shown.uri.partition(",")[2]))) as picture:
            assert (picture.format, picture.size) == (kind, (2 * size + 2, size))
        assert shown.uri.startswith(f"data:image/{kind.lower()};base64,")


def test_a_page_needs_the_models_that_were_measured(quick_model: Path, tmp_path: Path) -> None:
    evaluation = evaluate(quick_model, metrics="mse", data_dir=FASHION, samples=1)
    with pytest.raises(UsageError, match="give the models that were measured: 1, not 2"):
        write_page(evaluation, tmp_path / "page.html", models=[quick_model, quick_model])


def test_a_page_from_python_with_a_model_in_memory(tmp_path: Path, quick_model: Path) -> None:
    model = CVAE.from_pretrained(quick_model)
    evaluation = evaluate(model, metrics="mse", data_dir=FASHION, samples=3)
    with pytest.raises(UsageError, match="in memory"):
        write_page(evaluation, tmp_path / "page.html", data_dir=FASHION)
    write_page(evaluation, tmp_path / "page.html", models=[model], data_dir=FASHION)
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "curves" not in {each.get("id") for each in page.all("h2")}  # it is of no run
    assert "latents" not in {each.get("id") for each in page.all("h2")}  # three pictures are too few
    assert {"samples", "interpolation"} <= {each.get("id") for each in page.all("h2")}


def test_a_page_names_a_model_as_its_user_does(tmp_path: Path, quick_model: Path) -> None:
    shutil.copytree(quick_model, tmp_path / "mine")  # by its configuration it is called "fashion"
    evaluation = evaluate(tmp_path / "mine", metrics="mse", data_dir=FASHION, samples=3)
    events: list[Event] = []
    write_page(evaluation, tmp_path / "page.html", data_dir=FASHION, callback=events.append)
    tasks = {event.task for event in events if isinstance(event, Progress)}
    assert {"mine: reconstructions", "mine: samples"} <= tasks
    assert not any("fashion:" in task or "of fashion" in task for task in tasks)
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    described = [str(each.get("alt")) for each in page.all("img")]
    assert any(text.startswith("8 samples of mine: ") for text in described)
    assert not any("of fashion" in text for text in described)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("report.pdf", "does not end in .html"),
        ("-", "does not end in .html"),
        ("folder.html", "it is a folder"),
        ("a/b.html", "a file"),
    ],
)
def test_a_page_that_cannot_be_written_is_said_before_the_work(
    cvae: Command, tmp_path: Path, name: str, said: str
) -> None:
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "a").touch()
    done = cvae("evaluate", "--model", "fashion", "--metric", "fid", "--report", name)  # which has no weights here
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert check_page(tmp_path / "new" / "page.HTM").name == "page.HTM"


def test_a_report_is_of_models(cvae: Command) -> None:
    done = cvae("evaluate", "--generated", ".", "--real", ".", "--report", "report.html")
    assert done.returncode == 2
    assert "--report is for models" in done.stderr


def test_the_report_of_fashion_and_two_runs_in_a_browser(
    browse: Callable[..., Any], executable: str, clean_environment: dict[str, str], run_folder: Path, tmp_path: Path
) -> None:
    for name in ("first", "second"):
        shutil.copytree(run_folder, tmp_path / name)
    models = [word for name in ("fashion", "first", "second") for word in ("--model", name)]
    command = ["evaluate", *models, "--metric", "mse", "--metric", "elbo", "--samples", "20", "--data-dir", FASHION]
    done = subprocess.run(
        [executable, *command, "--report", "report.html"],
        cwd=tmp_path,
        env=clean_environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    with browse((tmp_path / "report.html").as_uri()) as page:
        _check_layout(page, tmp_path)
        _check_slider(page)
        _check_long_prompts(page)
        _check_print(page)


def _check_layout(page: Any, folder: Path) -> None:
    """Nothing is wider than the screen, every picture is drawn, and a dark page is dark."""
    for width in (400, 1400):
        for scheme in COLOUR_SCHEMES:
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            picture = folder / f"report-{width}-{scheme}.png"
            page.screenshot(path=picture)
            with Image.open(picture) as shot:
                corner = shot.convert("L").getpixel((1, 1))
                assert corner > 200 if scheme == "light" else corner < 50
    broken = "[...document.images].filter(each => !each.hidden && !each.naturalWidth).length"
    assert page.evaluate(broken) == 0
    for heading in ("Scores", "Latent space", "Loss curves", "Commands"):
        assert page.get_by_role("heading", name=heading, exact=True).is_visible()
    assert page.locator("svg").count() == 3
    ink = "getComputedStyle(document.querySelector('svg g[style*=\"fill: var(--ink)\"]')).fill"
    assert page.evaluate(ink) == "rgb(230, 237, 243)"  # the last one was dark


def _check_slider(page: Any) -> None:
    """Moving the slider, by keys or otherwise, shows this step of every model."""
    slider = page.get_by_role("slider")
    frames = page.locator(".frame")
    steps = page.locator(".steps")
    assert (frames.count(), steps.count()) == (3, 3)
    for move, step in ((lambda: slider.fill("9"), 9), (lambda: slider.press("ArrowRight"), 10)):
        move()
        for index in range(3):
            thumbnail = steps.nth(index).locator("img").nth(step)
            assert frames.nth(index).is_visible()
            assert frames.nth(index).get_attribute("src") == thumbnail.get_attribute("src")
            assert frames.nth(index).get_attribute("alt") == f"step {step + 1} of 15"
        assert page.locator("output").inner_text() == f"{step + 1} of 15"
    first = steps.first.locator("img")
    assert len({first.nth(step).get_attribute("src") for step in range(15)}) > 10


def _check_long_prompts(page: Any) -> None:
    """Captions as ends of the interpolation are wrapped between words and make nothing wider than the screen."""
    write = "each => { each.firstChild.textContent = 'a person playing water polo in a wide blue sea'; }"
    for part in ("label", "span"):
        page.locator(f".slider > {part}").evaluate(write)
    for width in (400, 1400):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator(".slider").bounding_box()["height"] < 150


def _check_print(page: Any) -> None:
    """On paper everything is open, dark on white, and there is nothing to drag."""
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("[...document.querySelectorAll('details')].every(each => each.open)")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.get_by_role("slider").is_visible()
    assert page.locator(".steps").first.is_visible()
