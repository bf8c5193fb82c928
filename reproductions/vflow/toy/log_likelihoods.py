"""Records of log-likelihoods, in nats, of models of low-dimensional data; one record for all seeds of a model."""

import dataclasses
import math
import os
import pathlib
import re
import statistics
from collections.abc import Mapping, Sequence

from reproductions.fields import check_fields, setting
from reproductions.reporting.records import load_dataclass, store_dataclass

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclasses.dataclass(frozen=True)
class LogLikelihoodRecord:
    """Test log-likelihoods of one model, trained from several seeds, and how they were obtained.

    Attributes:
      paper: Short name of the paper, such as 'vflow'.
      dataset: Name of the data set, such as 'checkerboard'.
      model: Name of the model in the paper, such as 'Glow'.
      steps: Number of flow steps, including those of the posterior.
      dimensions: Number of dimensions of data and augmentation together.
      iterations: Number of training iterations done.
      batch_size: Fresh samples per iteration.
      seeds: The seeds.
      test_points: Number of evaluated points per seed; each seed has its own points.
      importance_samples: Draws of the augmentation per point; None if the density is exact.
      log_likelihoods: For each seed, the mean over the points, in nats; importance-weighted if there are draws.
      standard_errors: For each seed, the standard error over the points.
      elbos: For each seed, the mean evidence lower bound over the same draws; equal to `log_likelihoods` if exact.
      parameters: Number of trained parameters of the model of one seed.
      training_curve: Pairs of iteration and mean bound, in nats, of the training samples since the previous pair, over all seeds.
      seconds: Wall-clock seconds of training, for all seeds together.
      hardware: As in `records.Record`.
      versions: As in `records.Record`.
      commit: As in `records.Record`.
      command: As in `records.Record`.
      date: As in `records.Record`.
      variant: Variant of the paper's model, such as 'normal'; empty for the paper's own model.
    """

    paper: str
    dataset: str
    model: str
    steps: int = setting(at_least=1)
    dimensions: int = setting(at_least=1)
    iterations: int = setting(at_least=1)
    batch_size: int = setting(at_least=1)
    seeds: Sequence[int]
    test_points: int = setting(at_least=1)
    importance_samples: int | None
    log_likelihoods: Sequence[float]
    standard_errors: Sequence[float]
    elbos: Sequence[float]
    parameters: int = setting(at_least=1)
    training_curve: Sequence[tuple[int, float]]
    seconds: float = setting(provenance=True)
    hardware: Mapping[str, object] = setting(provenance=True)
    versions: Mapping[str, str] = setting(provenance=True)
    commit: str | None = setting(provenance=True)
    command: str = setting(provenance=True)
    date: str = setting(provenance=True)
    variant: str = ""

    def __post_init__(self) -> None:
        for name in ("paper", "dataset", "model"):
            if not _NAME.fullmatch(getattr(self, name)):
                raise ValueError(f"{name} must be a plain name, not {getattr(self, name)!r}.")
        if self.variant and not _NAME.fullmatch(self.variant):
            raise ValueError(f"variant must be a plain name or empty, not {self.variant!r}.")
        check_fields(self)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must be different, at least one, not {self.seeds!r}.")
        for name in ("log_likelihoods", "standard_errors", "elbos"):
            values = getattr(self, name)
            if len(values) != len(self.seeds) or not all(map(math.isfinite, values)):
                raise ValueError(f"{name} must be a finite number for each of {len(self.seeds)} seeds, not {values!r}.")
        # JSON has no tuples.
        for name in ("seeds", "log_likelihoods", "standard_errors", "elbos"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "training_curve", tuple((step, value) for step, value in self.training_curve))

    @property
    def mean(self) -> float:
        """Mean log-likelihood over the seeds, in nats."""
        return statistics.fmean(self.log_likelihoods)

    @property
    def standard_deviation(self) -> float:
        """Standard deviation over the seeds, which divides by their number minus one; 0 for one seed."""
        return statistics.stdev(self.log_likelihoods) if len(self.seeds) > 1 else 0.0

    @property
    def name(self) -> str:
        """Name of the file of the record, without suffix."""
        return file_name(self.steps, self.dimensions, self.iterations, len(self.seeds), self.variant)


def file_name(steps: int, dimensions: int, iterations: int, num_seeds: int, variant: str = "") -> str:
    """Returns the name of the file of a record, without suffix."""
    name = f"steps{steps}-dimensions{dimensions}-iterations{iterations}-seeds{num_seeds}"
    return f"{name}-{variant}" if variant else name


def path_of(directory: str | os.PathLike, paper: str, dataset: str, name: str) -> pathlib.Path:
    """Returns the path of a record below the directory of all records, `<directory>/<paper>/<dataset>/<name>.json`."""
    return pathlib.Path(directory) / paper / dataset / f"{name}.json"


def write_log_likelihoods(record: LogLikelihoodRecord, directory: str | os.PathLike) -> pathlib.Path:
    """Writes a record below the directory of all records (`results/obtained` in the repository), and returns its path.

    Raises:
      FileExistsError: If the file exists with a different result.
    """
    return store_dataclass(record, path_of(directory, record.paper, record.dataset, record.name))


def load_log_likelihoods(directory: str | os.PathLike) -> dict[tuple[str, str], tuple[LogLikelihoodRecord, ...]]:
    """Reads the records below the directory of all records, by (paper, dataset).

    The records of a study are sorted by variant, dimensions, steps and iterations.

    Raises:
      ValueError: If a file is not a valid record, or is not where its fields say.
    """
    studies: dict[tuple[str, str], list[LogLikelihoodRecord]] = {}
    for path in sorted(pathlib.Path(directory).glob("*/*/*.json")):
        record = load_dataclass(LogLikelihoodRecord, path)
        if path != path_of(directory, record.paper, record.dataset, record.name):
            raise ValueError(f"{path}: its fields belong to {record.paper}/{record.dataset}/{record.name}.json.")
        studies.setdefault((record.paper, record.dataset), []).append(record)
    return {study: tuple(sorted(records, key=_order)) for study, records in studies.items()}


def _order(record):
    return record.variant, record.dimensions, record.steps, record.iterations, len(record.seeds)
