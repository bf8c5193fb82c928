"""Runs of all six papers by one process, by two and by four that train together, which must end alike.

Each run is the `main` of a paper in processes of its own, on 16x16 cuts of the embedded photographs: 23 to train on, so that an
epoch divides neither into batches nor over the workers, and 7 to test, so that the last batch is filled up. The data-dependent
initialization, averages of the parameters and clipped gradients are those of the experiments.

    python -m tests.reproductions.cluster_runs DIRECTORY [--papers=glow,agave] [--workers=2,4]
"""

import argparse
import json
import os
import pathlib
import sys
import time

import numpy as np

from reproductions.driver import main as driver
from tests.reproductions.killed_runs import PAPERS, write_images
from tests.training.forked import cluster, fork, wait

STEPS = 20
BATCH_SIZE = 8
NUM_TRAIN, NUM_TEST = 23, 7
# The free bits of AGAVE's VAE are averaged over the images of a device, so its runs are compared with those on as many.
FREE_BITS = ("agave",)
OWN = {"agave": {"pretraining_steps": STEPS}}
# Losses of first steps, and of all: at the rate of these runs rounding grows tenfold every few steps.
FIRST, ALL = {"rtol": 2e-5}, {"rtol": 5e-3}


def arguments(paper, directory, workdir):
    _, experiment, fields = PAPERS[paper]
    common = {
        "image_size": 16,
        "init_batch_size": 16,
        "evaluation_batch_size": 4,
        "evaluate_every": 10,
        "learning_rate": 0.001,
        "warmup_steps": 1,
    }
    return [
        f"--experiment={experiment}",
        f"--dataset=folder:{directory / 'images'}",
        f"--workdir={workdir}",
        f"--steps={STEPS}",
        f"--batch_size={BATCH_SIZE}",
        "--log_every=1",
        "--samples=2",
        "--temperature=1",
        *(f"--set={name}={value}" for name, value in {**common, **fields, **OWN.get(paper, {})}.items()),
    ]


def start(paper, directory, workdir, *more, tf_config=None):
    """The id of a process that trains; its output goes to a file beside the workdir."""

    def run():
        index = 0 if tf_config is None else tf_config["task"]["index"]
        with open(directory / f"{workdir.name}-{index}.log", "a") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        os.environ.pop("TF_CONFIG", None)
        if tf_config is not None:
            os.environ["TF_CONFIG"] = json.dumps(tf_config)
        sys.argv = ["run.py", *arguments(paper, directory, workdir), *more]
        driver.main(PAPERS[paper][0])

    return fork(run)


def check_exit(process, log):
    status = wait(process)
    assert status == 0, f"{log.name} ended with {status}: {log.read_text()[-3000:]}"


def run_alone(paper, directory, name, *more):
    workdir = directory / name
    check_exit(start(paper, directory, workdir, *more), directory / f"{name}-0.log")
    return workdir


def run_together(paper, directory, name, count):
    workdir = directory / name
    workers = [start(paper, directory, workdir, tf_config=config) for config in cluster(count)]
    for index, process in enumerate(workers):
        check_exit(process, directory / f"{name}-{index}.log")
    return workdir


def figures(workdir):
    """`(lines of the log, bits/dim of each image)` of all stages."""
    logs = sorted(workdir.rglob("metrics.jsonl"))
    lines = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    values = {path.relative_to(workdir): np.load(path) for path in sorted(workdir.rglob("*_bits_per_dim.npy"))}
    return lines, values


def compare(workdir, expected):
    """Raises AssertionError if two runs differ by more than rounding."""
    (lines, images), (other_lines, other_images) = figures(workdir), figures(expected)
    assert [(line["step"], sorted(line)) for line in lines] == [(line["step"], sorted(line)) for line in other_lines]
    assert sum("loss" in line for line in lines) >= STEPS
    for line, other in zip(lines, other_lines, strict=True):
        for name in ("loss", "bits_per_dim", "gradient_norm", "test_bits_per_dim", "validation_bits_per_dim"):
            if name in line:
                tolerance = FIRST if line["step"] <= 2 and name != "gradient_norm" else ALL
                np.testing.assert_allclose(line[name], other[name], err_msg=f"{name}, step {line['step']}", **tolerance)
    assert images.keys() == other_images.keys() and images
    for path, values in images.items():
        if path.name.startswith("test"):
            assert values.shape == (NUM_TEST,)
        np.testing.assert_allclose(values, other_images[path], err_msg=str(path), **ALL)


def try_paper(paper, directory, counts):
    """Trains a paper alone and with each number of workers; raises AssertionError if the results differ."""
    alone = None if paper in FREE_BITS else run_alone(paper, directory, f"{paper}-1")
    for count in counts:
        expected = alone or run_alone(paper, directory, f"{paper}-{count}-devices", f"--virtual_devices={count}")
        compare(run_together(paper, directory, f"{paper}-{count}", count), expected)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--papers", default=",".join(PAPERS))
    parser.add_argument("--workers", default="2,4")
    options = parser.parse_args()
    failed = False
    options.directory.mkdir(parents=True, exist_ok=True)
    if not (options.directory / "images").exists():
        assert wait(fork(write_images, options.directory / "images", NUM_TRAIN, NUM_TEST)) == 0
    for paper in options.papers.split(","):
        begun = time.monotonic()
        try:
            try_paper(paper, options.directory, list(map(int, options.workers.split(","))))
            outcome = "the same"
        except AssertionError as error:
            failed, outcome = True, f"DIFFERS: {error}"
        print(f"{paper}: {time.monotonic() - begun:.0f} s: {outcome}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
