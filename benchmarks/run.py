"""Topics, each in a fresh process: `python -m benchmarks.run [TOPIC ...]`; what `make bench` and `make bench-PAPER` call."""

import argparse
import os
import pathlib
import subprocess
import sys
import time

from benchmarks.environment import ROOT, VARIABLES
from reproductions.reporting.benchmarks import PAPER_TOPICS, TOPICS


def main():
    """Runs topics one after the other; returns 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=f"one of {', '.join(TOPICS)}; default: the paper's")
    parser.add_argument(
        "--paper", choices=list(PAPER_TOPICS), default="glow", help="whose topics; glow: the foundation's"
    )
    parser.add_argument("--results", type=pathlib.Path, default=ROOT / "results", help="the results directory")
    options = parser.parse_args()
    unknown = set(options.topics) - set(TOPICS)
    if unknown:
        parser.error(f"unknown topics {', '.join(sorted(unknown))}; there are {', '.join(TOPICS)}")
    failed, begin = [], time.monotonic()
    for topic in options.topics or PAPER_TOPICS[options.paper]:
        print(f"{topic} ...", flush=True)
        start = time.monotonic()
        command = [sys.executable, "-m", f"benchmarks.{topic}", f"--results={options.results}"]
        if subprocess.run(command, cwd=ROOT, env=os.environ | VARIABLES).returncode:
            failed.append(topic)
        print(f"{topic}: {time.monotonic() - start:.0f} s", flush=True)
    print(f"benchmarks: {time.monotonic() - begin:.0f} s in all", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}; their results are those of an earlier run, if any", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
