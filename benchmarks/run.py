"""Measures topics, each in a fresh process: `python -m benchmarks.run [TOPIC ...]`, as `make bench` and `make bench-PAPER` do."""

import argparse
import importlib
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.harness.environment import ROOT, VARIABLES
from benchmarks.harness.topic import Topic, measure_topic, record_topic

# The topics of each are in `benchmarks/PAPER/topics.py`; those of glow include the foundation's.
PAPERS = ("glow", "flowpp", "macow", "vflow", "agave", "realnvp")


def declared_topics() -> dict[str, dict[str, Topic]]:
    """All topics, `{paper: {name: topic}}`, in the order in which they are measured."""
    modules = {paper: importlib.import_module(f"benchmarks.{paper}.topics") for paper in PAPERS}
    return {paper: {topic.name: topic for topic in module.TOPICS} for paper, module in modules.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures one topic in this process, or several in a process each.

    Args:
      arguments: Command line arguments; by default those of this process.

    Returns:
      Exit status: 1 if one of several topics failed, otherwise 0.
    """
    papers = declared_topics()
    topics = {name: topic for declared in papers.values() for name, topic in declared.items()}
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="One topic alone: `python -m benchmarks.run pipeline` measures and records it; with --quick it takes a fraction "
        "of the time and records nothing. `make tables` then writes the page.",
    )
    parser.add_argument(
        "topics", nargs="*", metavar="TOPIC", help=f"one of {', '.join(topics)}; by default all topics of the paper"
    )
    parser.add_argument(
        "--paper",
        choices=PAPERS,
        default="glow",
        help="whose topics to measure; those of glow include the foundation's",
    )
    parser.add_argument("--results", type=pathlib.Path, default=ROOT / "results", help="directory of the results")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="run the smallest sizes once to check that everything works; record nothing",
    )
    options = parser.parse_args(arguments)
    unknown = set(options.topics) - set(topics)
    if unknown:
        parser.error(f"There are no topics {', '.join(sorted(unknown))}. Choose from {', '.join(topics)}.")
    names = options.topics or list(papers[options.paper])
    if len(names) > 1:
        return _run_each(names, options)
    os.environ.update(VARIABLES)
    (name,) = names
    if options.quick:
        benchmark = measure_topic(topics[name], quick=True)
        rows = f"{len(benchmark.measurements)} measurements and {len(benchmark.ratios)} ratios"
        print(f"{name}: {rows}, not recorded")
    else:
        print(record_topic(topics[name], options.results))
    return 0


def _run_each(names, options):
    failed, begin = [], time.monotonic()
    for name in names:
        print(f"{name} ...", flush=True)
        start = time.monotonic()
        command = [sys.executable, "-m", "benchmarks.run", name, f"--results={options.results}"]
        command += ["--quick"] if options.quick else []
        if subprocess.run(command, cwd=ROOT, env=os.environ | VARIABLES).returncode:
            failed.append(name)
        print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)
    print(f"benchmarks: {time.monotonic() - begin:.0f} s in total", flush=True)
    if failed:
        print(f"Failed: {', '.join(failed)}. Their results are those of an earlier run, if any.", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
