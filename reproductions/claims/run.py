"""The queue of the claims study: `python reproductions/claims/run.py`, then `python reproductions/claims/judge.py`.

Runs what is not finished, one run at a time, each resumable. A run's record goes to `results/obtained`, its bits/dim of
each image to `results/claims/per_image`; where both are there, from this machine or another, the run is not repeated.
"""

import argparse
import os
import pathlib
import subprocess
import sys

from reproductions.claims import per_image
from reproductions.claims.arms import ARMS
from reproductions.claims.judge import has_record
from reproductions.driver.evaluate import PER_IMAGE_FILE, TRAIN_PER_IMAGE_FILE

ROOT = pathlib.Path(__file__).parents[2]

# The kernels of models this small are faster on one thread each, side by side (0.20 against 0.23 s a step of Flow++).
THREADS = {"TF_NUM_INTRAOP_THREADS": "1"}


def is_kept(arm, results):
    """Whether a record and bits/dim of an arm are among the results."""
    return has_record(arm, results) and per_image.path_of(arm, results).exists()


def workdir_of(arm, directory):
    """Where an arm's run lives."""
    return pathlib.Path(directory) / arm.paper / f"{arm.experiment}-seed{arm.seed}"


def is_finished(arm, directory):
    """Whether its result record is there."""
    return any((workdir_of(arm, directory) / "results").glob("*/*.json"))


def command_of(arm, directory, data_dir, results):
    """The command line of an arm's run, from the repository's root."""
    command = [
        sys.executable,
        f"reproductions/{arm.paper}/run.py",
        f"--experiment={arm.experiment}",
        f"--seed={arm.seed}",
        f"--workdir={workdir_of(arm, directory)}",
        f"--results_dir={pathlib.Path(results) / 'obtained'}",
    ]
    return command if data_dir is None else [*command, f"--data_dir={data_dir}"]


def keep_values(arm, workdir, results):
    """Keeps what a finished run measured of each test image and, if it did, of each image that it trained on."""
    per_image.keep(arm, workdir / PER_IMAGE_FILE, results)
    if (workdir / TRAIN_PER_IMAGE_FILE).exists():
        per_image.keep(arm, workdir / TRAIN_PER_IMAGE_FILE, results, per_image.TRAIN)


def main():
    """Runs the queue; stops at the first run that fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", default=None, help="TFDS directory with cifar10; default: $TFDS_DATA_DIR")
    parser.add_argument("--workdir", default="workdirs/claims", help="a folder a run")
    parser.add_argument("--results", default="results", help="where records and values go too")
    parser.add_argument("--paper", default=None, help="only this paper's arms")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    arms = [arm for arm in ARMS if arguments.paper in (None, arm.paper)]
    for number, arm in enumerate(arms, start=1):
        if is_kept(arm, arguments.results):
            continue
        if not is_finished(arm, arguments.workdir):
            print(f"{number}/{len(arms)}: {arm.paper} {arm.experiment} seed {arm.seed}", flush=True)
            command = command_of(arm, arguments.workdir, arguments.data_dir, arguments.results)
            failed = subprocess.run(command, check=False, env=THREADS | os.environ).returncode
            if failed or not is_finished(arm, arguments.workdir):
                sys.exit(f"{arm.experiment} seed {arm.seed} did not finish; the same command goes on from here.")
        keep_values(arm, workdir_of(arm, arguments.workdir), arguments.results)


if __name__ == "__main__":
    main()
