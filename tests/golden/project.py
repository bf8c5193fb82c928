"""Everything of the project that the golden tests import: where something moves, it is here that its address changes."""

import dataclasses
import functools
import importlib

import tensorflow as tf

PAPERS = ("glow", "flowpp", "macow", "vflow", "agave", "realnvp")
TOY = "vflow_checkerboard"

# What no variable depends on; experiments that differ in these alone are built once.
_BESIDE_THE_MODEL = (
    "name",
    "dataset",  # but for its channels and classes
    "num_bits",
    "augmentation",
    "batch_size",
    "init_batch_size",
    "evaluation_batch_size",
    "num_steps",
    "learning_rate",
    "warmup_steps",
    "cooldown_steps",
    "evaluate_every",
    "evaluate_train",
    "train_images",
    "holdout",
    "ema_decay",
    "tf32",
    "scale",
    "source",
    "note",
    "optimizer",
    "beta_1",
    "beta_2",
    "decay",
    "schedule",
    "clip_norm",
    "dropout_rate",
    "kl_weight",
    "auxiliary_levels",
    "initial_log_scale",
    "pretraining_steps",
    "free_bits",
    "joint_free_bits",
)


@functools.cache
def reproduction_of(paper):
    """The paper's `Reproduction`."""
    return getattr(importlib.import_module(f"reproductions.{paper}.reproduction"), paper.upper())


def experiments_of(paper):
    """`{key: experiment}` of all of a paper's experiments, stages and reduced sizes: `NAME`, `NAME:vae`, `NAME:small`."""
    reproduction, found = reproduction_of(paper), {}
    for name, experiment in reproduction.experiments.items():
        sizes = {name: experiment}
        if experiment.scale == "paper":
            sizes[f"{name}:small"] = reproduction.small(experiment)
        for key, sized in sizes.items():
            for stage, staged in reproduction.stages(sized).items():
                found[key if staged is sized else f"{key}:{stage}"] = staged
    return found


def golden_experiment(run):
    """The experiment of a `GoldenRun`."""
    from reproductions.fields import override

    reproduction = reproduction_of(run.paper)
    texts = [argument.removeprefix("--set=") for argument in run.command("", 1, "") if argument.startswith("--set=")]
    experiment = override(reproduction.named_experiment(run.experiment), [f"dataset={run.dataset}", *texts])
    return reproduction.stages(experiment)[run.stage or "joint"]


def variable_lines(paper, experiment):
    """Names, shapes, types of the variables of an experiment's model in their order, a line each, and which are trained."""
    from tfflows.data import dataset_spec

    if experiment.dataset.startswith("folder:"):
        channels, classes = 3, 0
    else:
        spec = dataset_spec(experiment.dataset)
        channels, classes = spec.num_channels, spec.num_classes
    kept = [field.name for field in dataclasses.fields(experiment) if field.name not in _BESIDE_THE_MODEL]
    key = (paper, channels, classes, *(getattr(experiment, name) for name in kept))
    if key not in _LINES:
        _LINES[key] = _build_lines(paper, experiment, channels, classes)
    return _LINES[key]


_LINES = {}


def _build_lines(paper, experiment, channels, classes):
    from tfflows.tracing.variables import named_variables

    shape = [experiment.image_size, experiment.image_size, channels]
    with tf.Graph().as_default():
        model = reproduction_of(paper).build_model(experiment, shape, classes, seed=0)
        return tuple(_line(name, variable) for name, variable in named_variables(model).items())


def _line(name, variable):
    trained = "trained" if variable.trainable else "not trained"
    return f"{name} {list(variable.shape)} {variable.dtype.name} {trained}"


@functools.cache
def toy_lines():
    """`{cell: lines}` of the checkerboard study, whose models are dictionaries of tensors: flow, name and shape, in order."""
    from reproductions.vflow.toy.cells import parse_cells
    from reproductions.vflow.toy.initial import initial_parameters

    return {
        cell.name: tuple(
            f"{flow}/{name} {list(value.shape)} {value.dtype.name} trained"
            for flow, parameters in initial_parameters(cell, [0]).items()
            for name, value in parameters.items()
        )
        for cell in parse_cells(["all"])
    }


def load_records(directory):
    """The result records below a directory."""
    from reproductions.reporting.records import load_records

    return load_records(directory)
