"""From flags to an experiment."""

import dataclasses

from absl import logging

from reproductions.experiment import override
from tfflows.data import dataset_spec


def select_experiment(reproduction, flags):
    """The experiment that the flags describe, overrides applied.

    Raises:
      ValueError: on unknown names (names the valid ones), or if neither data set nor experiment is given.
    """
    if flags.dataset is not None:
        dataset_spec(flags.dataset)  # an unknown data set is named as such
    if flags.experiment is not None:
        experiment = reproduction.named_experiment(flags.experiment, flags.variant)
    elif flags.dataset is not None:
        experiment = reproduction.default_experiment(flags.dataset, flags.variant)
    else:
        raise ValueError("Give --dataset or --experiment; --list shows what there is.")
    if flags.scale == "small" and experiment.scale == "paper":
        experiment = reproduction.small(experiment)
    if flags.dataset is not None and flags.dataset != experiment.dataset:
        experiment = _on_other_data(experiment, flags.dataset)
    changes = {
        "num_steps": flags.steps,
        "batch_size": flags.batch_size,
        "precision": flags.precision,
        "tf32": flags.tf32,
        "evaluate_train": flags.evaluate_train,
        "holdout": flags.holdout,
    }
    experiment = dataclasses.replace(experiment, **{k: v for k, v in changes.items() if v is not None})
    return override(experiment, flags.set)


# How a run is watched, not what it computes.
WATCHING = ("evaluate_every", "evaluate_train", "evaluation_batch_size", "note", "source")


def overrides(reproduction, flags, chosen):
    """`{field: value}` of what the flags changed of what the experiment `chosen` computes, at the scale that they ask for."""
    base = reproduction.named_experiment(chosen.name)
    if flags.scale == "small" and base.scale == "paper":
        base = reproduction.small(base)
    return {
        field.name: getattr(chosen, field.name)
        for field in dataclasses.fields(chosen)
        if field.name not in WATCHING and getattr(chosen, field.name) != getattr(base, field.name)
    }


def _on_other_data(experiment, dataset):
    spec = dataset_spec(dataset)
    image_size = spec.image_size or experiment.image_size
    logging.warning("Experiment %s is on %s; running it on %s.", experiment.name, experiment.dataset, dataset)
    return dataclasses.replace(experiment, dataset=dataset, image_size=image_size)
