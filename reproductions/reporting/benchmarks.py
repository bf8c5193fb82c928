"""Benchmarks as data: one JSON file per topic, `results/benchmarks/<topic>.json`."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from reproductions.reporting.records import load_dataclass, store_dataclass

BENCHMARKS_DIRECTORY = "benchmarks"


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Summary of the samples of one quantity.

    Attributes:
      case: Configuration that was measured, such as `K=4, L=3, width 64`.
      quantity: Measured quantity, such as `training step`.
      subject: Measured code, such as `tfflows` or a peer.
      unit: Unit of the median and the quartiles.
      median: Median of the samples.
      lower_quartile: Lower quartile of the samples.
      upper_quartile: Upper quartile of the samples.
      count: Number of samples.
      first_call: Seconds of the first call, which traces and compiles and is not a sample.
      parameters: Number of trained parameters of the subject.
      peak_memory_mib: Largest resident set of the process, in MiB.
      at_least: Whether the measurement was stopped at this value because it took longer.
      goal: Upper limit that the median should stay below, in its unit.
    """

    case: str
    quantity: str
    subject: str
    unit: str
    median: float
    lower_quartile: float
    upper_quartile: float
    count: int
    first_call: float | None = None
    parameters: int | None = None
    peak_memory_mib: float | None = None
    at_least: bool = False
    goal: float | None = None

    def __post_init__(self) -> None:
        _check_summary(self)


@dataclasses.dataclass(frozen=True)
class Ratio:
    """Ratios of the samples of two subjects, pair by pair within a run, for one case and quantity.

    Attributes:
      case: As in `Measurement`.
      quantity: As in `Measurement`.
      numerator: Subject in the numerator.
      denominator: Subject in the denominator.
      median: Median of the ratios.
      lower_quartile: Lower quartile of the ratios.
      upper_quartile: Upper quartile of the ratios.
      count: Number of pairs.
      goal: Upper limit that the median should stay below.
      headline: Whether it is one of the comparisons at the top of the page.
    """

    case: str
    quantity: str
    numerator: str
    denominator: str
    median: float
    lower_quartile: float
    upper_quartile: float
    count: int
    goal: float | None = None
    headline: bool = False

    def __post_init__(self) -> None:
        _check_summary(self)


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """One topic, measured in one run.

    Attributes:
      topic: Name of the topic and of its JSON file.
      title: Heading of its section.
      notes: Paragraphs that say what was compared, and how.
      measurements: Measured quantities.
      ratios: Ratios of measured quantities.
      threads: Number of threads of each library.
      load_average: Load average of the machine before the run, over 1, 5 and 15 minutes.
      seconds: Duration of the run in seconds.
      versions: Versions by package.
      commit: Commit of the code, see `reproductions.reporting.provenance`.
      command: Command line of the run.
      hardware: Mapping with `cpu`, `cores` and `gpus`.
      date: Date in ISO 8601.
      others_share: Share of the machine's processor time that other processes took during the run; None if not known.
    """

    topic: str
    title: str
    notes: tuple[str, ...]
    measurements: tuple[Measurement, ...]
    ratios: tuple[Ratio, ...]
    threads: int
    load_average: tuple[float, ...]
    seconds: float
    versions: dict[str, str]
    commit: str | None
    command: str
    hardware: dict[str, object]
    date: str
    others_share: float | None = None

    def __post_init__(self) -> None:
        for name, kind in (("measurements", Measurement), ("ratios", Ratio)):
            rows = (row if isinstance(row, kind) else kind(**row) for row in getattr(self, name))
            object.__setattr__(self, name, tuple(rows))
        if not self.measurements:
            raise ValueError(f"The benchmark {self.topic!r} measured nothing; it needs at least one measurement.")


def write_benchmark(benchmark: Benchmark, directory: str | os.PathLike) -> pathlib.Path:
    """Writes `<directory>/<topic>.json`, replacing an earlier run, and returns its path."""
    return store_dataclass(benchmark, pathlib.Path(directory) / f"{benchmark.topic}.json", overwrite=True)


def load_benchmarks(directory: str | os.PathLike, order: Sequence[str] = ()) -> dict[str, Benchmark]:
    """Reads all benchmarks of a directory, by topic; none if the directory does not exist.

    Args:
      directory: Directory of the JSON files.
      order: Topics that come first, in this order; the others follow by name.

    Raises:
      ValueError: If a file is not valid. The message names it.
    """
    places = {topic: place for place, topic in enumerate(order)}
    paths = sorted(pathlib.Path(directory).glob("*.json"))
    benchmarks = {}
    for path in sorted(paths, key=lambda path: places.get(path.stem, len(places))):
        benchmark = load_dataclass(Benchmark, path)
        if benchmark.topic != path.stem:
            raise ValueError(f"{path} holds the topic {benchmark.topic!r}; a file must be named after its topic.")
        benchmarks[benchmark.topic] = benchmark
    return benchmarks


def _check_summary(row):
    if row.count < 1:
        raise ValueError(f"{row.quantity} of {row.case} has no samples; count must be at least 1, got {row.count}.")
    if not 0 <= row.lower_quartile <= row.median <= row.upper_quartile:
        raise ValueError(
            f"{row.quantity} of {row.case}: quartiles and median must ascend from 0, got {row.lower_quartile}, "
            f"{row.median}, {row.upper_quartile}."
        )
