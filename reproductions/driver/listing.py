"""The table of `--list`."""

from collections.abc import Mapping

import tensorflow as tf

from reproductions.experiment import Experiment, Reproduction
from reproductions.fields import settings_of
from tfflows.data import dataset_spec
from tfflows.extras import require
from tfflows.tracing.variables import count_parameters


def experiment_table(reproduction: Reproduction, small: bool = False, expected: Mapping[str, float] = ()) -> str:
    """Returns a text table of the experiments: data set, bits, parameters as built, the paper's bits/dim.

    Args:
      reproduction: The reproduction.
      small: Whether to size the experiments for two CPU cores.
      expected: Bits/dim printed in the paper, by name of the experiment.

    Raises:
      MissingExtraError: If pandas or tqdm is not installed.
    """
    pandas = require("pandas", "reproductions")  # importing it takes a third of a second; only this mode needs it
    tqdm = require("tqdm", "reproductions").tqdm
    rows = []
    experiments = reproduction.experiments.values()
    # A model of thousands of variables takes seconds to build. Without a terminal, no progress is shown.
    for experiment in tqdm(experiments, desc="counting parameters", unit="experiment", leave=False, disable=None):
        if small and experiment.scale == "paper":
            experiment = reproduction.small(experiment)
        columns = {name: own.column for name, own in settings_of(type(experiment)).items() if own.column}
        note = columns.pop("note")  # last, because it is long
        printed = dict(expected).get(experiment.name)
        rows.append(
            {
                **{title: getattr(experiment, field) for field, title in columns.items()},
                "parameters": f"{built_parameters(reproduction, experiment):,}",
                "paper's bits/dim": "" if printed is None or small else f"{printed:.2f}",
                note: experiment.note,
            }
        )
    return pandas.DataFrame(rows).to_string(index=False, justify="left")


def built_parameters(reproduction: Reproduction, experiment: Experiment) -> int:
    """Returns the number of trained parameters of the experiment's model, counted without allocating their values."""
    spec = dataset_spec(experiment.dataset)
    shape = (experiment.image_size, experiment.image_size, spec.num_channels)

    def build_and_count(experiment):
        with tf.Graph().as_default():
            return count_parameters(reproduction.build_model(experiment, shape, spec.num_classes, seed=0))

    return reproduction.extend_count(experiment, build_and_count)
