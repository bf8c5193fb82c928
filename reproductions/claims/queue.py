"""The queue of the claims study: runs what is not finished, one run at a time, each resumable."""

import argparse
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from reproductions.claims.arms import ARMS  # noqa: E402


def workdir_of(arm, directory):
    """Where an arm's run lives."""
    return pathlib.Path(directory) / arm.paper / f"{arm.experiment}-seed{arm.seed}"


def is_finished(arm, directory):
    """Whether its result record is there."""
    return any((workdir_of(arm, directory) / "results").glob("*/*.json"))


def command_of(arm, directory, data_dir, results_dir):
    """The command line of an arm's run, from the repository's root."""
    command = [
        sys.executable,
        f"reproductions/{arm.paper}/run.py",
        f"--experiment={arm.experiment}",
        f"--seed={arm.seed}",
        f"--workdir={workdir_of(arm, directory)}",
        f"--results_dir={results_dir}",
    ]
    return command if data_dir is None else [*command, f"--data_dir={data_dir}"]


def main():
    """Runs the queue; stops at the first run that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", default=None, help="TFDS directory with cifar10; default: $TFDS_DATA_DIR")
    parser.add_argument("--workdir", default="workdirs/claims", help="a folder a run")
    parser.add_argument("--results_dir", default="results/obtained", help="where records go too")
    parser.add_argument("--paper", default=None, help="only this paper's arms")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    for arm in ARMS:
        if arguments.paper not in (None, arm.paper) or is_finished(arm, arguments.workdir):
            continue
        print(f"{arm.paper} {arm.experiment} seed {arm.seed}", flush=True)
        command = command_of(arm, arguments.workdir, arguments.data_dir, arguments.results_dir)
        if subprocess.run(command, check=False).returncode:
            sys.exit(f"{arm.experiment} seed {arm.seed} failed; the same command goes on from here.")


if __name__ == "__main__":
    main()
