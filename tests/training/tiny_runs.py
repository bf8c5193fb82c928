"""Training runs whose model is traced in a second or two."""

import functools

import numpy as np
import tensorflow as tf

from reproductions.glow import model as glow
from reproductions.glow.experiments import GlowExperiment
from tfflows.data import load_dataset
from tfflows.devices.strategies import make_strategy
from tfflows.evaluation.bits_per_dim import BitsPerDim
from tfflows.tracing.variables import named_variables
from tfflows.training import Execution, LoopSettings, Trainer
from tfflows.training.loop import Loop
from tfflows.training.optimizers import optimizer_variables
from tfflows.training.schedules import LinearWarmup, learning_rate_of
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


class TinyTrainer:
    """A `Trainer` whose step is traced once for many runs.

    Each run begins with variables that hold nonsense, as those of a new process hold other values than the last one's.
    """

    def __init__(self, replicas=1, experiment=EXPERIMENT, source=None, **execution):
        self.experiment, self.source = experiment, source or digits()
        self.strategy = make_strategy("mirrored", replicas)
        self.model = build_model(self.strategy, experiment)
        with self.strategy.scope():
            optimizer = glow.optimizer(experiment, LinearWarmup(experiment.learning_rate, 4))
        self.trainer = Trainer(
            self.model,
            optimizer,
            ema_decay=experiment.ema_decay,
            initialize=lambda: self.initialize(),  # tests replace it
            execution=Execution(**execution),
        )
        parameters = self.trainer.parameters
        self.variables, self.flat, self.average = parameters.variables, parameters.flat, parameters.average
        self.replicated = {
            **{f"model/{name}": variable for name, variable in named_variables(self.model).items()},
            **self.flat.variables,
            **optimizer_variables(optimizer, list(self.flat.variables)),
            **({} if self.average is None else self.average.variables()),
        }
        self.initial = self.values()
        self.train_step = make_train_step(
            self.strategy,
            self.model,
            optimizer,
            parameters.trained,
            global_batch_size=experiment.batch_size,
            seed=0,
            moving_average=self.average,
            flat_parameters=self.flat,
            **execution,
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

        trainer, batch_size = self.trainer, self.experiment.batch_size
        trainer._state, trainer._touched = None, False
        trainer.workdir, trainer.settings = workdir, LoopSettings(**{"log_every": 2, "checkpoint_every": 3, **settings})
        trainer.evaluate = lambda source: evaluate() if evaluate else BitsPerDim(np.array([8.0, 9.0]))
        trainer._loops[batch_size] = Loop(
            self.strategy,
            self.train_step if before_step is None else train_step,
            ["loss", "gradient_norm", *self.model.metric_names],
            learning_rate_of(trainer.parameters.optimizer),
            trainer.settings,
            trainer._describe_not_finite,
        )
        return trainer.fit(
            self.source,
            num_steps,
            batch_size=batch_size,
            validation=load_dataset("digits", "test", max_images=2),
            init_batch_size=0,
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
