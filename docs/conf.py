"""Build the documentation as a site: `sphinx-build docs build/site`.

The site needs no network: its fonts are those of the system, and formulas are MathML, which browsers draw themselves.
"""

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx

from cvae_cli import __version__

project = "cvae-cli"
author = "The cvae-cli authors"
copyright = "The cvae-cli authors"
version = release = __version__

extensions = ["myst_parser"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4  # headings can be linked to by the names that code hosts give them
source_suffix = {".md": "markdown"}
root_doc = "index"

html_theme = "furo"
html_title = "cvae-cli"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_math_renderer = "mathml"

PAGES = {  # the contents of the site, at its left
    "Begin": ["Quick start <self>", "tutorial"],
    "Tasks": [
        "draw",
        "train",
        "experiments",
        "folders",
        "shards",
        "evaluation",
        "latents",
        "explore",
        "sharing",
        "export",
        "library",
    ],
    "Help": ["troubleshooting", "glossary"],
    "Reference": ["reference", "scripts", "environment", "completion"],
    "Measured": ["results", "performance"],
    "Inside": ["architecture"],
}


def setup(app: Sphinx) -> None:
    """Add the contents, and the renderer of formulas."""
    app.connect("source-read", _add_contents)
    app.add_html_math_renderer("mathml", inline_renderers=(_draw_inline, None), block_renderers=(_draw_block, None))


def _add_contents(_: Sphinx, page: str, source: list[str]) -> None:
    """List all pages on the first one, unseen: on a code host it would be a block of code."""
    if page == root_doc:
        for part, pages in PAGES.items():
            source[0] += "\n".join(["\n```{toctree}", ":hidden:", f":caption: {part}", "", *pages, "```\n"])


def _draw_inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def _draw_block(translator: Any, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode
