"""`cvae train`: train a model by a recipe."""

from pathlib import Path
from typing import Annotated

import typer

from cvae_cli import console
from cvae_cli.commands import options, train_options

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
  cvae train --resume runs/fashion-concat
A folder has a sub-folder for each class, or captions in metadata.jsonl, metadata.csv or a .txt beside each picture.
Ctrl-C stops after the current step and loses nothing.
"""


def train(
    recipe: train_options.Recipe = None,
    list_: Annotated[bool, typer.Option("--list", help="Show the recipes.")] = False,
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
    """Train a model by a recipe. Each epoch is saved, and a stopped run can be resumed."""
    console.configure(json=json, quiet=quiet, debug=debug)
    if list_:
        return _list()
    with console.events("getting ready to train"):
        from cvae_cli.config.recipe_files import parse_assignment, recipe_to_toml
        from cvae_cli.training.plan import plan_training

        plan = plan_training(
            recipe,
            resume=resume,
            data=data,
            data_dir=data_dir,
            size=size,
            condition=condition,
            out=out,
            epochs=epochs,
            minutes=minutes,
            batch_size=batch_size,
            learning_rate=lr,
            latent_dim=latent_dim,
            beta=beta,
            seed=seed,
            precision=precision,
            limit=limit,
            stream=stream,
            prior=prior,
            tune=tune,
            model=model,
            settings=dict(parse_assignment(change) for change in changes or []),
            force=force,
            log=log,
        )
        for text in plan.notices:
            console.note(text)
    if dry_run:
        from cvae_cli.training.look import look_at_data

        for text in [*look_at_data(plan.recipe), *plan.describe()]:
            console.note(text)
        return console.result(plan.recipe.model_dump(mode="json"), recipe_to_toml(plan.recipe).split("\n"))
    options.share_work(gpus, device)
    with console.events("getting ready to train") as callback:
        from cvae_cli.training.train import execute_plan

        result = execute_plan(plan, device=device, callback=callback)
    console.hint(f"measure it:  cvae evaluate --model {result.run}")
    summary = {"best_negative_elbo": result.best_negative_elbo, "last": result.history[-1]}
    return console.result({"run": str(result.run), "model": str(result.model), **summary}, str(result.model))


def _list() -> None:
    from cvae_cli.config.catalog import shipped_recipes
    from cvae_cli.config.recipe_files import load_recipe

    recipes = [load_recipe(name) for name in shipped_recipes()]
    console.table(
        [each.model_dump(mode="json") for each in recipes],
        columns=["recipe", "data", "epochs", "description"],
        rows=[[each.name, each.data.name, each.epochs, each.description] for each in recipes],
        footer="cvae train RECIPE --dry-run shows all settings of one",
    )
