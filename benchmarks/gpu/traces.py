"""The functions that a GPU would run for an experiment: a training step, an evaluation and a sampling call, traced."""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from reproductions.experiment import Experiment, Reproduction
from tfflows.data import array_source, dataset_spec
from tfflows.devices.strategies import make_strategy
from tfflows.evaluation.bits_per_dim import Evaluator
from tfflows.models.functions import FUNCTIONS
from tfflows.tracing.together import computing_together
from tfflows.training.parameters import TrainedParameters
from tfflows.training.train_step import make_train_step

ConcreteFunction = tf.types.experimental.ConcreteFunction

TRAINING_STEP, EVALUATION, SAMPLING = CALLS = ("training step", "evaluation", "sampling")


@dataclasses.dataclass(frozen=True)
class Traced:
    """An experiment's model on one device, and its functions.

    Attributes:
      reproduction: The paper.
      experiment: The experiment.
      batch_size: Images a call.
    """

    reproduction: Reproduction
    experiment: Experiment
    batch_size: int

    @functools.cached_property
    def _strategy(self):
        return make_strategy("one_device")

    @functools.cached_property
    def _model(self):
        spec, side = dataset_spec(self.experiment.dataset), self.experiment.image_size
        with self._strategy.scope():
            return self.reproduction.build_model(self.experiment, (side, side, spec.num_channels), spec.num_classes, 0)

    def function(self, call: str) -> ConcreteFunction:
        """Returns the function of one of `CALLS`."""
        return {TRAINING_STEP: self._training_step, EVALUATION: self._evaluation, SAMPLING: self._sampling}[call]()

    def _training_step(self):
        with self._strategy.scope():
            optimizer = self.reproduction.build_optimizer(self.experiment, self.experiment.learning_rate)
        parameters = TrainedParameters(self._model, optimizer, self._strategy, self.experiment.ema_decay)
        step = make_train_step(
            self._strategy,
            self._model,
            parameters.optimizer,
            parameters.trained,
            global_batch_size=self.batch_size,
            seed=0,
            moving_average=parameters.average,
            flat_parameters=parameters.flat,
        )
        rows = {"image": self._images, "label": self._labels, "index": self._numbers, "step": self._numbers}
        return step.get_concrete_function(rows)

    def _evaluation(self):
        source = array_source(np.zeros([1, *self._model.image_shape], np.uint8))
        evaluator = Evaluator(self._strategy, self._model, source, batch_size=self.batch_size)
        rows = {"image": self._images, "label": self._labels, "index": self._numbers, "mask": self._rows(tf.bool)}
        return evaluator._evaluate_batch.get_concrete_function(rows)

    def _sampling(self):
        sample = computing_together(self._model, functools.partial(FUNCTIONS["sample"], self._model))
        scalars = tf.TensorSpec([], tf.int64), tf.TensorSpec([], tf.int64), tf.TensorSpec([], tf.float32)
        return tf.function(sample, autograph=False).get_concrete_function(self._labels, *scalars)

    def _rows(self, dtype):
        return tf.TensorSpec([self.batch_size], dtype)

    @property
    def _images(self):
        return tf.TensorSpec([self.batch_size, *self._model.image_shape], tf.uint8)

    @property
    def _labels(self):
        return self._rows(tf.int32)

    @property
    def _numbers(self):
        return self._rows(tf.int64)
