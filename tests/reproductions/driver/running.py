"""Runs of `reproductions/PAPER/run.py`, by default Glow's, within the process of the tests."""

import json

import numpy as np
import pytest
import tensorflow as tf
from absl import flags, logging
from absl.testing import flagsaver

from reproductions.driver import main
from reproductions.driver.flags import define_flags
from reproductions.glow.reproduction import GLOW
from tfflows.data import ArraySource, dataset_spec

# One of the smallest models that there are, on the embedded digits.
TINY = (
    "--experiment=demo",
    "--dataset=digits",
    "--set=levels=1",
    "--set=depth=1",
    "--set=width=4",
    "--set=init_batch_size=32",
    "--set=evaluation_batch_size=180",
    "--set=evaluate_every=0",
    "--batch_size=8",
    "--temperature=1",
    "--samples=2",
)


def run(*arguments, reproduction=GLOW):
    """What `run.py ARGUMENTS` of a reproduction does; errors are raised."""
    with parsed(arguments):
        main.run(reproduction, flags.FLAGS)


def exit_message(capsys, *arguments):
    """The standard error of `run.py ARGUMENTS`, which must end with status 1 without a traceback."""
    levels = logging.get_verbosity(), tf.get_logger().level
    try:
        with pytest.raises(SystemExit) as caught, parsed(arguments) as rest:
            main._run(GLOW, rest)
        assert caught.value.code == 1
    finally:
        logging.set_verbosity(levels[0])
        tf.get_logger().setLevel(levels[1])
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message


class parsed:
    """The flags hold `arguments` inside, and what they held before afterwards."""

    def __init__(self, arguments):
        if "experiment" not in flags.FLAGS:
            define_flags()
        self._arguments, self._saver = arguments, flagsaver.flagsaver()

    def __enter__(self):
        self._saver.__enter__()
        return flags.FLAGS(["run.py", *self._arguments])

    def __exit__(self, *exception):
        return self._saver.__exit__(*exception)


def record_of(workdir):
    """The one result record in a workdir, as a dictionary."""
    (path,) = (workdir / "results").glob("*/*.json")
    return json.loads(path.read_text())


def small_source(name, split, image_size=None, num_images=3, **_):
    """Noise images of a data set's own shape, in place of `load_dataset`."""
    spec = dataset_spec(name)
    shape = (image_size or spec.image_size,) * 2 + (spec.num_channels,)
    images = np.random.default_rng(0).integers(0, 256, [num_images, *shape], np.uint8)
    labels = np.arange(num_images, dtype=np.int32) % max(spec.num_classes, 1)
    return ArraySource(
        name=name,
        split=split,
        num_images=num_images,
        image_shape=shape,
        num_classes=spec.num_classes,
        images=images,
        labels=labels,
    )
