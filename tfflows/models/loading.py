"""Loads trained models: from the working directory of a run, or by name from a folder of models."""

import os
import pathlib
import re
from collections.abc import Mapping, Sequence

from tfflows.choices import did_you_mean
from tfflows.distributions.image_model import ImageModel
from tfflows.extras import require
from tfflows.files import read_json
from tfflows.interop.sources import read_source
from tfflows.models.catalog import MODELS_DIRECTORY, RECORD_FILE, WEIGHTS_FILE
from tfflows.models.description import ModelDescription, describe_from_experiment, read_description
from tfflows.models.model import Model
from tfflows.papers import Paper, load_paper
from tfflows.tracing.variables import count_parameters, named_variables, short_variable_names
from tfflows.training.checkpoints import Checkpoints
from tfflows.training.moving_average import evaluated_names
from tfflows.training.workdir import EXPERIMENT_FILE, WorkdirError, read_experiment

CHECKPOINTS = ("latest", "best")
_STEP = re.compile(r"step-(\d+)(\.index)?")


def load(
    model: str | os.PathLike,
    checkpoint: str = "latest",
    *,
    raw: bool = False,
    models_dir: str | os.PathLike | None = None,
    image_shape: Sequence[int] | None = None,
    num_classes: int = 0,
    data_dir: str | os.PathLike | None = None,
) -> Model:
    """Loads a trained model. Nothing that concerns the whole process is changed.

    Args:
      model: Working directory of a run (of an earlier stage: its own folder within), or a name of `list_models`.
      checkpoint: `latest`, or `best`: the one that `--select=best_test` chose.
      raw: Whether to take the parameters themselves where their moving averages are what is evaluated.
      models_dir: As for `list_models`.
      image_shape: `(H, W, C)` of the images, for directories that do not say it: those of an earlier version whose folder of
        images is gone.
      num_classes: Number of classes, where `image_shape` is given.
      data_dir: Where a folder of images with a relative path is looked for, in directories of an earlier version.

    Returns:
      The model, with the weights that its evaluation uses.

    Raises:
      FileNotFoundError: If there is no such directory and no such name (the message lists the names), or no checkpoint.
      ValueError: If the directory does not say how the model is built, or an argument is unknown.
      CheckpointError: If the checkpoint is damaged, or is that of another model.

    Example:
      >>> import tfflows
      >>> tfflows.load("no_such_model", models_dir="no_such_directory")
      Traceback (most recent call last):
      FileNotFoundError: No working directory and no model 'no_such_model'; there are no models in no_such_directory.
    """
    if checkpoint not in CHECKPOINTS:
        raise ValueError(f"checkpoint must be one of {', '.join(CHECKPOINTS)}, got {checkpoint!r}.")
    path = _find(model, models_dir)
    stored = read_experiment(path)
    if "paper" not in stored:
        raise WorkdirError(
            f"{path / EXPERIMENT_FILE} names no paper, so nothing says how its model is built: a Trainer called in Python "
            "wrote it. Build the model and optimizer as then, and call Trainer(..., workdir=...).restore()."
        )
    paper = load_paper(stored["paper"])
    try:
        experiment = paper.experiment_of(stored)
    except (ValueError, TypeError) as error:
        raise WorkdirError(f"Cannot read {path / EXPERIMENT_FILE}: {error}") from error
    description = _describe(path, stored, image_shape, num_classes, data_dir)
    if not any((path / place).exists() for place in (WEIGHTS_FILE, "checkpoints", "best")):
        raise FileNotFoundError(_no_checkpoint(path, checkpoint))
    if getattr(experiment, "conditional", False) and not description.num_classes:
        raise WorkdirError(f"The model in {path} takes labels: give num_classes=N with image_shape, or data_dir.")
    image_model = _build(paper, experiment, description)
    averaged = bool(experiment.ema_decay) and not raw
    step = _restore(path, image_model, checkpoint, averaged)
    return Model(
        image_model,
        paper=paper,
        experiment=experiment,
        description=description,
        settings=stored,
        step=step,
        record=_record(path, step),
        path=path,
    )


def _build(paper: Paper, experiment: object, description: ModelDescription) -> ImageModel:
    """Builds the `ImageModel` of an experiment, with any parameters: a checkpoint is to replace them."""
    with short_variable_names():
        return paper.build_model(experiment, list(description.image_shape), description.num_classes, 0)


def _find(model, models_dir):
    """The directory of a model."""
    path = pathlib.Path(model)
    if (path / EXPERIMENT_FILE).exists():
        return path
    directory = MODELS_DIRECTORY if models_dir is None else pathlib.Path(models_dir)
    names = [entry.parent.name for entry in sorted(directory.glob(f"*/{WEIGHTS_FILE}"))]
    if str(model) in names:
        return directory / str(model)
    if path.is_dir():
        raise FileNotFoundError(
            f"{path} is not the working directory of a run: it has no {EXPERIMENT_FILE}. Check its path, or train first."
        )
    there = f"the models in {directory} are: {', '.join(names)}" if names else f"there are no models in {directory}"
    if not names and models_dir is None:
        there = "an installed package brings no models: give the directory of a run, or models_dir"
    raise FileNotFoundError(
        f"No working directory and no model {str(model)!r}; {there}.{did_you_mean(str(model), names)}"
    )


def _describe(path, stored, image_shape, num_classes, data_dir):
    if image_shape is not None:
        return ModelDescription(tuple(image_shape), num_classes, (), stored.get("num_bits", 8), "")
    described = read_description(path) or describe_from_experiment(stored, data_dir)
    if described is None:
        raise WorkdirError(
            f"Nothing in {path} says the shape of the images, and those of {stored.get('dataset')!r} cannot be read. Give "
            "image_shape=(H, W, C), and num_classes=N if the model takes labels."
        )
    return described


def _restore(path, model, checkpoint, averaged):
    """Gives a model its weights; returns their step."""
    variables = {f"model/{name}": variable for name, variable in named_variables(model).items()}
    if (path / WEIGHTS_FILE).exists():
        return load_weights(path / WEIGHTS_FILE, variables)
    named = evaluated_names(variables) if averaged else variables
    checkpoints = Checkpoints(path / "checkpoints", named, chief=False)
    step = checkpoints.restore_best(partial=True) if checkpoint == "best" else checkpoints.restore_latest(partial=True)
    if step is None:
        raise FileNotFoundError(_no_checkpoint(path, checkpoint))
    return step


def find_run(path: str | os.PathLike) -> pathlib.Path | None:
    """The directory of the run or the shipped model that a path belongs to; None if it is that of other weights.

    Args:
      path: A working directory or a folder of a model, or a checkpoint in one: its path with or without `.index`.
    """
    path = pathlib.Path(path)
    for directory in (path, path.parent.parent):
        if (directory / EXPERIMENT_FILE).exists() and (
            directory == path or path.parent.name in ("checkpoints", "best")
        ):
            return directory
    return None


def load_run(model: ImageModel, path: str | os.PathLike, raw: bool = False) -> int:
    """Gives a model the weights of a run of the same architecture, such as to begin a new run with them.

    Args:
      model: The model.
      path: As for `find_run`; of a working directory the newest checkpoint is taken.
      raw: Whether to take the parameters themselves where there are moving averages.

    Returns:
      Their step.

    Raises:
      FileNotFoundError: If there is no run or no checkpoint.
      ValueError: If the file of a shipped model does not fit.
      CheckpointError: If the checkpoint is damaged, or is that of another architecture.
    """
    directory = find_run(path)
    if directory is None:
        raise FileNotFoundError(f"{path} is neither a working directory nor a checkpoint in one.")
    averaged = bool(read_experiment(directory).get("ema_decay")) and not raw
    name = pathlib.Path(path).name
    step = _STEP.fullmatch(name)
    if step is None:
        return _restore(directory, model, "latest", averaged)
    variables = {f"model/{name}": variable for name, variable in named_variables(model).items()}
    named = evaluated_names(variables) if averaged else variables
    Checkpoints(pathlib.Path(path).parent, named, chief=False).restore_step(int(step[1]))
    return int(step[1])


def _no_checkpoint(path, checkpoint):
    stages = sorted(folder.parent.name for folder in path.glob("*/checkpoints") if any(folder.glob("step-*.index")))
    if checkpoint == "best":
        advice = "it is written by --select=best_test. Load the latest"
    elif stages:
        advice = f"its stages {', '.join(stages)} have one: load {path / stages[0]}, or train on"
    else:
        advice = "train first, or wait for the first checkpoint"
    return f"No {checkpoint} checkpoint in {path}; {advice}."


def load_weights(path: str | os.PathLike, variables: Mapping[str, object]) -> int:
    """Assigns the tensors of a `.safetensors` file to variables of the same names; none if a name or a shape differs.

    Returns:
      The number of training steps that the file says, 0 if it says none.

    Raises:
      ValueError: If the file does not fit, or is damaged.
      MissingExtraError: If safetensors is not installed.
    """
    tensors = read_source(path, count_parameters(list(variables.values())))
    wanted = {name: tuple(variable.shape) for name, variable in variables.items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if wanted != found:
        name = next(name for name in {**wanted, **found} if wanted.get(name) != found.get(name))
        there, here = found.get(name, "absent"), wanted.get(name, "absent")
        raise ValueError(f"{path} does not fit the model: {name!r} is {there} there, {here} in the model.")
    for name, variable in variables.items():
        variable.assign(tensors[name])
    with require("safetensors", "checkpoints").safe_open(os.fspath(path), "numpy") as file:
        return int((file.metadata() or {}).get("step", 0))


def _record(path, step):
    """The newest record of a directory that is of a step, as it is stored; None if there is none."""
    if (path / RECORD_FILE).exists():
        return read_json(path / RECORD_FILE)
    files = sorted((path / "results").rglob("*.json"), key=lambda file: file.stat().st_mtime_ns)
    records = [read_json(file) for file in files]
    return next((record for record in reversed(records) if record.get("steps") == step), None)
