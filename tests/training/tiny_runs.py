"""Training runs whose model is traced in a second or two."""

import functools

import numpy as np
import tensorflow as tf

from reproductions.glow import model as glow
from reproductions.glow.experiments import GlowExperiment
from tfflows.data import load_dataset
from tfflows.devices.strategies import make_strategy
from tfflows.evaluation.bits_per_dim import BitsPerDim
from tfflows.tracing.named_variables import named_variables
from tfflows.training.flat_parameters import build_flat
from tfflows.training.loop import LoopSettings, train
from tfflows.training.moving_average import MovingAverage
from tfflows.training.optimizers.slots import optimizer_variables
from tfflows.training.schedules import LinearWarmup
from tfflows.training.train_step import make_train_step

EXPERIMENT = GlowExperiment(
    "tiny", "digits", image_size=8, num_bits=8, levels=1, depth=1, width=4, batch_size=8, learning_rate=0.01
)


@functools.cache
def digits(count=20):
    """The first training images of `digits`."""
    return load_dataset("digits", "train", max_images=count)


def build_model(strategy, experiment=EXPERIMENT, scatter=0.05):
    """A Glow under a strategy, its parameters moved away from where they start, so that every gradient is there."""
    with strategy.scope():
        model = glow.build(experiment, [8, 8, 1], 10, seed=0)
    generator = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign_add(scatter * generator.standard_normal(variable.shape).astype(np.float32))
    return model


def replicas_of(strategy, variable):
    """The values of a variable on each replica."""
    return [component.numpy() for component in strategy.experimental_local_results(variable)]


class Trainer:
    """A model with its training step, traced once for many runs.

    Each run begins with variables that hold nonsense, as those of a new process hold other values than the last one's.
    """

    def __init__(self, replicas=1, experiment=EXPERIMENT, source=None, **step_settings):
        self.experiment, self.source = experiment, source or digits()
        self.strategy = make_strategy("mirrored", replicas)
        self.model = build_model(self.strategy, experiment)
        trained = {name: v for name, v in named_variables(self.model).items() if v.trainable}
        self.schedule = LinearWarmup(experiment.learning_rate, 4)
        with self.strategy.scope():
            optimizer = glow.optimizer(experiment, self.schedule)
            self.flat = build_flat(optimizer, {f"model/{name}": variable for name, variable in trained.items()})
            flat = self.flat.variables
            self.average = MovingAverage(flat, experiment.ema_decay) if experiment.ema_decay else None
        beside = {
            **optimizer_variables(optimizer, list(flat)),
            **({} if self.average is None else self.average.variables()),
        }
        own = {f"model/{name}": variable for name, variable in named_variables(self.model).items()}
        self.variables = {**own, **self.flat.named_parts(beside)}
        self.replicated = {**own, **flat, **beside}
        self.initial = self.values()
        self.train_step = make_train_step(
            self.strategy,
            self.model,
            optimizer,
            trained,
            global_batch_size=experiment.batch_size,
            seed=0,
            moving_average=self.average,
            flat_parameters=self.flat,
            **step_settings,
        )

    def averages(self):
        """`{average/NAME: variable}` of the parameters' averages."""
        return self.flat.named_parts(self.average.variables())

    def values(self):
        """`{name: array}` of parameters and optimizer."""
        return {name: variable.numpy() for name, variable in self.variables.items()}

    def initialize(self):
        for name, value in self.initial.items():
            self.variables[name].assign(value)
        self.flat.gather()
        if self.average is not None:
            self.average.reset()

    def run(self, workdir, num_steps, *, before_step=None, evaluate=None, **settings):
        """Trains as a new process would; `before_step(step)` is called before each step, 1 the first, also within calls."""
        for variable in self.variables.values():
            variable.assign(tf.cast(tf.fill(variable.shape, 3), variable.dtype))

        def train_step(batch):
            step = self.strategy.experimental_local_results(batch["step"])[0][0] + 1
            if tf.executing_eagerly():
                before_step(int(step))
                return self.train_step(batch)
            # Within a call of several steps.
            with tf.control_dependencies([tf.py_function(lambda step: before_step(int(step)), [step], [])]):
                return self.train_step(batch)

        return train(
            self.strategy,
            self.train_step if before_step is None else train_step,
            self.source,
            workdir=workdir,
            variables=self.variables,
            num_steps=num_steps,
            global_batch_size=self.experiment.batch_size,
            seed=0,
            augmentation="none",
            learning_rate=lambda step: float(self.schedule(tf.constant(step))),
            metric_names=["loss", "gradient_norm", *self.model.metric_names],
            settings=LoopSettings(**{"log_every": 2, "checkpoint_every": 3, **settings}),
            initialize=self.initialize,
            restored=self.flat.gather,
            evaluate=evaluate or (lambda: BitsPerDim(np.array([8.0, 9.0]))),
        )


def assert_equal(values, expected):
    """Two dictionaries of arrays are equal bit for bit."""
    assert values.keys() == expected.keys()
    for name, value in values.items():
        np.testing.assert_array_equal(value, expected[name], name)


def assert_close(values, expected, **tolerance):
    """Two dictionaries of arrays are equal up to rounding."""
    assert values.keys() == expected.keys()
    for name, value in values.items():
        np.testing.assert_allclose(value, expected[name], err_msg=name, **tolerance)
