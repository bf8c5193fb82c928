"""What every topic's script shares: where its result goes and what is written beside it."""

import argparse
import dataclasses
import importlib.metadata
import os
import pathlib
import shlex
import sys
import time

from benchmarks.environment import ROOT, THREADS
from benchmarks.machine import Others
from reproductions.reporting.benchmarks import BEFORE_DIRECTORY, BENCHMARKS_DIRECTORY, Benchmark, write_benchmark
from reproductions.reporting.provenance import collect_provenance

PEERS = ("torch", "normflows")


@dataclasses.dataclass
class Findings:
    """What a topic's `measure()` returns."""

    title: str
    notes: list[str]
    measurements: list = dataclasses.field(default_factory=list)
    ratios: list = dataclasses.field(default_factory=list)


def main(topic, measure):
    """Runs `measure` and writes `results/benchmarks/<topic>.json`."""
    parser = argparse.ArgumentParser(description=f"Measures {topic} and writes results/benchmarks/{topic}.json.")
    parser.add_argument("--results", type=pathlib.Path, default=ROOT / "results", help="the results directory")
    parser.add_argument("--before", action="store_true", help="write it as the state that later ones are compared with")
    options = parser.parse_args()
    load_average, begin = tuple(round(load, 2) for load in os.getloadavg()), time.monotonic()
    provenance = collect_provenance()  # of the code that is about to run
    others = Others()
    findings = measure()
    share = others.share()
    benchmark = Benchmark(
        topic=topic,
        title=findings.title,
        notes=tuple(findings.notes),
        measurements=tuple(findings.measurements),
        ratios=tuple(findings.ratios),
        threads=THREADS,
        load_average=load_average,
        others_share=None if share is None else round(share, 3),
        seconds=round(time.monotonic() - begin, 1),
        **provenance | {"versions": provenance["versions"] | _peer_versions(), "command": _command(topic)},
    )
    directory = options.results / BENCHMARKS_DIRECTORY
    print(write_benchmark(benchmark, directory / BEFORE_DIRECTORY if options.before else directory))


def _command(topic):
    return shlex.join(["python", "-m", f"benchmarks.{topic}", *(["--before"] if "--before" in sys.argv else [])])


def _peer_versions():
    versions = {}
    for package in PEERS:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
