"""`cvae train`: fit a model by a recipe."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cvae_cli import console
from cvae_cli.commands import options
from cvae_cli.errors import UsageError

if TYPE_CHECKING:
    import torch

    from cvae_cli.config.recipe import Recipe
    from cvae_cli.data.dataset import Dataset
    from cvae_cli.training.checkpoint import Position
    from cvae_cli.training.run import Run

EPILOG = """\b
Examples:
  cvae train --list
  cvae train fashion-concat
  cvae train fashion-concat --epochs 5 --limit 10000 --out runs/quick
  cvae train fashion-add --set training.schedule=one-cycle --set training.ema_decay=0.999
  cvae train folder:my-pictures --size 64 --condition static
  cvae train coco-64 --data-dir coco/
  cvae train --resume runs/fashion-concat
A folder has a sub-folder for each class, or captions in metadata.jsonl, metadata.csv or a .txt beside each picture.
Ctrl-C stops after the step in progress and loses nothing.
"""

_FOLDER_RECIPE = "pictures"
_MAY_CHANGE = ["training.epochs", "training.learning_rate", "training.gradient_clip", "data.dir"]


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(help="A recipe by name (see --list), a .toml file, or folder:PATH.", metavar="RECIPE"),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show the recipes.")] = False,
    resume: Annotated[Path | None, typer.Option(help="Go on with the run in this folder.", metavar="RUN")] = None,
    data: Annotated[
        str | None, typer.Option(help="Learn this data set instead of the recipe's: a name, or folder:PATH.")
    ] = None,
    data_dir: options.DataDir = None,
    size: Annotated[int | None, typer.Option(help="Pixels a side of the pictures.", min=1)] = None,
    condition: Annotated[
        str | None,
        typer.Option(
            help="What the model is told of a picture: labels, or its captions through a text encoder (static, clip, "
            "clip:ARCHITECTURE/TAG, clip:FOLDER)."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.  [default: runs/RECIPE]")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data.", min=1)] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pictures a step.", min=1)] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    latent_dim: Annotated[int | None, typer.Option(help="Numbers in a latent.", min=1)] = None,
    beta: Annotated[float | None, typer.Option(help="Weight of the rate (KL); 1 is the true bound.", min=0.0)] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.", min=0, max=2**32 - 1)] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32 or bf16.")] = None,
    limit: Annotated[int | None, typer.Option(help="Learn from the first so many pictures only.", min=1)] = None,
    prior: Annotated[
        str | None,
        typer.Option(
            help="Fit a prior afterwards, on the finished model: flow or score; none leaves out the recipe's own.",
            metavar="KIND",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="With --prior: the finished model, instead of training one.", metavar="MODEL")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change any other key of the recipe; repeatable.", metavar="KEY=VALUE"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Start over in a folder that holds a run.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, and the settings, and stop.")
    ] = False,
    gpus: options.Gpus = None,
    device: options.Device = "auto",
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Train a model by a recipe; each epoch is saved, and a stopped run goes on where it was."""
    console.configure(json=json, quiet=quiet, debug=debug)
    if list_:
        return _list()
    if not dry_run:
        options.share_work(gpus, device)
    name = None
    if recipe is not None and recipe.startswith("folder:"):
        if data is not None:
            raise UsageError(f"{recipe} or --data {data}?", hint="a folder is learned by the recipe " + _FOLDER_RECIPE)
        recipe, data = _FOLDER_RECIPE, recipe
        from cvae_cli.data.catalog import short_name

        name = short_name(data)
    asked = {
        "name": name,
        "data.name": data,
        "data.size": size,
        "data.condition": condition,
        "data.dir": str(data_dir.resolve()) if data_dir else None,
        "data.limit": limit,
        "training.epochs": epochs,
        "training.batch_size": batch_size,
        "training.learning_rate": lr,
        "training.beta": beta,
        "training.seed": seed,
        "training.precision": precision,
        "architecture.latent_dim": latent_dim,
    }
    from cvae_cli.config.catalog import shipped_recipes
    from cvae_cli.config.recipe_files import load_recipe, parse_assignment, recipe_for_prior
    from cvae_cli.training.run import with_absolute_paths

    values = {key: value for key, value in asked.items() if value is not None}
    values |= dict(parse_assignment(change) for change in changes or [])
    if resume is not None:
        if recipe or out or force or prior or model or values.keys() - set(_MAY_CHANGE):
            raise UsageError(
                "--resume goes on with a run as it was started", hint=f"only these may change: {', '.join(_MAY_CHANGE)}"
            )
        return _train(resume, None, values, device=device, force=False, dry_run=dry_run)
    if model is not None:
        if recipe is not None or prior is None:
            raise UsageError(
                "--model takes a finished model, to fit a prior to", hint="cvae train --prior score --model MODEL"
            )
        from cvae_cli.models.pretrained import find_model, read_config

        start = find_model(model).resolve()
        chosen = recipe_for_prior(str(start), read_config(start), prior, values)
        folder = out or Path("runs") / chosen.name
        if start.is_relative_to(folder.resolve()):
            raise UsageError(f"{folder} holds the model to start from", hint="choose another place with --out")
        return _train(folder, chosen, {}, device=device, force=force, dry_run=dry_run)
    if recipe is None:
        raise UsageError("which recipe?", hint=f"recipes: {', '.join(shipped_recipes())}; see cvae train --list")
    chosen = with_absolute_paths(load_recipe(recipe, values, prior=prior))
    return _train(out or Path("runs") / chosen.name, chosen, {}, device=device, force=force, dry_run=dry_run)


def _train(
    folder: Path, recipe: "Recipe | None", changes: dict[str, Any], *, device: str, force: bool, dry_run: bool
) -> None:
    """Start a run of `recipe` in `folder`, or without a recipe go on with the run that is there."""
    from cvae_cli.data.catalog import short_name
    from cvae_cli.runtime import distributed
    from cvae_cli.training.run import Run

    run = Run(folder)
    if distributed.was_restarted() and run.recipe_file.exists():
        recipe = None
    resume = recipe is None
    if recipe is None:
        recipe = run.recipe(changes)
    elif distributed.environment_world().is_first:
        run.check_new(force=force)
    if dry_run:
        from cvae_cli.config.recipe_files import recipe_to_toml

        console.note(f"{recipe.name} would learn {recipe.data.name} in {folder}")
        return console.result(recipe.model_dump(mode="json"), recipe_to_toml(recipe))
    console.hint(f"{recipe.name}: getting ready")

    from cvae_cli.models.pretrained import weights_sha256
    from cvae_cli.runtime.device import pick_device
    from cvae_cli.training.prepare import load_data

    place = pick_device(distributed.local_device(device))
    with console.events(short_name(recipe.data.name)) as callback:
        data, valid = load_data(recipe, place, callback=callback)
    with distributed.process_group(place) as world, run.lock() if world.is_first else contextlib.nullcontext():
        recipe = world.broadcast(_decided(recipe, data, place) if world.is_first else recipe)
        if not resume and world.is_first:
            run.create(recipe, force=force)
        world.barrier()
        position = _fit(run, recipe, data, valid, place, resume=resume)
        world.barrier()
        if (following := recipe.next_stage(run.kept_model.resolve(), weights_sha256(run.kept_model))) is not None:
            run, recipe = run.next_stage, following
            # a prior that was fitted to an earlier version of the model is of no use to it
            resume = run.recipe_file.exists() and run.recipe().start_sha256 == recipe.start_sha256
            world.barrier()
            if not resume and world.is_first:
                run.create(recipe, force=True)
            world.barrier()
            position = _fit(run, run.recipe(), data, valid, place, resume=resume)
    last = position.history[-1]
    console.hint(f"measure it:  cvae evaluate --model {folder}")
    console.result(
        {"run": str(folder), "model": str(run.kept_model), "best_negative_elbo": position.best, "last": last},
        str(run.kept_model),
    )
    return None


def _decided(recipe: "Recipe", data: "Dataset", device: "torch.device") -> "Recipe":
    """What "auto" means is decided once: a run that goes on elsewhere keeps its precision."""
    from cvae_cli.training.precision import decide

    precision, reason = decide(recipe, data, device)
    if reason:
        console.note(f"precision: {precision} ({reason})")
    settings = recipe.training.model_copy(update={"precision": precision})
    return recipe.model_copy(update={"training": settings})


def _fit(
    run: "Run", recipe: "Recipe", data: "Dataset", valid: "Dataset", device: "torch.device", *, resume: bool
) -> "Position":
    from cvae_cli.training.fit import fit

    console.note(_headline(recipe, data, valid, device, run.folder))
    with console.events("training") as callback:
        return fit(run, recipe, data, valid, device=device, resume=resume, callback=callback)


def _headline(recipe: "Recipe", data: "Dataset", valid: "Dataset", device: "torch.device", folder: Path) -> str:
    import numpy as np
    import torch

    from cvae_cli.data.catalog import short_name
    from cvae_cli.runtime.device import count_flops
    from cvae_cli.text.condition import condition_config
    from cvae_cli.training.build import build_model
    from cvae_cli.training.fit import passes

    model = build_model(recipe, data.name, data.image_shape, condition_config(data)).eval()
    shape = data.image_shape
    picture = torch.zeros(1, shape.channels, shape.size, shape.size)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    operations = count_flops(model.elbo, picture, torch.from_numpy(data.conditions.values(np.arange(1))))
    often = f" x {times}" if (times := passes(recipe, data)) > 1 else ""
    return (
        f"{recipe.name} on {short_name(data.name)} ({len(data):,}{often} + {len(valid):,} held back) · "
        f"{parameters / 1e6:.1f} M parameters · {operations / 1e6:.0f} MFLOP an image · "
        f"{device}, {recipe.training.precision} · {folder}"
    )


def _list() -> None:
    from cvae_cli.config.catalog import shipped_recipes
    from cvae_cli.config.recipe_files import load_recipe

    known = [load_recipe(name) for name in shipped_recipes()]
    console.table(
        [each.model_dump(mode="json") for each in known],
        columns=["recipe", "data", "epochs", "what"],
        rows=[[each.name, each.data.name, _epochs(each), each.description] for each in known],
        footer="cvae train RECIPE --dry-run shows all settings of one",
    )


def _epochs(recipe: "Recipe") -> str:
    return f"{recipe.training.epochs}" + (f" + {recipe.then.training.epochs}" if recipe.then else "")
