"""A `keras.Model` around an image model or a density."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.data import ImageSource
from tfflows.distributions.image_model import ImageModel
from tfflows.keras.losses import DensityLoss, ImageLoss, first_rows
from tfflows.keras.variables import NUM_NAMED, HoldsVariables, strategy_of
from tfflows.math.random import fold_in, row_keys
from tfflows.tracing.shared_blocks import traces_apart
from tfflows.tracing.variables import named_variables, parameter_table
from tfflows.training.optimizers import UpdateRule
from tfflows.training.trainer import MAX_SEED

tfd = tfp.distributions

# Of `Evaluator`: evaluations do not depend on the seed of a run.
_EVALUATION_SEED = 0

# There is nothing for AutoGraph to convert, and looking for it takes as long as tracing.
_plain = tf.autograph.experimental.do_not_convert


class FlowModel(HoldsVariables, keras.Model):
    """A `keras.Model` that trains an image model or a density with `compile`, `fit`, callbacks and `evaluate`.

    For an `ImageModel`, such as a `DequantizedFlow`, inputs are uint8 images `[B, H, W, C]`, and labels `[B]` as `y` if it is
    conditional. The loss is the mean of its `training_loss`, as in `Trainer`: noise and dropout are keyed by the seed, the
    optimizer's `iterations` and the place in the batch, so the same batches give the same losses on any number of devices.
    Evaluations measure bits/dim, as `tfflows.evaluation.bits_per_dim.Evaluator` does: their `loss` is `bits_per_dim`, without
    dropout, free bits or a classifier.

    For any other `tfd.Distribution` inputs are floats `[B, event]`, the loss is the mean of `-log_prob`, in nats, and `y` is the
    condition, if its bijector takes one.

    `predict` gives one number for each row, of which `evaluate` gives the mean: bits/dim, or `-log_prob`. A conditional model
    takes its labels there with the inputs, as the list `[images, labels]`.

    `adapt` comes first: it sets what depends on data, such as actnorms. The distribution must hold all of its variables when the
    model is made. They are trained if they are trainable, and `save_weights` saves them under the paths of `named_variables`,
    with '.' for '/', beside the optimizer's. `save` is refused, because Keras cannot make a distribution again from its
    configuration.

    Example:
      >>> import keras
      >>> import numpy as np
      >>> import tensorflow_probability as tfp
      >>> from tfflows.bijectors import ActNorm, AffineCoupling, Chain, InvertibleConv
      >>> from tfflows.distributions.dequantized_flow import DequantizedFlow
      >>> from tfflows.keras import FlowModel
      >>> from tfflows.networks import CouplingNetwork

      >>> row, column, image = np.meshgrid(np.arange(4), np.arange(4), np.arange(32), indexing="ij")
      >>> ramps = np.stack([8 * image + 3 * row, 255 - 8 * image - 2 * column], axis=-1)
      >>> images = ramps.transpose(2, 0, 1, 3).astype(np.uint8)  # [32, 4, 4, 2]

      >>> network = CouplingNetwork(width=4, filters=2)
      >>> network.build([None, 4, 4, 1])
      >>> step = Chain([ActNorm([2]), InvertibleConv(2, seed=0), AffineCoupling(network)])
      >>> base = tfp.distributions.Sample(tfp.distributions.Normal(0.0, 1.0), [4, 4, 2])
      >>> model = FlowModel(DequantizedFlow(tfp.distributions.TransformedDistribution(base, step)), seed=0)

      >>> model.adapt(images)
      >>> model.compile(keras.optimizers.Adam(0.01))
      >>> options = {"shuffle": False, "verbose": 0}  # Keras shuffles by a global seed: keras.utils.set_random_seed
      >>> history = model.fit(images, batch_size=8, epochs=5, validation_data=images[:4], **options).history
      >>> sorted(history)
      ['bits_per_dim', 'loss', 'val_bits_per_dim', 'val_loss']
      >>> history["val_loss"][-1] < history["val_loss"][0]
      True
      >>> model.predict(images, verbose=0).shape
      (32,)
    """

    _what = "distribution"

    def __init__(self, distribution: ImageModel | tfd.Distribution, seed: int = 0, name: str | None = None) -> None:
        """Creates the model, which like distribution and optimizer must be made in the scope of the strategy.

        Args:
          distribution: An `ImageModel`, or a `tfd.Distribution` with one event per row; with all of its variables.
          seed: Integer in [0, 2**31) that fixes noise and dropout.
          name: Name of the model.

        Raises:
          TypeError: If `distribution` is neither.
          ValueError: If the seed is out of range, the distribution is a batch of several, or there is nothing to train.
        """
        if not 0 <= seed <= MAX_SEED:
            raise ValueError(f"The seed must lie in [0, 2**31), got {seed}.")
        part = ImageLoss(distribution) if isinstance(distribution, ImageModel) else DensityLoss(distribution)
        own = named_variables(distribution)
        if not any(variable.trainable for variable in own.values()):
            raise ValueError(
                f"{distribution.name} has no variables to train: build its layers before FlowModel(distribution)."
            )
        with strategy_of(distribution).scope():
            super().__init__(name=name, dtype="float32", autocast=False)
            # In an object that Keras neither tracks nor saves.
            self._measured = _Measured(part)
        self.distribution = distribution
        self.seed = seed
        self._hold(distribution)
        self._adapted = not part.needs_adapting
        self.built = True

    # ------------------------------------------------------------------------------------------------------- before training

    def adapt(
        self, data: np.ndarray | ImageSource | tf.data.Dataset | tuple, labels: Any = None, batch_size: int = 256
    ) -> None:
        """Sets what depends on data from one batch, eagerly, layer after layer; like the initialization of `Trainer.fit`.

        Args:
          data: Training data: an array, a pair `(images, labels)`, an `ImageSource`, or a `tf.data.Dataset` of batches, of which
            the first are taken.
          labels: Labels or condition of an array.
          batch_size: Number of rows, at most all of them; 0: nothing is set, such as when the variables hold trained values.

        Raises:
          ValueError: If the data do not fit the model.
        """
        if batch_size < 0:
            raise ValueError(f"batch_size must be at least 0, got {batch_size}.")
        if batch_size:
            if isinstance(data, tf.data.Dataset):
                data = first_rows(data, batch_size)
            self._measured.part.initialize(self.distribute_strategy, data, labels, batch_size, self.seed)
        self._adapted = True

    def compile(
        self,
        optimizer: keras.optimizers.Optimizer | str,
        loss: None = None,
        metrics: None = None,
        *,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool = False,
    ) -> None:
        """Sets the optimizer, and builds it for the variables that are trainable now.

        Args:
          optimizer: Optimizer of Keras or of `tfflows.training.optimizers`, made in the scope of the model's strategy, or the
            name of one of Keras.
          loss: Must be left out: the model has its own.
          metrics: Must be left out: the model has its own.
          run_eagerly: As in Keras.
          steps_per_execution: As in Keras.
          jit_compile: As in Keras, but off unless asked for.

        Raises:
          TypeError: If a loss or metrics are given.
          ValueError: If the optimizer was made outside of the strategy's scope.
        """
        if loss is not None or metrics is not None:
            raise TypeError("A FlowModel has a loss and metrics of its own: leave out loss= and metrics=.")
        with self.distribute_strategy.scope():
            super().compile(
                optimizer,
                run_eagerly=run_eagerly,
                steps_per_execution=steps_per_execution,
                jit_compile=jit_compile,
                auto_scale_loss=False,
            )
            if self.optimizer._distribution_strategy is not self.distribute_strategy:
                raise ValueError(
                    "The optimizer was not made for the model's strategy: make distribution, FlowModel and optimizer inside "
                    "`with strategy.scope():`."
                )
            self.optimizer.build(self.trainable_variables)

    def make_train_function(self, force: bool = False) -> Callable:
        """As in Keras, which calls it before the first step.

        Raises:
          RuntimeError: If neither `adapt` nor `load_weights` was called.
        """
        if not self._adapted:
            raise RuntimeError(
                "Call adapt(images) before fit: it sets what depends on data. For a model whose variables hold trained values "
                "already, call adapt(images, batch_size=0)."
            )
        return super().make_train_function(force)

    def load_own_variables(self, store: Any) -> None:
        """Loads the weights; called by Keras."""
        super().load_own_variables(store)
        self._adapted = True

    # ------------------------------------------------------------------------------------------------------- one step

    @_plain
    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One step on a replica's part of a batch; called by Keras."""
        x, y, weight = self._rows(data)
        place = self._place_of(x)
        keys = row_keys(self.seed, _steps_of(self.optimizer), place.start)
        num_replicas = self.distribute_strategy.num_replicas_in_sync
        with (
            traces_apart() if self.jit_compile else contextlib.nullcontext(),
            self._measured.part.training_pass() as statistics,
            tf.GradientTape() as tape,
        ):
            losses, metrics = self._measured.part.training_loss(x, y, keys)
            weighted = losses if weight is None else losses * tf.cast(weight, losses.dtype)
            # Gradients are summed over the replicas.
            loss = place.mean(weighted) + tf.cast(sum(self.losses, 0.0) / num_replicas, losses.dtype)
            scaled = self.optimizer.scale_loss(loss)
        self._check_all_held(tape.watched_variables())
        held = [variable for variable in self._held if variable.trainable]
        gradients = tape.gradient(scaled, [variable.value for variable in held])
        unreached = [path for path, gradient in zip(self._paths_of(held), gradients, strict=True) if gradient is None]
        if unreached:
            raise ValueError(
                f"The loss does not depend on {len(unreached)} trained variables: {', '.join(unreached[:NUM_NAMED])}."
            )
        self._apply(gradients, held)
        statistics.update()
        means = {"loss": loss, **{name: place.mean(value) for name, value in metrics.items()}}
        return self._measured.update(self._measured.training, means, place)

    @_plain
    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Measures a replica's part of a batch; called by Keras."""
        losses, weight, place = self._evaluated(data)
        mean = place.mean(losses if weight is None else losses * tf.cast(weight, losses.dtype))
        return self._measured.update(self._measured.evaluation, dict.fromkeys(self._measured.evaluation, mean), place)

    @_plain
    def predict_step(self, data: Any) -> tf.Tensor:
        """The loss of each row of a replica's part of a batch; called by Keras."""
        return self._evaluated(data)[0]

    @_plain
    def call(self, inputs: Any) -> tf.Tensor:
        """What `predict` gives for a batch of its own: bits/dim of images, or `-log_prob`, `[B]`."""
        x, y, _ = self._rows(inputs)
        return self._measured.part.evaluation_loss(x, y, _evaluation_keys(0))

    def _evaluated(self, data):
        x, y, weight = self._rows(data)
        place = self._place_of(x)
        passed = self._measured.num_passed
        with traces_apart() if self.jit_compile else contextlib.nullcontext():
            keys = _evaluation_keys(passed.read_value() + place.start)
            losses = self._measured.part.evaluation_loss(x, y, keys)
        passed.assign_add(place.num_rows)
        return losses, weight, place

    def _rows(self, data):
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        if isinstance(x, list | tuple):
            if len(x) != 2 or y is not None:
                raise ValueError(f"Inputs are one tensor, or the list [images, labels] without y; got {len(x)} inputs.")
            x, y = x
        # TFP's cache knows nothing of a new tensor, and is not shared by replicas then.
        return tf.identity(x), y, weight

    def _place_of(self, x):
        """The place of a replica's rows in the global batch; replicas may have different numbers of them."""
        num_rows = tf.shape(x, tf.int64)[0]
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync == 1:
            return _Place(tf.constant(0, tf.int64), num_rows)
        number = context.replica_id_in_sync_group
        own = tf.one_hot(number, context.num_replicas_in_sync, on_value=num_rows, off_value=tf.constant(0, tf.int64))
        counts = context.all_reduce(tf.distribute.ReduceOp.SUM, own)
        return _Place(tf.cumsum(counts, exclusive=True)[number], tf.reduce_sum(counts))

    def _apply(self, gradients, variables):
        optimizer, context = self.optimizer, tf.distribute.get_replica_context()
        num_replicas = context.num_replicas_in_sync
        if num_replicas > 1 and not isinstance(optimizer, UpdateRule) and _clips(optimizer):
            # Keras' own optimizers clip the gradients of each replica before their sum. Equal parts of a sum that is clipped are
            # not clipped again.
            sums = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
            gradients = [each / num_replicas for each in optimizer._clip_gradients(sums)]
        optimizer.apply(gradients, variables)

    def _paths_of(self, variables):
        paths = {id(variable): path for path, variable in zip(self._paths, self._held, strict=True)}
        return [paths[id(variable)] for variable in variables]

    def _check_all_held(self, watched):
        """Refuses variables that Keras does not know: made later, or reached by no attribute of the distribution."""
        own = [variable.value for variable in self._held]
        known = {
            id(part) for each in own for part in (each, *self.distribute_strategy.experimental_local_results(each))
        }
        later = {f"{path} {tuple(v.shape)}": v for path, v in named_variables(self.distribution).items()}
        later = [name for name, variable in later.items() if id(variable) not in known]
        if not later and self.distribute_strategy.num_replicas_in_sync == 1:
            later = [f"{variable.name} {tuple(variable.shape)}" for variable in watched if id(variable) not in known]
        if later:
            raise ValueError(
                f"The loss reads {len(later)} variables that the distribution did not hold when the FlowModel was made, so "
                f"nothing would train or save them: {', '.join(later[:NUM_NAMED])}. Build all layers, or call log_prob, before "
                "FlowModel(distribution), and keep them in attributes of the bijector."
            )

    # ------------------------------------------------------------------------------------------------------- passes over data

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Those of training or, while one runs, of an evaluation."""
        measured = self._measured
        return list((measured.evaluation if measured.evaluating else measured.training).values())

    def reset_metrics(self) -> None:
        """As in Keras, which calls it before each epoch and each evaluation."""
        super().reset_metrics()
        self._measured.num_passed.assign(0)

    def summary(self, print_fn: Callable[[str], None] = print) -> None:
        """Prints path, shape, dtype and size of each variable: what Keras prints shows the layers of a model, here none.

        Args:
          print_fn: Called once, with the whole text.
        """
        print_fn(
            f"{type(self).__name__} {self.name!r} of {type(self.distribution).__name__}\n{parameter_table(self.distribution)}"
        )

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Trains; arguments and result as in Keras.

        Raises:
          RuntimeError: If neither `adapt` nor `load_weights` was called.
          TypeError: If a `ModelCheckpoint` would save the whole model.
          ValueError: If the data do not fit the model.
        """
        callbacks = kwargs.get("callbacks")
        for callback in callbacks if isinstance(callbacks, list | tuple) else [callbacks]:
            if isinstance(callback, keras.callbacks.ModelCheckpoint) and not callback.save_weights_only:
                self.get_config()  # refuses it, before an epoch of work
        return super().fit(*args, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Mean of bits/dim of images, or of `-log_prob`; arguments and result as in Keras."""
        with self._measured.evaluation_runs():
            return super().evaluate(*args, **kwargs)

    def predict(self, *args: Any, **kwargs: Any) -> np.ndarray:
        """Bits/dim of each image, or `-log_prob` of each row, `[N]`; arguments as in Keras."""
        self._measured.num_passed.assign(0)
        return super().predict(*args, **kwargs)

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """As in Keras, on one device."""
        self._check_one_replica("train_on_batch", "fit")
        return super().train_on_batch(*args, **kwargs)

    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """As in Keras, on one device."""
        self._check_one_replica("test_on_batch", "evaluate")
        with self._measured.evaluation_runs():
            return super().test_on_batch(*args, **kwargs)

    def predict_on_batch(self, *args: Any, **kwargs: Any) -> np.ndarray:
        """As in Keras, on one device."""
        self._check_one_replica("predict_on_batch", "predict")
        self._measured.num_passed.assign(0)
        return super().predict_on_batch(*args, **kwargs)

    def _check_one_replica(self, method, other):
        if self.distribute_strategy.num_replicas_in_sync > 1:
            raise ValueError(f"{method} would give the whole batch to each replica: use {other}.")

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Nothing is left to build. Keras would take a batch for it, and average it over the replicas."""
        del iterator, data_batch


class _Place:
    """Where a replica's rows lie in the global batch.

    Attributes:
      start: int64 scalar, place of the first row.
      num_rows: int64 scalar, number of rows of the global batch.
    """

    def __init__(self, start, num_rows):
        self.start, self.num_rows = start, num_rows

    def mean(self, values):
        """This replica's share of the mean of `[B]` over the global batch."""
        return tf.reduce_sum(values) / tf.cast(self.num_rows, values.dtype)


class _Measured:
    """What is measured, and how far a pass over data has come; variables that belong to no weights."""

    def __init__(self, part):
        self.part = part
        self.evaluating = False
        # float64, since tens of thousands of numbers are added.
        self.training, self.evaluation = (
            {name: keras.metrics.Mean(name, dtype="float64") for name in ("loss", *names)}
            for names in (part.metric_names, part.evaluation_names)
        )
        self.num_passed = tf.Variable(
            0, dtype=tf.int64, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
        )

    @contextlib.contextmanager
    def evaluation_runs(self) -> Iterator[None]:
        """A context in which the metrics of the model are those of an evaluation."""
        before, self.evaluating = self.evaluating, True
        try:
            yield
        finally:
            self.evaluating = before

    def update(self, metrics, shares, place):
        """Takes the replicas' shares of means over a batch; every replica counts the whole batch, so that all agree."""
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:
            shares = context.all_reduce(tf.distribute.ReduceOp.SUM, shares)
        for name, metric in metrics.items():
            metric.update_state(shares[name], sample_weight=place.num_rows)
        return {name: metric.result() for name, metric in metrics.items()}


def _clips(optimizer):
    options = ("clipnorm", "global_clipnorm", "clipvalue")
    return not optimizer.gradient_accumulation_steps and any(getattr(optimizer, name, None) for name in options)


def _steps_of(optimizer):
    """The number of batches that an optimizer has seen; `iterations` counts those that it accumulates as one."""
    return getattr(optimizer, "inner_optimizer", optimizer)._iterations.value


def _evaluation_keys(start):
    """Those of `Evaluator`: `start` is the position of the first row in the data set."""
    return fold_in(row_keys(_EVALUATION_SEED, 0, start), "evaluation")
