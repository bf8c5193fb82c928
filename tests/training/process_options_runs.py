"""One experiment trained by the command, and from Python with and without `process_options`; conftest.py runs this file.

Each in a process of its own; prints what `forked.run_scenarios` does.

    python process_options_runs.py DIRECTORY
"""

import json
import os
import pathlib
import sys

import numpy as np
import tensorflow as tf

from reproductions.driver import main as cli
from reproductions.glow.experiments import GlowExperiment
from reproductions.glow.run import GLOW
from tests.reproductions.driver.running import TINY
from tests.training.forked import fork, run_scenarios, wait
from tfflows.data import load_dataset
from tfflows.devices.strategies import make_strategy
from tfflows.training import LoopSettings, Trainer, process_options

STEPS, SEED = 8, 3


def command(workdir):
    """What `reproductions/glow/run.py` does."""
    sys.argv = [
        "run.py",
        *TINY,
        f"--workdir={workdir}",
        f"--steps={STEPS}",
        f"--seed={SEED}",
        "--set=learning_rate=0.01",
    ]
    cli.main(GLOW)


def from_python(workdir, experiment, with_options):
    """The same, without a flag."""
    if with_options:
        process_options()
    strategy = make_strategy()
    images = load_dataset("digits", "train").images
    with strategy.scope():
        model = GLOW.build_model(experiment, images.shape[1:], 10, SEED)
        optimizer = GLOW.build_optimizer(experiment, GLOW.build_schedule(experiment))
    settings = LoopSettings(evaluation_batch_size=experiment.evaluation_batch_size)
    trainer = Trainer(model, optimizer, seed=SEED, workdir=workdir, settings=settings)
    trainer.fit(images, STEPS, batch_size=experiment.batch_size, init_batch_size=experiment.init_batch_size)
    np.save(workdir / "test_bits_per_dim.npy", trainer.evaluate(load_dataset("digits", "test").images).per_image)
    assert tf.config.optimizer.get_experimental_options().get("disable_meta_optimizer", False) == with_options


def run(directory, function, *arguments):
    """Runs `function` in another process, its output in files beside its workdir."""

    def quietly():
        for number, stream in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(f"{arguments[0]}.{stream}", os.O_WRONLY | os.O_CREAT), number)
        function(*arguments)

    status = wait(fork(quietly))
    assert status == 0, pathlib.Path(f"{arguments[0]}.stderr").read_text()[-3000:]


def tensors_of(workdir):
    reader = tf.train.load_checkpoint(str(workdir / "checkpoints" / f"step-{STEPS}"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if name != "loop/seconds"}


def with_options(directory, experiment):
    """The checkpoint and the bits/dim of each image are the command's, bit for bit."""
    run(directory, from_python, directory / "with", experiment, True)
    expected, found = tensors_of(directory / "command"), tensors_of(directory / "with")
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, name)
    bits = [np.load(directory / name / "test_bits_per_dim.npy") for name in ("command", "with")]
    np.testing.assert_array_equal(bits[1], bits[0])


def without_options(directory, experiment):
    """The bits/dim of each image are the command's, up to rounding."""
    run(directory, from_python, directory / "without", experiment, False)
    bits = [np.load(directory / name / "test_bits_per_dim.npy") for name in ("command", "without")]
    np.testing.assert_allclose(bits[1], bits[0], atol=1e-5, rtol=0)


def main(directory):
    directory.mkdir(parents=True, exist_ok=True)
    run(directory, command, directory / "command")
    stored = json.loads((directory / "command" / "experiment.json").read_text())
    fields = {name: value for name, value in stored.items() if name in GlowExperiment.__dataclass_fields__}
    run_scenarios((with_options, without_options), lambda scenario: (directory, GlowExperiment(**fields)))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
