"""Runs of all six papers that are killed (SIGKILL) at moments drawn from a seed and end as unbroken ones.

Each run is the `main` of a paper in a process of its own, on 16x16 cuts of the embedded photographs. An unbroken run measures how
long each phase takes. Then a run in a new workdir is killed once in each phase, at a random moment of it, and started again with
the same command; the last start is left to its end. Metrics, records, pictures, bits/dim per image and checkpoints must be those
of the unbroken run, and no other files may be left.

    python -m tests.reproductions.killed_runs DIRECTORY [--papers=glow,agave] [--kills=5] [--seed=0]
"""

import argparse
import functools
import json
import os
import pathlib
import random
import signal
import sys
import threading
import time

import numpy as np
import tensorflow as tf

from reproductions.agave.reproduction import AGAVE
from reproductions.driver import main as driver
from reproductions.driver import train
from reproductions.flowpp.reproduction import FLOWPP
from reproductions.glow.reproduction import GLOW
from reproductions.macow.reproduction import MACOW
from reproductions.realnvp.reproduction import REALNVP
from reproductions.vflow.reproduction import VFLOW
from tests.training.forked import fork, wait
from tfflows.data import load_dataset
from tfflows.evaluation.samples import write_png
from tfflows.training import trainer
from tfflows.training.checkpoints import Checkpoints

SEED = 0
STEPS = 6
_FLOWPP = {
    "stages": "checkerboard 1, squeeze, channel 1, checkerboard 1",
    "width": 4,
    "num_blocks": 1,
    "num_components": 2,
    "num_heads": 1,
    "dequantization_stages": "checkerboard 1",
    "dequantization_width": 4,
    "dequantization_blocks": 1,
    "context_width": 4,
    "context_blocks": 1,
}
# `{paper: (reproduction, experiment, fields)}`: as small as can be.
PAPERS = {
    "glow": (GLOW, "cifar10", {"levels": 2, "depth": 1, "width": 4}),
    "flowpp": (FLOWPP, "cifar10", {**_FLOWPP, "schedule": "", "ema_decay": 0.9}),
    "macow": (MACOW, "cifar10_fine_grained", {"steps": "1, 1", "widths": "4, 4", "factors": ""}),
    "vflow": (
        VFLOW,
        "budget_6_channels",
        {**_FLOWPP, "augmenter_stages": "checkerboard 1", "augmenter_width": 4, "augmenter_blocks": 1, "holdout": 4},
    ),
    "realnvp": (REALNVP, "cifar10", {"width": 2, "num_blocks": 1}),
    "agave": (
        AGAVE,
        "cifar10",
        {
            "auxiliary_size": 16,
            "width": 4,
            "num_blocks": 1,
            "num_components": 2,
            "vae_width": 4,
            "latent_channels": 2,
            "vae_blocks": 1,
            "ema_decay": 0.9,
            "pretraining_steps": STEPS,
        },
    ),
}
PHASES = ("init", "steps", "checkpoint", "evaluation", "pictures")
STAGED_PHASES = ("init", "checkpoint", "evaluation", "pictures", "between")
# Of a line of the log, of a record and of a checkpoint: what the clock or the start says.
TIMES = ("seconds", "images_per_second")
PROVENANCE = ("hours", "date", "command", "seconds_per_step", "hardware", "versions", "commit", "execution")


def write_images(directory, num_train=24, num_test=8):
    """Writes 16x16 cuts of the embedded photographs, to train on and to test."""
    for split, count in (("train", num_train), ("test", num_test)):
        for number, image in enumerate(load_dataset("photographs", split, max_images=count).images):
            write_png(directory / split / f"{number:02}.png", image[8:24, 8:24])


def arguments(paper, directory, workdir):
    _, experiment, fields = PAPERS[paper]
    common = {
        "image_size": 16,
        "init_batch_size": 16,
        "evaluation_batch_size": 4,
        "evaluate_every": 3,
        "learning_rate": 0.003,
        "warmup_steps": 1,
    }
    return [
        f"--experiment={experiment}",
        f"--dataset=folder:{directory / 'images'}",
        f"--workdir={workdir}",
        f"--steps={STEPS}",
        "--batch_size=4",
        "--log_every=1",
        "--checkpoint_every=2",
        "--samples=2",
        "--temperature=0.7,1",
        *(f"--set={name}={value}" for name, value in {**common, **fields}.items()),
    ]


# ----------------------------------------------------------------------------------------------------------------- phases


class Phases:
    """Calls `begin(phase)` and `end(phase)` at the phases of a run, by wrapping the functions that these consist of."""

    def __init__(self, begin, end):
        self.begin, self.end = begin, end
        self._wrap(trainer, "initialize_from_data", "init")
        self._wrap(trainer.Loop, "run", "steps")
        self._wrap(Checkpoints, "save", "checkpoint")
        self._wrap(train, "evaluate_and_record", "evaluation")
        self._wrap(train, "write_samples", "pictures")
        self._between()

    def _wrap(self, owner, name, phase):
        function = getattr(owner, name)

        @functools.wraps(function)
        def wrapped(*arguments, **keywords):
            self.begin(phase)
            result = function(*arguments, **keywords)
            self.end(phase)
            return result

        setattr(owner, name, wrapped)

    def _between(self):
        """From the pictures of a stage to the first step of the next one."""
        run, fit, ended = train.run, trainer.Trainer.fit, []

        def run_and_begin(session):
            result = run(session)
            ended.append(session.stage)
            self.begin("between")
            return result

        def end_and_fit(*arguments, **keywords):
            if ended:
                self.end("between")
            return fit(*arguments, **keywords)

        train.run, trainer.Trainer.fit = run_and_begin, end_and_fit


def measured(path):
    """Writes `{phase: seconds of its shortest time}` to `path` when the process ends a phase."""
    begun, seconds = {}, {}

    def begin(phase):
        begun[phase] = time.monotonic()

    def end(phase):
        passed = time.monotonic() - begun[phase]
        seconds[phase] = min(passed, seconds.get(phase, passed))
        path.write_text(json.dumps(seconds))

    Phases(begin, end)


def killed_in(phase, number, delay):
    """Kills the process `delay` seconds after the phase has begun for the `number`th time."""
    times = []

    def begin(begun):
        times.append(begun)
        if begun == phase and times.count(phase) == number:
            threading.Timer(delay, os.kill, [os.getpid(), signal.SIGKILL]).start()

    Phases(begin, lambda phase: None)


# ------------------------------------------------------------------------------------------------------------------- runs


def start(paper, directory, workdir, before):
    def run():
        with open(directory / f"{workdir.name}.log", "a") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
        before()
        sys.argv = ["run.py", *arguments(paper, directory, workdir)]
        driver.main(PAPERS[paper][0])

    return fork(run)


def unbroken(paper, directory):
    """Runs to the end; returns `{phase: seconds}`."""
    workdir = directory / f"{paper}-unbroken"
    times = directory / f"{paper}-phases.json"
    status = wait(start(paper, directory, workdir, lambda: measured(times)))
    assert status == 0, tail(directory, workdir)
    return json.loads(times.read_text())


def killed(paper, directory, name, phases, seconds, generator):
    """Kills a run once in each phase, then runs it to the end; prints each moment."""
    workdir = directory / name
    for phase in phases:
        delay = generator.uniform(0, 0.9 * seconds[phase])
        # The first checkpoint would be step 2 each time: one more of each start, as long as there are two to come.
        number = 2 if phase == "checkpoint" and last_step(workdir) < STEPS - 2 else 1
        status = wait(start(paper, directory, workdir, lambda: killed_in(phase, number, delay)))  # noqa: B023 (forked at once)
        assert status == -signal.SIGKILL, f"{name}, {phase}: ended with {status}: {tail(directory, workdir)}"
        print(f"{name}: killed {delay:.3f} s into {phase}, of {seconds[phase]:.3f} s", flush=True)
    status = wait(start(paper, directory, workdir, lambda: None))
    assert status == 0, tail(directory, workdir)


def last_step(workdir):
    """Step of the newest checkpoint, 0 if there is none; without TensorFlow, after which a process cannot be forked."""
    return max((int(path.stem.removeprefix("step-")) for path in workdir.glob("checkpoints/step-*.index")), default=0)


def tail(directory, workdir):
    return (directory / f"{workdir.name}.log").read_text()[-3000:]


# ------------------------------------------------------------------------------------------------------------- comparison


def files(workdir):
    """All files that matter, by path in the workdir."""
    paths = [path.relative_to(workdir) for path in sorted(workdir.rglob("*")) if path.is_file()]
    return [path for path in paths if path.name not in (".lock", "timings.json") and path.parent.name != "tensorboard"]


def content(path):
    """What a file says, without times."""
    if path.name == "metrics.jsonl":
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]
    if path.parent.parent.name == "results":
        return {name: value for name, value in json.loads(path.read_text()).items() if name not in PROVENANCE}
    if path.suffix == ".index":
        reader = tf.train.load_checkpoint(str(path.with_suffix("")))
        names = sorted(set(reader.get_variable_to_shape_map()) - {"loop/seconds"})
        return {name: reader.get_tensor(name).tobytes() for name in names}
    if ".data-" in path.name:
        return None  # compared with its index
    if path.suffix == ".npy":
        return np.load(path).tobytes()
    return path.read_bytes()


def check_same(workdir, expected):
    """Raises AssertionError if two workdirs do not hold the same, apart from times."""
    assert files(workdir) == files(expected), f"{workdir.name}: {set(files(workdir)) ^ set(files(expected))}"
    for path in files(expected):
        assert content(workdir / path) == content(expected / path), f"{workdir.name}: {path} differs"


def compare_in_process(workdir, expected):
    """Compares in a forked process: one that has used TensorFlow cannot be forked."""
    status = wait(fork(check_same, workdir, expected))
    assert status == 0, f"{workdir.name} differs from {expected.name}; see above"


def try_paper(paper, directory, kills=5, seed=SEED):
    """Runs a paper unbroken, and killed `kills` times in all; raises AssertionError if the results differ."""
    generator = random.Random(f"{seed} {paper}")
    phases = STAGED_PHASES if paper == "agave" else PHASES
    seconds = unbroken(paper, directory)
    for first in range(0, kills, len(phases)):
        name = f"{paper}-killed-{first}"
        killed(paper, directory, name, phases[: kills - first], seconds, generator)
        compare_in_process(directory / name, directory / f"{paper}-unbroken")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--papers", default=",".join(PAPERS))
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    failed = []
    options.directory.mkdir(parents=True, exist_ok=True)
    if not (options.directory / "images").exists():
        assert wait(fork(write_images, options.directory / "images")) == 0
    for paper in options.papers.split(","):
        begun = time.monotonic()
        try:
            try_paper(paper, options.directory, options.kills, options.seed)
            outcome = "the same as unbroken"
        except AssertionError as error:
            failed.append(paper)
            outcome = f"DIFFERS: {error}"
        print(f"{paper}: {options.kills} kills, {time.monotonic() - begun:.0f} s: {outcome}", flush=True)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
