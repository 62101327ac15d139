"""`cvae train`: train a model by a recipe."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cvae_cli import console
from cvae_cli.commands import options, train_options
from cvae_cli.commands.trained import show_plans, show_recipes, show_results
from cvae_cli.errors import UsageError

if TYPE_CHECKING:
    from cvae_cli.training.length import TrainingOptions

EPILOG = """\b
Examples:
  cvae train --list
  cvae train fashion-concat
  cvae train fashion-concat --epochs 5 --limit 10000 --out runs/quick
  cvae train fashion-add --set training.schedule=one-cycle --set training.ema_decay=0.999
  cvae train folder:my-pictures --size 64 --condition static
  cvae train folder:my-pictures --minutes 5
  cvae train "webdataset:d/{00..99}.tar" --stream
  cvae train coco-64 --data-dir coco/
  cvae train fashion-concat --seeds 3
  cvae train mine.toml
  cvae train --resume runs/fashion-concat

A folder has a sub-folder for each class, or captions in metadata.jsonl, metadata.csv or a .txt beside each picture.
Ctrl-C stops after the current step and loses nothing.
"""


def train(
    recipe: train_options.Recipe = None,
    list_: Annotated[bool, typer.Option("--list", help="List the recipes.")] = False,
    resume: train_options.Resume = None,
    data: train_options.Data = None,
    data_dir: options.DataDir = None,
    size: Annotated[int | None, typer.Option(help="Width of the pictures in pixels.", metavar="N", min=1)] = None,
    condition: train_options.Condition = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.  [default: runs/RECIPE]", metavar="DIR")] = None,
    epochs: train_options.Epochs = None,
    minutes: train_options.Minutes = None,
    batch_size: Annotated[int | None, typer.Option(help="Pictures per step.", metavar="N", min=1)] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.", metavar="X")] = None,
    latent_dim: Annotated[int | None, typer.Option(help="Numbers in a latent.", metavar="N", min=1)] = None,
    beta: train_options.Beta = None,
    seed: train_options.Seed = None,
    seeds: train_options.Seeds = None,
    precision: train_options.Precision = None,
    limit: train_options.Limit = None,
    stream: train_options.Stream = False,
    prior: train_options.Prior = None,
    tune: train_options.Tune = None,
    model: train_options.Model = None,
    changes: train_options.Changes = None,
    force: Annotated[bool, typer.Option("--force", help="Start over in a folder that holds a run.")] = False,
    dry_run: train_options.DryRun = False,
    log: train_options.Log = None,
    gpus: options.Gpus = None,
    device: options.Device = "auto",
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Train a model by a recipe.

    Settings that no option changes are those of the recipe. Each epoch is saved, and a stopped run can be resumed.
    """
    console.configure(json=json, quiet=quiet, debug=debug)
    if list_:
        return show_recipes()
    options_: TrainingOptions = {
        "resume": resume,
        "data": data,
        "data_dir": data_dir,
        "size": size,
        "condition": condition,
        "out": out,
        "epochs": epochs,
        "minutes": minutes,
        "batch_size": batch_size,
        "learning_rate": lr,
        "latent_dim": latent_dim,
        "beta": beta,
        "seed": seed,
        "precision": precision,
        "limit": limit,
        "stream": stream,
        "prior": prior,
        "tune": tune,
        "model": model,
        "force": force,
        "log": log,
    }
    if seeds is not None and gpus is not None:
        raise UsageError(
            "several processes can only train one seed", hint="give each seed a command:  --seed S --out DIR"
        )
    with console.events("preparing the training"):
        from cvae_cli.config.recipe_files import parse_assignment
        from cvae_cli.training.seeds import execute_plans, plan_seeds

        options_["settings"] = dict(parse_assignment(change) for change in changes or [])
        plans = plan_seeds(recipe, seeds, **options_)
        for text in dict.fromkeys(text for plan in plans for text in plan.notices):
            console.note(text)
    if dry_run:
        return show_plans(plans)
    options.share_work(gpus, device)
    with console.events("preparing the training") as callback:
        results = execute_plans(plans, device=device, callback=callback)
    return show_results(results, is_group=seeds is not None)
