"""The table of `--list`."""

from collections.abc import Mapping

from reproductions.driver.counts import built_parameters, stored_counts
from reproductions.experiment import Reproduction
from reproductions.fields import settings_of
from tfflows.extras import require


def experiment_table(reproduction: Reproduction, small: bool = False, expected: Mapping[str, float] = ()) -> str:
    """Returns a text table of the experiments: data set, bits, parameters, the paper's bits/dim.

    An experiment without a stored parameter count, such as that of another package, is built and counted.

    Args:
      reproduction: The reproduction.
      small: Whether to size the experiments for two CPU cores.
      expected: Bits/dim printed in the paper, by name of the experiment.

    Raises:
      MissingExtraError: If pandas is not installed.
    """
    pandas = require("pandas", "reproductions")  # importing it takes a third of a second; only this mode needs it
    rows = []
    counts = stored_counts()
    for experiment in reproduction.experiments.values():
        if small and experiment.scale == "paper":
            experiment = reproduction.small(experiment)
        columns = {name: own.column for name, own in settings_of(type(experiment)).items() if own.column}
        note = columns.pop("note")  # last, because it is long
        printed = dict(expected).get(experiment.name)
        count = counts.get((reproduction.paper, experiment.name, experiment.scale))
        if count is None:
            count = built_parameters(reproduction, experiment)
        rows.append(
            {
                **{title: getattr(experiment, field) for field, title in columns.items()},
                "parameters": f"{count:,}",
                "paper's bits/dim": "" if printed is None or small else f"{printed:.2f}",
                note: experiment.note,
            }
        )
    return pandas.DataFrame(rows).to_string(index=False, justify="left")
