"""From flags to an experiment."""

import dataclasses
from typing import Any

from absl import logging

from reproductions.driver.flags import FIELD_FLAGS
from reproductions.experiment import Experiment, Reproduction
from reproductions.fields import override, text_of, watching_fields
from tfflows.data import dataset_spec


def select_experiment(reproduction: Reproduction, flags: Any) -> Experiment:
    """Returns the experiment described by the flags, with overrides applied.

    Args:
      reproduction: The paper's reproduction.
      flags: Values of the flags.

    Raises:
      ValueError: If a name is unknown (the message lists the valid ones), or if neither a data set nor an experiment is given.
    """
    if flags.dataset is not None:
        dataset_spec(flags.dataset)  # raises if the data set is unknown
    if flags.experiment is not None:
        experiment = reproduction.named_experiment(flags.experiment, flags.variant)
    elif flags.dataset is not None:
        experiment = reproduction.default_experiment(flags.dataset, flags.variant)
    else:
        raise ValueError("Give --dataset or --experiment; --list shows all experiments.")
    if flags.scale == "small" and experiment.scale == "paper":
        experiment = reproduction.small(experiment)
    if flags.dataset is not None and flags.dataset != experiment.dataset:
        experiment = _on_other_data(experiment, flags.dataset)
    changes = {field: getattr(flags, flag) for flag, (field, _) in FIELD_FLAGS.items()}
    experiment = dataclasses.replace(experiment, **{k: v for k, v in changes.items() if v is not None})
    return override(experiment, flags.set)


def overrides(reproduction: Reproduction, flags: Any, chosen: Experiment) -> dict[str, Any]:
    """Returns `{field: value}` of the fields that the flags changed, relative to the experiment at the requested scale.

    Fields that do not change the result are left out. Sequences are given as text, as `--set` takes them.

    Args:
      reproduction: The paper's reproduction.
      flags: Values of the flags.
      chosen: The experiment from `select_experiment`.
    """
    base = reproduction.named_experiment(chosen.name)
    if flags.scale == "small" and base.scale == "paper":
        base = reproduction.small(base)
    watching = watching_fields(type(chosen))
    return {
        field.name: text_of(getattr(chosen, field.name))
        for field in dataclasses.fields(chosen)
        if field.name not in watching and getattr(chosen, field.name) != getattr(base, field.name)
    }


def _on_other_data(experiment, dataset):
    spec = dataset_spec(dataset)
    image_size = spec.image_size or experiment.image_size
    logging.warning("Experiment %s is on %s; running it on %s.", experiment.name, experiment.dataset, dataset)
    return dataclasses.replace(experiment, dataset=dataset, image_size=image_size)
