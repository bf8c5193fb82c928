"""A topic, which is measured under one name, and the record of its results."""

import dataclasses
import importlib.metadata
import os
import pathlib
import shlex
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from benchmarks.harness import timing
from benchmarks.harness.environment import THREADS
from benchmarks.harness.machine import Others
from benchmarks.harness.timing import Samples
from reproductions.reporting.benchmarks import BENCHMARKS_DIRECTORY, Benchmark, Measurement, Ratio, write_benchmark
from reproductions.reporting.provenance import collect_provenance

PEERS = ("torch", "normflows")

T = TypeVar("T")


@dataclasses.dataclass
class Findings:
    """Collects the rows of a topic.

    Attributes:
      quick: Whether the smallest sizes and one round are enough, because nothing is recorded.
      measurements: Rows of times, memory or other quantities.
      ratios: Rows that compare two subjects.
      notes: Remarks on this run, printed after the topic's notes.
    """

    quick: bool = False
    measurements: list[Measurement] = dataclasses.field(default_factory=list)
    ratios: list[Ratio] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    def choose(self, full: T, smallest: T) -> T:
        """`smallest` in a quick run, otherwise `full`."""
        return smallest if self.quick else full

    def in_turn(
        self,
        tasks: Mapping[str, Callable[[int], list[float]]],
        rounds: int,
        calls: int,
        watch: Callable[[], Callable[[], bool]],
    ) -> dict[str, Samples]:
        """As `timing.in_turn`; in a quick run one round of one call, however busy the machine is."""
        return timing.in_turn(tasks, 1, 1) if self.quick else timing.in_turn(tasks, rounds, calls, watch)


@dataclasses.dataclass(frozen=True)
class Topic:
    """A comparison or a set of measurements under one name.

    Attributes:
      name: Name of the topic and of its file, `results/benchmarks/<name>.json`.
      title: Heading of its section on the page.
      notes: Paragraphs that say what is compared, and how.
      measure: Function that measures and adds the rows.
    """

    name: str
    title: str
    notes: tuple[str, ...]
    measure: Callable[[Findings], None]


def measure_topic(topic: Topic, quick: bool = False) -> Benchmark:
    """Measures a topic in this process and those that it starts.

    Args:
      topic: The topic to measure.
      quick: As in `Findings`; such a result must not be recorded.
    """
    load_average, begin = tuple(round(load, 2) for load in os.getloadavg()), time.monotonic()
    provenance = collect_provenance()  # of the code that is about to run
    others = Others()
    findings = Findings(quick)
    topic.measure(findings)
    share = others.share()
    fields = {
        "versions": provenance["versions"] | _peer_versions(),
        "command": shlex.join(["python", "-m", "benchmarks.run", topic.name]),
    }
    return Benchmark(
        topic=topic.name,
        title=topic.title,
        notes=(*topic.notes, *findings.notes),
        measurements=tuple(findings.measurements),
        ratios=tuple(findings.ratios),
        threads=THREADS,
        load_average=load_average,
        others_share=None if share is None else round(share, 3),
        seconds=round(time.monotonic() - begin, 1),
        **provenance | fields,
    )


def record_topic(topic: Topic, results: str | os.PathLike) -> pathlib.Path:
    """Measures a topic and writes `<results>/benchmarks/<name>.json`, which replaces that of an earlier run."""
    return write_benchmark(measure_topic(topic), pathlib.Path(results) / BENCHMARKS_DIRECTORY)


def _peer_versions():
    versions = {}
    for package in PEERS:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
