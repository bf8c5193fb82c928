"""Goes on training a loaded model, in a working directory of its own."""

import contextlib
import dataclasses
import os
import pathlib
from typing import Any

import keras
import numpy as np

from tfflows.choices import did_you_mean
from tfflows.data import as_source
from tfflows.models.description import ModelDescription
from tfflows.tracing.variables import named_variables
from tfflows.training.trainer import Images, Trainer, TrainingSummary
from tfflows.training.workdir import SIDE_BY_SIDE, described_workdir

_NO_DATASET = "array"


def continue_training(
    model: Any,
    images: Images,
    num_steps: int,
    *,
    workdir: str | os.PathLike | None,
    labels: np.ndarray | None,
    optimizer: keras.optimizers.Optimizer | None,
    seed: int,
    validation: Images | None,
    trainer_options: dict[str, Any],
    changes: dict[str, Any],
) -> TrainingSummary:
    """Trains a `tfflows.models.Model`; see its `fit`."""
    if labels is not None and not model.is_conditional:
        raise ValueError("The model takes no labels, got some; leave them out.")
    source = as_source(images, labels, split="train")
    experiment, optimizer = _experiment(model, optimizer, num_steps, changes)
    trainer = Trainer(
        model.distribution,
        optimizer,
        seed=seed,
        workdir=workdir,
        ema_decay=getattr(experiment, "ema_decay", 0.0),
        describe_workdir=model.paper is None,
        **trainer_options,
    )
    batch_size = changes.get("batch_size", getattr(experiment, "batch_size", None)) or min(64, source.num_images)
    content, context = model.settings, contextlib.nullcontext()
    if workdir is not None and model.paper is not None:
        content = _content(model, experiment, workdir, seed, trainer.num_side_by_side(batch_size))
        context = _described(model, experiment, content, source, workdir)
    with trainer.locked(), context:
        trained = trainer.fit(
            source,
            num_steps,
            batch_size=batch_size,
            validation=validation,
            augmentation=getattr(experiment, "augmentation", "none"),
            init_batch_size=0,
        )
    # What is evaluated from now on; the Trainer, which owns the parameters, is done.
    variables = list(named_variables(model.distribution).values())
    with trainer.averages():
        values = [variable.read_value() for variable in variables]
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    model.experiment, model.settings = experiment, content
    model.step, model.record = trained.step, None
    model.path = None if workdir is None else pathlib.Path(workdir)
    return trained


def _experiment(model, optimizer, num_steps, changes):
    """The experiment of the new run, and its optimizer."""
    if model.paper is None:
        unknown = sorted(set(changes) - {"batch_size"})
        if optimizer is None or unknown:
            missing = f"it has no field {unknown[0]!r} to change" if unknown else "give an optimizer"
            raise ValueError(f"The model belongs to no experiment: {missing}.")
        return None, optimizer
    fields = {field.name for field in dataclasses.fields(model.experiment)}
    unknown = sorted(set(changes) - fields)
    if unknown:
        raise ValueError(
            f"{type(model.experiment).__name__} has no field {unknown[0]!r}.{did_you_mean(unknown[0], fields)} Its fields are: "
            f"{', '.join(sorted(fields))}."
        )
    values = {"dataset": _NO_DATASET, **_fitting_schedule(model.experiment, num_steps, changes), "num_steps": num_steps}
    experiment = dataclasses.replace(model.experiment, **values)
    if optimizer is None:
        optimizer = model.paper.build_optimizer(experiment, model.paper.schedule_of(experiment))
    return experiment, optimizer


def _fitting_schedule(experiment, num_steps, changes):
    """The changes, and warm-up and cool-down in proportion to the steps where they are longer than the new run."""
    names = ("warmup_steps", "cooldown_steps")
    values = {name: changes.get(name, getattr(experiment, name)) for name in names}
    if not values["cooldown_steps"] or sum(values.values()) <= num_steps:
        return changes
    return {name: value * num_steps // experiment.num_steps for name, value in values.items()} | changes


def _content(model, experiment, workdir, seed, num_parts):
    """What `experiment.json` of the new run holds."""
    settings = {name: value for name, value in (model.settings or {}).items() if name != SIDE_BY_SIDE}
    settings |= {SIDE_BY_SIDE: num_parts} if num_parts > 1 else {}
    begun_from = None if model.path is None else str(model.path)
    if model.path is not None and model.path.resolve() == pathlib.Path(workdir).resolve():
        begun_from = settings.get("init_from")  # it goes on
    return {**settings, **dataclasses.asdict(experiment), "seed": seed, "init_from": begun_from}


@contextlib.contextmanager
def _described(model, experiment, content, source, workdir):
    """A context in which the workdir says what `tfflows.load` must know."""
    description = dataclasses.replace(model.description, version=ModelDescription.version)
    if source.num_classes:
        names = tuple(source.class_names)
        description = dataclasses.replace(description, num_classes=source.num_classes, class_names=names)
    # With a cool-down the schedule depends on the length of the run.
    free = {SIDE_BY_SIDE, *(() if experiment.cooldown_steps else ("num_steps",))}
    with described_workdir(workdir, content, free):
        description.write(workdir)
        yield
