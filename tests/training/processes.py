"""Processes that are killed, or run out of disk; conftest.py runs this file once for all tests.

Each scenario gets a directory and raises if something is wrong; prints what `forked.run_scenarios` does.

    python processes.py DIRECTORY [SCENARIO...]
"""

import json
import os
import pathlib
import random
import resource
import shutil
import signal
import sys
import tempfile
import time

import numpy as np
import pytest
import tensorflow as tf

from reproductions.glow import model as glow
from tests.training.forked import cluster, fork, run_scenarios, wait
from tests.training.tiny_runs import EXPERIMENT, digits
from tfflows.data import load_dataset
from tfflows.devices.agreement import wait_for_all
from tfflows.devices.strategies import is_chief, make_strategy
from tfflows.training import LoopSettings, Trainer
from tfflows.training.checkpoints import CheckpointError, Checkpoints
from tfflows.training.logs import LogError, MetricLogger

SIZE = 1 << 19  # 2 MiB a variable
NAMES = ("model/levels/0/bias", "model/levels/0/kernel", "optimizer/moment")
# What touches the disk, in the order of a save; a process is killed before each of these calls.
CALLS = [
    (tempfile, "mkdtemp"),
    (os, "fsync"),
    (os, "replace"),
    (pathlib.Path, "unlink"),
    (shutil, "rmtree"),
]


def make_checkpoints(directory):
    variables = {name: tf.Variable(tf.zeros([SIZE])) for name in NAMES}
    best = directory.with_suffix(".best")
    return Checkpoints(directory, variables, max_to_keep=2, best_directory=best), variables


def values_of(step):
    generator = np.random.default_rng(step)
    return {name: generator.standard_normal(SIZE, dtype=np.float32) for name in NAMES}


def save(checkpoints, variables, step):
    for name, value in values_of(step).items():
        variables[name].assign(value)
    checkpoints.save(step)


def check(directory, at_least):
    """Restores and compares; returns the step."""
    checkpoints, variables = make_checkpoints(directory)
    step = checkpoints.restore_latest()
    assert step is not None and step >= at_least, f"restored {step}, declared saved {at_least}"
    for name, value in values_of(step).items():
        np.testing.assert_array_equal(variables[name].numpy(), value)
    save(checkpoints, variables, step + 1)
    hidden = [n for n in os.listdir(directory) if n.startswith(".")]
    data = {n.split(".")[0] for n in os.listdir(directory) if ".data-" in n}
    assert not hidden, f"not cleaned: {hidden}"
    assert data == {f"step-{s}" for s in checkpoints.steps}, f"data without index: {data}"
    return step


def save_until_killed(directory, declared):
    checkpoints, variables = make_checkpoints(directory)
    step = checkpoints.restore_latest() or 0
    while True:
        step += 1
        save(checkpoints, variables, step)
        declared.write_text(str(step))  # `save` has returned


def killed_anywhere(directory):
    """Kills a process that saves on and on, at random moments; each goes on from the one before."""
    declared = directory.with_suffix(".declared")
    generator = random.Random(0)
    for _ in range(6):
        process = fork(save_until_killed, directory, declared)
        before = declared.read_text() if declared.exists() else ""
        deadline = time.monotonic() + 60
        while (declared.read_text() if declared.exists() else "") in ("", before):
            assert time.monotonic() < deadline, "nothing was saved"
            time.sleep(0.005)
        time.sleep(generator.uniform(0, 0.1))
        os.kill(process, signal.SIGKILL)
        assert wait(process) == -signal.SIGKILL
    assert wait(fork(check, directory, int(declared.read_text() or 0))) == 0


def save_and_die(directory, number):
    checkpoints, variables = make_checkpoints(directory)
    for step in (1, 2):
        save(checkpoints, variables, step)
    calls = 0

    def counted(function):
        def call(*arguments, **keywords):
            nonlocal calls
            calls += 1
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **keywords)

        return call

    for module, name in CALLS:
        setattr(module, name, counted(getattr(module, name)))
    save(checkpoints, variables, 3)


def killed_at_each_call(directory):
    """Kills a save before its first call that touches the disk, its second, and so on."""
    for number in range(1, 100):
        status = wait(fork(save_and_die, directory / str(number), number))
        if status == 0:
            break
        assert status == -signal.SIGKILL
    assert number > 10, f"only {number} calls"
    for killed in range(1, number):
        assert wait(fork(check, directory / str(killed), 2)) == 0, f"killed before call {killed}"


def fill_disk(directory):
    checkpoints, variables = make_checkpoints(directory)
    save(checkpoints, variables, 1)
    before = {f: f.read_bytes() for f in directory.iterdir()}
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    for limit in (0, 100, SIZE, 3 * 4 * SIZE):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        for attempt in (checkpoints.save, lambda step: checkpoints.save_best(step, 1.0)):
            with pytest.raises(CheckpointError, match=r"step 2.*Free some space"):
                attempt(2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert {f: f.read_bytes() for f in directory.iterdir()} == before
    assert not list(directory.with_suffix(".best").iterdir()) and checkpoints.best is None
    save(checkpoints, variables, 2)  # there is space again
    assert checkpoints.steps == [1, 2]


def fill_disk_of_logs(directory):
    logger = MetricLogger(directory, None)
    logger.log(1, {"bits_per_dim": 3.0})
    logger.flush()
    before = (directory / "metrics.jsonl").stat().st_size
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (before + 50, hard))

    def log_without_space():
        for step in range(2, 100):
            logger.log(step, {"bits_per_dim": 3.0})
        logger.flush()

    with pytest.raises(LogError, match="free some space") as caught:
        log_without_space()
    assert str(directory) in str(caught.value)
    os._exit(0)  # as after a kill: nothing is closed


def full_disk_of_logs(directory):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    assert wait(fork(fill_disk_of_logs, directory)) == 0


def full_disk(directory):
    """No file may grow beyond a limit, which to a writer looks as a full disk does."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    assert wait(fork(fill_disk, directory)) == 0
    assert wait(fork(check, directory, 2)) == 0


def log_and_die(directory):
    logger = MetricLogger(directory, None)
    for step in range(1, 101):
        logger.log(step, {"bits_per_dim": 3.0})
    logger.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def flushed_logs(directory):
    """Kills a process just after a flush; the test looks at what it left."""
    assert wait(fork(log_and_die, directory)) == -signal.SIGKILL


def train(path, config):
    """Three steps of a tiny Glow on 13 images, then 7 others in batches of 4; writes bits/dim and averages to `path`."""
    if config is not None:
        os.environ["TF_CONFIG"] = json.dumps(config)
    strategy = make_strategy()
    with strategy.scope():
        model = glow.build(EXPERIMENT, [8, 8, 1], 10, seed=0)
        optimizer = glow.optimizer(EXPERIMENT, 0.01)
    trainer = Trainer(
        model, optimizer, ema_decay=0.9, strategy=strategy, settings=LoopSettings(evaluation_batch_size=4)
    )
    trainer.fit(digits(13), 3, batch_size=8, init_batch_size=8)
    bits = trainer.evaluate(load_dataset("digits", "test", max_images=7)).per_image
    values = {name: variable.numpy() for name, variable in trainer.parameters.variables.items()}
    if is_chief(strategy):
        np.savez(path, bits=bits, **values)
    wait_for_all(strategy)


def two_workers(directory):
    """Two processes that TF_CONFIG names: the test compares what the first one writes with what one process does."""
    directory.mkdir()
    configs = [None, *cluster(2)]
    processes = [fork(train, directory / f"{min(index, 1)}.npz", config) for index, config in enumerate(configs)]
    assert [wait(process) for process in processes] == [0, 0, 0]


def split_cpu():
    assert make_strategy("auto", 3).num_replicas_in_sync == 3
    assert len(tf.config.list_logical_devices("CPU")) == 3


def fresh_process_splits_the_cpu(directory):
    del directory
    assert wait(fork(split_cpu)) == 0


SCENARIOS = (
    killed_anywhere,
    killed_at_each_call,
    full_disk,
    full_disk_of_logs,
    flushed_logs,
    fresh_process_splits_the_cpu,
    two_workers,
)


def main(directory, *names):
    scenarios = [scenario for scenario in SCENARIOS if scenario.__name__ in names or not names]
    run_scenarios(scenarios, lambda scenario: [directory / scenario.__name__])


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), *sys.argv[2:])
