"""Makes the golden set anew: `python -m tests.golden.make [NAME ...]`, from the repository's root.

The golden set holds what runs left behind at a time when the code was known to be right: `images/`, a data set of two
dozen small pictures; `stored/NAME`, of three steps of training; `expected/NAME.json` and `.png`, what the run had
measured and drawn when it was continued to step 5. `runs.py` lists the runs. `test_golden.py` continues them with the
code of today, and `compare_commits.py` with that of two commits.

It is made anew only where numbers are meant to change, from a commit that is right. A workdir is made below
`workdirs/golden`, then copied without TensorBoard's files. With --twice each run is continued twice; what is not the same
bit for bit is reported, and the status is then 1. With --pictures only `expected/*.png` are made, where their layout is meant to
change: no number does. Names and order of variables are made by `variables.py`.
"""

import os

# As in the tests: sums over threads come in any order.
os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = "1"

import argparse
import json
import pathlib
import shutil
import sys
import tempfile

import numpy as np
from PIL import Image

from tests.golden.compare_commits import differing_tensors
from tests.golden.runs import (
    BY_NAME,
    GOLDEN,
    IMPORTANCE,
    ROOT,
    RUNS,
    STORED_STEPS,
    WORKDIRS,
    copy_workdir,
    last_picture,
    resume,
    run_command,
    stopped_at_once,
)

SCRATCH = pathlib.Path("workdirs/golden")
NUM_IMAGES = {"train": 24, "test": 12}
IMAGE_SIZE = 16
KEPT = ("experiment.json", "metrics.jsonl", "*.npy", "*-sums.npz", "checkpoints", "best", "pictures", "results")


def write_images(directory):
    """Writes the data set: noise on slopes, which has both what a flow can learn and what it cannot."""
    shutil.rmtree(directory, ignore_errors=True)
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:IMAGE_SIZE, :IMAGE_SIZE][..., np.newaxis]
    for split, number in NUM_IMAGES.items():
        (directory / split).mkdir(parents=True)
        for position in range(number):
            slopes = generator.integers(-5, 6, [2, 3])
            image = 128 + slopes[0] * (rows - 8) + slopes[1] * (columns - 8)
            image = image + generator.integers(-12, 13, [IMAGE_SIZE, IMAGE_SIZE, 3])
            Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(
                directory / split / f"{position:02}.png", optimize=True
            )


def make(run, twice):
    """Makes the workdir and the expected figures of a run; returns whether continuing it (twice) gave the same bits."""
    made, stored = run.workdir(SCRATCH), run.workdir(WORKDIRS)
    data_dir = GOLDEN.relative_to(ROOT)
    remove(run, SCRATCH)
    run_command(ROOT, run.paper, run.command(SCRATCH, STORED_STEPS, data_dir))
    if run.has_importance:
        with stopped_at_once():
            run_command(ROOT, run.paper, (*run.command(SCRATCH, STORED_STEPS, data_dir), *IMPORTANCE))
    remove(run, WORKDIRS)
    stored.mkdir(parents=True, exist_ok=True)
    for path in (path for pattern in KEPT for path in made.glob(pattern)):
        (shutil.copytree if path.is_dir() else shutil.copy)(path, stored / path.name)
    (GOLDEN / "expected").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        workdir = resume(run, first)
        same = not (twice and differing_tensors(workdir, resume(run, second)))
        expected = measured(workdir)
        shutil.copy(last_picture(workdir), GOLDEN / "expected" / f"{run.name}.png")
    if run.has_importance:
        with tempfile.TemporaryDirectory() as directory:
            copy_workdir(run, directory)
            run_command(ROOT, run.paper, (*run.command(directory, STORED_STEPS, GOLDEN), *IMPORTANCE))
            (values,) = run.workdir(directory).glob("test_bits_per_dim-samples*.npy")
            expected["importance"] = np.load(values).tolist()
    (GOLDEN / "expected" / f"{run.name}.json").write_text(json.dumps(expected, indent=1) + "\n")
    return same


def draw(run):
    """Makes only the expected picture of a run, from the stored workdir."""
    with tempfile.TemporaryDirectory() as directory:
        shutil.copy(last_picture(resume(run, directory)), GOLDEN / "expected" / f"{run.name}.png")


def remove(run, directory):
    """Removes the workdir of a run below `directory`; of a last stage without those before it."""
    workdir = run.workdir(directory)
    for path in workdir.iterdir() if workdir.exists() else ():
        if path.is_dir() and path.name not in ("vae", "pixelcnn"):
            shutil.rmtree(path)
        elif not path.is_dir():
            path.unlink()


def measured(workdir):
    """Figures of a workdir: loss and norm of the gradient of the continued steps, bits/dim of each image, by the file's name."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line and line["step"] > STORED_STEPS]
    return {
        **{name: [line[name] for line in steps] for name in ("loss", "gradient_norm")},
        **{path.stem: np.load(path).tolist() for path in sorted(workdir.glob("*_bits_per_dim.npy"))},
    }


def main():
    """Makes what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*BY_NAME, []], help="runs; all if none is named")
    parser.add_argument("--twice", action="store_true", help="continue each run twice, and compare")
    parser.add_argument("--pictures", action="store_true", help="make only expected/*.png, from what is stored")
    arguments = parser.parse_args()
    names = arguments.names
    os.chdir(ROOT)
    if arguments.pictures:
        for run in RUNS:
            if not names or run.name in names:
                draw(run)
        return
    if not names:
        write_images(GOLDEN / "images")
    failed = [run.name for run in RUNS if (not names or run.name in names) and not make(run, arguments.twice)]
    if failed:
        sys.exit(f"Not the same bit for bit when continued again: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
