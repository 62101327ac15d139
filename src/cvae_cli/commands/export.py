"""`cvae models export`: a model as one ONNX file."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cvae_cli import console
from cvae_cli.commands import options
from cvae_cli.errors import byte_size

EPILOG = """\b
Examples:
  cvae models export scenes -o scenes.onnx
  cvae models export runs/pictures -o pictures.onnx --guidance 2
  cvae models export scenes -o scenes.onnx --no-text-encoder --json

docs/export.md has a short program that draws from the file without torch.
"""


def export(
    model: Annotated[
        str, typer.Argument(help="Model to export: a bundled name, a folder, or org/name on the Hub.", metavar="MODEL")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write, *.onnx.", metavar="FILE")],
    guidance: options.Guidance = None,
    no_text_encoder: Annotated[
        bool,
        typer.Option(
            "--no-text-encoder", help="Leave the embedded text encoder out: the file takes vectors instead of tokens."
        ),
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Write a model to an ONNX file, from which programs without torch draw pictures.

    The file has the prior, with its steps and its guidance, the decoder, and the embedded text encoder. Its pictures
    are compared with torch's before it is written. This needs pip install "cvae-cli[onnx]".
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    options.check_models([model])
    with console.events("exporting") as callback:
        from cvae_cli.models.cvae import CVAE
        from cvae_cli.models.onnx_file import check_place

        check_place(out)
        written = CVAE.from_pretrained(model, callback=callback).export_onnx(
            out, guidance=guidance, text_encoder=not no_text_encoder
        )
    puts = ", ".join(f"{name}: {kind}" for name, kind in written.inputs.items())
    gets = ", ".join(f"{name}: {kind}" for name, kind in written.outputs.items())
    console.note(f"{puts} -> {gets}")
    size = f"{byte_size(written.bytes)}, opset {written.opset}"
    console.note(f"{size}; pictures differ from torch's by {written.difference:.1g}")
    console.result({**asdict(written), "path": str(out)}, str(out))
