"""`cvae latents`: where pictures lie in the latent space, and what lies between them."""

from typing import Any

from cvae_cli import console
from cvae_cli.commands import latent_options, options
from cvae_cli.commands.latent_drawing import draw_spaces, draw_strip
from cvae_cli.data.catalog import check_known
from cvae_cli.paths import DEFAULT_MODEL

EPILOG = """\b
Examples:
  cvae latents --model runs/fashion-vae --model runs/fashion-concat -o latents.png
  cvae latents --model fashion --method pca -n 10000 --points points.csv -o latents.svg
  cvae latents --model fashion --interpolate dress sneaker -o morph.gif
  cvae latents --model fashion --interpolate bag/1.jpg bag/2.jpg -o strip.png
  cvae latents --model fashion --traverse 1 --prompt dress --prompt bag --labels

In a pipe, each line has a model, a tab and the accuracy of its linear probe.
"""


def latents(
    models: latent_options.Models = None,
    out: latent_options.Out = None,
    method: latent_options.Method = None,
    n: latent_options.Number = None,
    dataset: latent_options.DatasetName = None,
    split: options.Split = None,
    data_dir: options.DataDir = None,
    points: latent_options.Points = None,
    interpolate: latent_options.Interpolate = None,
    traverse: latent_options.Traverse = None,
    prompts: latent_options.Prompts = None,
    steps: latent_options.Steps = None,
    seed: options.Seed = 0,
    temperature: options.Temperature = 1.0,
    guidance: options.Guidance = None,
    scale: options.Scale = None,
    resample: options.Resample = "nearest",
    labels: options.Labels = False,
    force: options.ForceBytes = False,
    device: options.Device = "auto",
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Look into the latent space of models.

    Draws where pictures of a data set lie, and says how well a linear probe reads their class from a latent. With
    --interpolate or --traverse it draws pictures on a way through the latent space instead.
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    latent_options.check_choices(
        {"--interpolate": interpolate, "--traverse": traverse},
        models or [],
        prompts or [],
        of_figure={
            "--method": method,
            "-n": n,
            "--dataset": dataset,
            "--split": split,
            "--data-dir": data_dir,
            "--points": points,
        },
        of_strip={
            "--prompt": prompts,
            "--steps": steps,
            "--temperature": None if temperature == 1 else temperature,
            "--guidance": guidance,
            "--scale": scale,
            "--resample": None if resample == "nearest" else resample,
            "--labels": labels,
        },
    )
    if dataset is not None:
        check_known(dataset)
    options.check_models(models or [])
    wanted = models or [DEFAULT_MODEL]
    common: dict[str, Any] = {"seed": seed, "device": device, "force": force, "json": json}
    if interpolate is None and traverse is None:
        of_data: dict[str, Any] = {"n": n or 2000, "dataset": dataset, "split": split, "data_dir": data_dir}
        return draw_spaces(wanted, out, points, method=method or "tsne", **of_data, **common)
    look: dict[str, Any] = {"scale": scale, "resample": resample, "labels": labels}
    sampling: dict[str, Any] = {"temperature": temperature, "guidance": guidance}
    return draw_strip(
        wanted[0], out, interpolate, traverse, prompts or [], steps=steps, look=look, **sampling, **common
    )
