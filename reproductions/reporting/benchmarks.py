"""Benchmarks as data: what a topic measured, in one JSON file, `results/benchmarks/<topic>.json`."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from reproductions.reporting import stored

BENCHMARKS_DIRECTORY = "benchmarks"


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Samples of one quantity, summed up.

    Attributes:
      case: What was measured, such as `K=4, L=3, width 64`.
      quantity: Such as `training step`.
      subject: Whose, such as `tfflows` or a peer.
      unit: Of the three values.
      median: Of the samples.
      lower_quartile: Of the samples.
      upper_quartile: Of the samples.
      count: Number of samples.
      first_call: Seconds of the first call, which traces and compiles; no sample.
      parameters: Trained parameters of the subject.
      peak_memory_mib: Largest resident set of the process.
      at_least: Whether it was stopped at the value, for taking longer.
      goal: What the value is to stay below, in its unit.
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
    """Two subjects of one case and quantity: the numerator's sample over the denominator's, pair by pair within a run.

    Attributes:
      case: As in `Measurement`.
      quantity: As in `Measurement`.
      numerator: A subject.
      denominator: A subject.
      median: Of the ratios of the pairs.
      lower_quartile: Of these.
      upper_quartile: Of these.
      count: Number of pairs.
      goal: What the ratio is to stay below.
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

    def __post_init__(self) -> None:
        _check_summary(self)


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """One topic, measured in one run.

    Attributes:
      topic: Name of what was measured, and of the JSON file.
      title: Heading of its section.
      notes: Paragraphs: what was compared, and how.
      measurements: `Measurement`s.
      ratios: `Ratio`s.
      threads: Threads of each library.
      load_average: Of the machine before the run, over 1, 5 and 15 minutes.
      seconds: The run took.
      versions: `{package: version}`.
      commit: Of the code, see `reproductions.reporting.provenance`.
      command: That was run.
      hardware: `cpu`, `cores`, `gpus`.
      date: ISO 8601.
      others_share: Part of the machine's processor time that other processes took during the run; None if not known.
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
            raise ValueError(f"the benchmark {self.topic!r} measured nothing")


def write_benchmark(benchmark: Benchmark, directory: str | os.PathLike) -> pathlib.Path:
    """Writes `directory/<topic>.json`, in place of an earlier run."""
    return stored.store(benchmark, pathlib.Path(directory) / f"{benchmark.topic}.json", overwrite=True)


def load_benchmarks(directory: str | os.PathLike, order: Sequence[str] = ()) -> dict[str, Benchmark]:
    """All benchmarks of a directory, by topic; none if there is no such directory.

    Args:
      directory: Of the JSON files.
      order: Topics that come first, in their order; the others follow by name.

    Raises:
      ValueError: If a file is not valid; names it.
    """
    places = {topic: place for place, topic in enumerate(order)}
    paths = sorted(pathlib.Path(directory).glob("*.json"))
    benchmarks = {}
    for path in sorted(paths, key=lambda path: places.get(path.stem, len(places))):
        benchmark = stored.load(Benchmark, path)
        if benchmark.topic != path.stem:
            raise ValueError(f"{path}: holds the topic {benchmark.topic!r}; a file is named after its topic")
        benchmarks[benchmark.topic] = benchmark
    return benchmarks


def _check_summary(row):
    if row.count < 1:
        raise ValueError(f"{row.quantity} of {row.case} has no samples")
    if not 0 <= row.lower_quartile <= row.median <= row.upper_quartile:
        raise ValueError(
            f"{row.quantity} of {row.case}: quartiles and median must ascend from 0, got {row.lower_quartile}, "
            f"{row.median}, {row.upper_quartile}"
        )
