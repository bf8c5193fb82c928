"""Parameter counts of the experiments, stored so that `--list` builds no model.

python -m reproductions.driver.counts   # build every model and write the counts again (minutes)
"""

import csv
import functools
import io
import pathlib
import sys
from collections.abc import Iterator

from reproductions.driver.start_up import start_up
from reproductions.experiment import Experiment, Reproduction
from reproductions.published import PARAMETERS
from reproductions.reporting.rows import read_rows
from tfflows.files import atomic_write
from tfflows.papers import list_papers, load_paper

# Of the experiments that `parameters.csv` does not have: those that are not the paper's, and the small sizes of those that are.
COUNTS = pathlib.Path(__file__).with_name("counts.csv")
_COLUMNS = ("paper", "experiment", "scale", "parameters")


def published_counts() -> dict[tuple[str, str, str], int]:
    """Returns the counts of the papers' experiments in `parameters.csv`, with keys as of `stored_counts`."""
    rows = [row for _, row in read_rows(PARAMETERS, ("paper", "experiment", "variant", "parameters"))]
    return {(row["paper"], row["experiment"], "paper"): int(row["parameters"]) for row in rows if not row["variant"]}


@functools.cache
def stored_counts() -> dict[tuple[str, str, str], int]:
    """Returns the stored counts by paper, name of the experiment, and scale."""
    counts = published_counts()
    for where, row in read_rows(COUNTS, _COLUMNS):
        key = row["paper"], row["experiment"], row["scale"]
        if key in counts:
            raise ValueError(f"{where}: {' '.join(key)} has a count already, there or in {PARAMETERS.name}.")
        counts[key] = int(row["parameters"])
    return counts


def built_parameters(reproduction: Reproduction, experiment: Experiment) -> int:
    """Returns the number of trained parameters of the experiment's model, counted without allocating their values."""
    import tensorflow as tf  # what is stored is read without it

    from tfflows.data import dataset_spec
    from tfflows.tracing.variables import count_parameters

    spec = dataset_spec(experiment.dataset)
    shape = (experiment.image_size, experiment.image_size, spec.num_channels)

    def build_and_count(experiment):
        with tf.Graph().as_default():
            return count_parameters(reproduction.build_model(experiment, shape, spec.num_classes, seed=0))

    return reproduction.extend_count(experiment, build_and_count)


def all_sizes(reproduction: Reproduction) -> Iterator[Experiment]:
    """Yields what `--list` shows: every experiment, and the paper's again at the small scale."""
    for experiment in reproduction.experiments.values():
        yield experiment
        if experiment.scale == "paper":
            yield reproduction.small(experiment)


def main() -> int:
    """Writes `counts.csv`, and returns the exit status."""
    start_up()
    published = published_counts()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for reproduction in map(load_paper, list_papers()):
        for experiment in all_sizes(reproduction):
            key = reproduction.paper, experiment.name, experiment.scale
            if key not in published:
                writer.writerow((*key, built_parameters(reproduction, experiment)))
    atomic_write(COUNTS, text.getvalue())
    print(COUNTS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
