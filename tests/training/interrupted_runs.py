"""Whole runs that are killed, stopped, run out of disk or have several workers; conftest.py runs this file.

Each run is the `main` of reproductions/glow/run.py in a process of its own; prints what `forked.run_scenarios` does.

    python interrupted_runs.py DIRECTORY SCENARIO...
"""

import json
import os
import pathlib
import random
import re
import resource
import signal
import sys
import time

import numpy as np
import tensorflow as tf
from PIL import Image

from reproductions.driver import main as cli
from reproductions.driver import train
from reproductions.glow.reproduction import GLOW
from tests.training.forked import cluster, fork, run_scenarios, slurm_step, wait
from tfflows.devices.stopping import STOPPED
from tfflows.training.checkpoints import Checkpoints
from tfflows.training.loop import Loop

STEPS = 60
# Runs that are stopped take several steps a call, and must end as the unbroken one, which takes one.
SEVERAL = "--steps_per_execution=4"
TIMES = ("seconds", "images_per_second")
LOST_SECONDS = 30


def arguments(directory, workdir):
    fields = {"levels": 1, "depth": 1, "width": 4, "init_batch_size": 16, "warmup_steps": 10, "evaluate_every": 25}
    return [
        "--experiment=demo",
        f"--dataset=folder:{directory / 'images'}",
        f"--workdir={workdir}",
        f"--steps={STEPS}",
        "--batch_size=8",
        "--log_every=5",
        "--checkpoint_every=10",
        "--temperature=1",
        "--samples=2",
        *(f"--set={name}={value}" for name, value in fields.items()),
    ]


def write_images(directory):
    """10 smooth images to train on and 5 to test, 8x8 pixels, in `images/`."""
    generator = np.random.default_rng(0)
    for split, count in (("train", 10), ("test", 5)):
        (directory / "images" / split).mkdir(parents=True)
        for number in range(count):
            image = Image.fromarray(generator.integers(0, 256, [3, 3, 3], np.uint8)).resize((8, 8), Image.BILINEAR)
            image.save(directory / "images" / split / f"{number}.png")


def start(directory, workdir, *more, index=None, environment=None, before=None):
    """The id of a process that runs `run.py`, of a worker with its index; its output goes to files beside the workdir."""

    def run():
        name = workdir.name + ("" if index is None else f"-{index}")
        for number, stream in ((1, "stdout"), (2, "stderr")):
            file = os.open(directory / f"{name}.{stream}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(file, number)
        os.environ.pop("TF_CONFIG", None)
        os.environ.update(environment or {})
        if before is not None:
            before()
        sys.argv = ["run.py", *arguments(directory, workdir), *more]
        cli.main(GLOW)

    return fork(run)


def check_exit(process, directory, name, expected=0):
    status = wait(process)
    errors = (directory / f"{name}.stderr").read_text()
    assert status == expected, f"{name}: ended with {status}: {errors[-3000:]}"
    return errors


def newest(workdir):
    steps = [int(path.name[5:-6]) for path in (workdir / "checkpoints").glob("step-*.index")]
    return max(steps, default=-1)


def wait_for_step(workdir, step, process):
    deadline = time.monotonic() + 400
    while newest(workdir) < step:
        assert time.monotonic() < deadline, f"no checkpoint of step {step}"
        assert os.waitpid(process, os.WNOHANG) == (0, 0), f"ended before step {step}"
        time.sleep(0.002)


def figures(workdir):
    """All that a run leaves, without times."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    log = [{name: value for name, value in line.items() if name not in TIMES} for line in lines]
    reader = tf.train.load_checkpoint(str(workdir / "checkpoints" / f"step-{STEPS}"))
    tensors = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    tensors.pop("loop/seconds")
    (record,) = (workdir / "results" / "glow").glob("*.json")
    record = json.loads(record.read_text())
    names = ("value", "standard_error", "num_images", "steps", "parameters", "curve")
    (picture,) = (workdir / "pictures").glob("*.png")
    return {
        "log": log,
        "tensors": tensors,
        "record": {name: record[name] for name in names},
        "images": np.load(workdir / "test_bits_per_dim.npy"),
        "picture": np.asarray(Image.open(picture)),
    }


def check_same(workdir, expected):
    found = figures(workdir)
    assert found["log"] == expected["log"]
    assert found["record"] == expected["record"]
    for name, value in expected["tensors"].items():
        np.testing.assert_array_equal(found["tensors"][name], value, name)
    np.testing.assert_array_equal(found["images"], expected["images"])
    np.testing.assert_array_equal(found["picture"], expected["picture"])


def killed(directory, expected):
    """kill -9 at three moments, near a save and between; then the same command to its end."""
    workdir = directory / "killed"
    generator = random.Random(0)
    for step in (0, 20, 40):
        process = start(directory, workdir)
        wait_for_step(workdir, step, process)
        time.sleep(generator.uniform(0.0, 0.03))
        os.kill(process, signal.SIGKILL)
        assert wait(process) == -signal.SIGKILL
        assert newest(workdir) < STEPS, "was not killed in the middle"
    check_exit(start(directory, workdir), directory, "killed")
    check_same(workdir, expected)


def terminated(directory, expected):
    """SIGTERM saves and ends with 75, before evaluation and samples; then the same command to its end."""
    workdir = directory / "terminated"
    process = start(directory, workdir, SEVERAL)
    wait_for_step(workdir, 20, process)
    os.kill(process, signal.SIGTERM)
    errors = check_exit(process, directory, "terminated", STOPPED)
    assert "Stopped at step" in errors and "Traceback" not in errors, errors
    assert 20 <= newest(workdir) < STEPS
    assert not (workdir / "results").exists()
    check_exit(start(directory, workdir, SEVERAL), directory, "terminated")
    check_same(workdir, expected)


def stop_in_evaluation():
    """From then on the process sends SIGTERM to itself where the evaluation begins."""

    def stop(*arguments, **keywords):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    train.evaluate_and_record = stop


def in_evaluation(directory, expected):
    """SIGTERM while the test images are measured ends the run at once with 75; then the same command to its end."""
    workdir = directory / "in_evaluation"
    process = start(directory, workdir, before=stop_in_evaluation)
    errors = check_exit(process, directory, "in_evaluation", STOPPED)
    assert "Stopped by SIGTERM. The same command goes on" in errors and "Traceback" not in errors, errors
    assert newest(workdir) == STEPS
    check_exit(start(directory, workdir), directory, "in_evaluation")
    check_same(workdir, expected)


def after_the_last_step(directory, expected):
    """SIGTERM in the last step of the loop: nothing is left to stop there, and the evaluation does not begin."""
    workdir = directory / "after_the_last_step"
    run = Loop.run

    def run_and_stop(self, state, *arguments, **keywords):
        save = keywords["checkpoints"].save

        def save_and_stop(state):
            save(state)
            if state.step == STEPS:
                os.kill(os.getpid(), signal.SIGTERM)

        keywords["checkpoints"].save = save_and_stop
        return run(self, state, *arguments, **keywords)

    def before():
        Loop.run = run_and_stop
        train.evaluate_and_record = lambda *arguments, **keywords: time.sleep(60)

    process = start(directory, workdir, before=before)
    check_exit(process, directory, "after_the_last_step", STOPPED)
    check_exit(start(directory, workdir), directory, "after_the_last_step")
    check_same(workdir, expected)


def fill_disk_after_two_saves():
    """From then on no file may grow beyond 20 kB, which to a writer looks as a full disk does; a checkpoint has 77."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    save, saves = Checkpoints.save, []

    def save_and_fill(self, step):
        if len(saves) == 2:
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        saves.append(step)
        save(self, step)

    Checkpoints.save = save_and_fill


def full_disk(directory, expected):
    """A save that fails ends the run with one clear line; with space again it goes on from the save before."""
    workdir = directory / "full_disk"
    process = start(directory, workdir, before=fill_disk_after_two_saves)
    errors = check_exit(process, directory, "full_disk", expected=1)
    assert "Cannot write the checkpoint of step 30" in errors and "Traceback" not in errors, errors
    assert newest(workdir) == 20
    check_exit(start(directory, workdir), directory, "full_disk")
    check_same(workdir, expected)


def start_workers(directory, workdir, more=((), ()), workdirs=None, before=None, by_slurm=False):
    """The ids of the processes of workers, each with its arguments."""
    count = len(more)
    environments = slurm_step(count) if by_slurm else [{"TF_CONFIG": json.dumps(config)} for config in cluster(count)]
    named = [SEVERAL, "--cluster=slurm"] if by_slurm else [SEVERAL]
    return [
        start(
            directory,
            workdir if workdirs is None else workdirs[index],
            *named,
            *more[index],
            index=index,
            environment=environment,
            before=before,
        )
        for index, environment in enumerate(environments)
    ]


def other_settings(directory, expected):
    """Workers that differ in settings or do not share a workdir end before the first step, and name what differs."""
    del expected
    cases = {
        "other_seed": ([], ["--seed=1", "--set=learning_rate=0.5"]),
        "other_call": ([], ["--steps_per_execution=2"]),
        "other_steps": ([], ["--steps=20"]),
    }
    messages = {
        "other_seed": "learning_rate is 0.001 on worker 0 and 0.5 on worker 1; seed is 0 on worker 0 and 1 on worker 1.",
        "other_call": "--steps_per_execution is 4 on worker 0 and 2 on worker 1.",
        "other_steps": f"num_steps is {STEPS} on worker 0 and 20 on worker 1.",
        "own": "All workers must share the working directory",
    }
    for name, message in messages.items():
        workdirs = [directory / (f"{name}{index}" if name == "own" else name) for index in range(2)]
        workers = start_workers(directory, workdirs[0], cases.get(name, ([], [])), workdirs)
        for index, process in enumerate(workers):
            errors = check_exit(process, directory, f"{workdirs[index].name}-{index}", expected=1)
            assert message in errors and "Traceback" not in errors, errors
        left = [file.name for workdir in workdirs for file in workdir.rglob("*")]
        assert not {"experiment.json", "metrics.jsonl", "checkpoints"} & set(left), left


def lost_worker(directory, expected, how=signal.SIGKILL, index=1, name="lost_worker"):
    """A worker is killed: the other one ends with one line, and both started again end as one process."""
    workdir = directory / name
    workers = start_workers(directory, workdir)
    wait_for_step(workdir, 20, workers[0])
    os.kill(workers[index], how)
    killed_at = time.monotonic()
    errors = check_exit(workers[1 - index], directory, f"{name}-{1 - index}", expected=1)
    assert time.monotonic() - killed_at < LOST_SECONDS
    line = re.search(r"^\w+Error: (Worker \d|Another worker) ended or cannot be reached\..*$", errors, re.MULTILINE)
    assert line and "Traceback" not in errors, errors
    os.kill(workers[index], signal.SIGKILL)
    assert wait(workers[index]) == -signal.SIGKILL
    check_ends(directory, workdir, 2, expected)


def lost_chief(directory, expected):
    """The first worker, which leads the others, hangs, as when its machine is cut off."""
    lost_worker(directory, expected, signal.SIGSTOP, 0, "lost_chief")


def two_workers(directory, expected, count=2, name="two_workers", by_slurm=False):
    """Workers, the last of which is told to stop: all do at the same step, and new ones end with the figures of one process."""
    workdir = directory / name
    workers = start_workers(directory, workdir, more=[()] * count, by_slurm=by_slurm)
    wait_for_step(workdir, 20, workers[0])
    os.kill(workers[-1], signal.SIGTERM)
    steps = set()
    for index, process in enumerate(workers):
        errors = check_exit(process, directory, f"{name}-{index}", STOPPED)
        assert "Traceback" not in errors, errors
        steps |= set(re.findall(r"Stopped at step (\d+)", errors))
    assert steps == {str(newest(workdir))} and 20 <= newest(workdir) < STEPS
    check_ends(directory, workdir, count, expected, by_slurm)
    found = figures(workdir)
    # Before rounding has grown over many steps.
    for name in ("loss", "gradient_norm"):
        np.testing.assert_allclose(found["log"][0][name], expected["log"][0][name], rtol=1e-5)
    assert found["record"]["num_images"] == 5


def four_workers(directory, expected):
    """Like `two_workers`, in a step of SLURM."""
    two_workers(directory, expected, 4, "four_workers", by_slurm=True)


def workers_in_evaluation(directory, expected):
    """SIGTERM while two workers measure the test images, as a scheduler sends it to all, ends each of them at once with 75."""
    workdir = directory / "workers_in_evaluation"
    workers = start_workers(directory, workdir, before=stop_in_evaluation)
    for index, process in enumerate(workers):
        check_exit(process, directory, f"{workdir.name}-{index}", STOPPED)
    check_ends(directory, workdir, 2, expected)


def check_ends(directory, workdir, count, expected, by_slurm=False):
    """The same command on each worker ends with the figures of one process, up to rounding; the first one prints them."""
    name = workdir.name
    for index, process in enumerate(start_workers(directory, workdir, more=[()] * count, by_slurm=by_slurm)):
        check_exit(process, directory, f"{name}-{index}")
    found = figures(workdir)
    assert [line["step"] for line in found["log"]] == [line["step"] for line in expected["log"]]
    for line, other in zip(found["log"], expected["log"], strict=True):
        for field, value in other.items():
            np.testing.assert_allclose(line[field], value, rtol=2e-3, err_msg=f"{field}, step {other['step']}")
    np.testing.assert_allclose(found["images"], expected["images"], rtol=2e-3)
    outputs = [(directory / f"{name}-{index}.stdout").read_text() for index in range(count)]
    assert [output.count("verdict") for output in outputs] == [1, *[0] * (count - 1)]


SCENARIOS = {
    scenario.__name__: scenario
    for scenario in (
        killed,
        terminated,
        in_evaluation,
        after_the_last_step,
        full_disk,
        two_workers,
        four_workers,
        workers_in_evaluation,
        other_settings,
        lost_worker,
        lost_chief,
    )
}


def main(directory, *names):
    if not (directory / "images").exists():
        write_images(directory)
        check_exit(start(directory, directory / "unbroken"), directory, "unbroken")
    expected = figures(directory / "unbroken")
    run_scenarios([SCENARIOS[name] for name in names], lambda scenario: (directory, expected))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), *sys.argv[2:])
