"""One optimizer step over all replicas, and several of them in one call."""

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import keras
import tensorflow as tf
from absl import logging

from tfflows.choices import MEMORY_MODES, RECOMPUTE, REVERSIBLE
from tfflows.devices.cores import parts_of_batch
from tfflows.devices.strategies import side_by_side
from tfflows.distributions.image_model import ImageModel
from tfflows.math.random import row_keys
from tfflows.tracing.batch_statistics import BatchStatistics
from tfflows.tracing.gradients import add
from tfflows.tracing.memory import memory_scope
from tfflows.tracing.shared_blocks import traces_apart
from tfflows.tracing.together import Together
from tfflows.training.moving_average import MovingAverage
from tfflows.training.optimizers import UpdateRule, global_norm
from tfflows.training.parameters import FlatParameters

# Gradients travel between workers in buckets of about this size: few enough to cost no round trips, several so that the first
# leave while the last are computed.
BYTES_PER_BUCKET = 25 * 2**20


@dataclasses.dataclass(frozen=True)
class Execution:
    """How loss and gradients are computed: it changes time and memory, and results only by rounding.

    Attributes:
      accumulate: Number of parts into which each replica cuts its batch, one after the other.
      jit_compile: Whether XLA compiles loss and gradients, and evaluations.
      memory: What is kept for the backward pass, see `tfflows.tracing.memory`.
      num_side_by_side: Number of parts of a replica's batch that do not wait for each other, see `tfflows.devices.strategies`.
        None: what `process_options` has set the process up for, but 1 with `jit_compile`, for small batches and for models with a
        `has_loss_of_batch`.
    """

    accumulate: int = 1
    jit_compile: bool = False
    memory: str = "plain"
    num_side_by_side: int | None = None

    def __post_init__(self):
        for name in ("accumulate", "num_side_by_side"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise ValueError(f"{name} must be at least 1, got {number}.")
        if self.memory not in MEMORY_MODES:
            raise ValueError(f"Unknown memory mode {self.memory!r}; the valid ones are {', '.join(MEMORY_MODES)}.")
        if self.jit_compile and (self.num_side_by_side or 1) > 1:
            raise ValueError(
                "XLA compiles a batch into one program, not into parts: leave num_side_by_side at 1 with jit_compile."
            )

    def with_batch_statistics(self, num_replicas: int) -> "Execution":
        """How the steps of a model with batch norm are computed, whose statistics are those of the whole batch.

        No part of a batch can be normalized without the others. So a replica takes its batch as a whole; where it was to be cut
        to save memory, only the inputs of blocks are kept instead. With several replicas everything is kept.

        Args:
          num_replicas: Number of replicas.

        Raises:
          ValueError: If it cannot be computed in this way.
        """
        if self.memory == REVERSIBLE:
            raise ValueError(
                "A model with batch norm cannot be rebuilt from its latents, since a batch is normalized with its own "
                "statistics: use the memory mode 'recompute', which keeps blocks' inputs."
            )
        several = num_replicas > 1
        if several and (self.jit_compile or self.memory == RECOMPUTE):
            mode = "jit_compile" if self.jit_compile else "the memory mode 'recompute'"
            raise ValueError(
                f"Batch norm needs the statistics of all {num_replicas} replicas, which one of them cannot ask for in {mode}: "
                "leave it off, or use one device."
            )
        if several and self.accumulate > 1:
            logging.warning(
                "A model with batch norm normalizes a batch as a whole: with several replicas, accumulate=%d saves no memory.",
                self.accumulate,
            )
        memory = RECOMPUTE if self.accumulate > 1 and not several else self.memory
        return dataclasses.replace(self, accumulate=1, num_side_by_side=None, memory=memory)


def automatic_side_by_side(
    model: ImageModel, global_batch_size: int, strategy: tf.distribute.Strategy, accumulate: int, jit_compile: bool
) -> int:
    """The number of parts that a training step computes side by side where none is given; see `Execution`."""
    if jit_compile or getattr(model, "has_loss_of_batch", False):
        return 1
    return parts_of_batch(None, global_batch_size // (strategy.num_replicas_in_sync * accumulate))


def make_train_step(
    strategy: tf.distribute.Strategy,
    model: ImageModel,
    optimizer: keras.optimizers.Optimizer,
    variables: Mapping[str, tf.Variable],
    *,
    global_batch_size: int,
    seed: int,
    accumulate: int = 1,
    jit_compile: bool = False,
    memory: str = "plain",
    num_side_by_side: int | None = None,
    moving_average: MovingAverage | None = None,
    flat_parameters: FlatParameters | None = None,
) -> Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]:
    """A traced function that takes one step on a distributed batch.

    The loss is the mean of the model's `training_loss` over the global batch. Gradients are summed over the accumulated parts and
    the replicas before the optimizer sees them, so that what it does to their norm does not depend on how the batch is split. If
    a metric is not finite, an `UpdateRule` changes nothing, and running statistics stay as they are.

    A model with batch norm is computed as `Execution.with_batch_statistics` says.

    Args:
      strategy: Strategy of the model.
      model: Its `training_loss(images, labels, keys) -> (loss [B], metrics)` is traced without AutoGraph.
      optimizer: Built.
      variables: The trained variables by name.
      global_batch_size: Images per step, over replicas and parts.
      seed: Seed of the dequantization noise.
      accumulate: Number of parts into which each replica cuts its batch.
      jit_compile: Whether XLA compiles loss and gradients.
      memory: What is kept for the backward pass, see `tfflows.tracing.memory`.
      num_side_by_side: As for `Execution`.
      moving_average: None, or the `MovingAverage` of the variables, which then takes its step after theirs.
      flat_parameters: None, or the `FlatParameters` of the variables; optimizer and average then work on the flat ones.

    Returns:
      A function `batch -> metrics`: scalars `loss`, `gradient_norm` and the model's own, means over the global batch.

    Raises:
      ValueError: When traced, if the loss does not depend on one of the variables; or if a model with batch norm cannot be
        computed in this way.
    """
    normalizes = getattr(model, "has_batch_statistics", False)  # any object with a `training_loss` will do
    if normalizes:
        execution = Execution(accumulate, jit_compile, memory, num_side_by_side)
        execution = execution.with_batch_statistics(strategy.num_replicas_in_sync)
        accumulate, num_side_by_side, memory = execution.accumulate, 1, execution.memory
    if num_side_by_side is None:
        num_side_by_side = automatic_side_by_side(model, global_batch_size, strategy, accumulate, jit_compile)
    names, trained = list(variables), list(variables.values())
    updated = trained if flat_parameters is None else list(flat_parameters.variables.values())
    together = Together(model)

    def part_sums(images, labels, index, step, given):
        with traces_apart() if jit_compile else contextlib.nullcontext(), together.giving(given):
            return loss_and_gradients(images, labels, index, step, given)

    def loss_and_gradients(images, labels, index, step, given):
        def losses_of(images, labels, index):
            return model.training_loss(images, labels, row_keys(seed, step[0], index[0]))

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            for source in (*trained, *given):
                tape.watch(source)
            with memory_scope(memory), training_pass() as statistics:
                losses, metrics = side_by_side(losses_of, (images, labels, index), num_side_by_side)
            loss = tf.reduce_sum(losses) / global_batch_size
        gradients = dict(enumerate(tape.gradient(loss, [*trained, *given])))
        gradients = {place: gradient for place, gradient in gradients.items() if gradient is not None}
        sums = {name: tf.reduce_sum(value) / global_batch_size for name, value in metrics.items()}
        # Of the last trace, whose tensors leave a compiled function as values.
        normalized.updates = statistics.updates
        return gradients, {"loss": loss, **sums}, statistics.values

    def of_variables(gradients, tape, given):
        """Gradients of the variables alone, from those of the variables and of what was computed of them, by their places."""
        own = [gradients.get(place) for place in range(len(trained))]
        upstream = [gradients.get(len(trained) + place) for place in range(len(given))]
        used = [gradient is not None for gradient in upstream]
        if any(used):
            results, upstream = (list(itertools.compress(tensors, used)) for tensors in (given, upstream))
            handed_on = tape.gradient(results, trained, output_gradients=upstream)
            unused = {variable.ref() for variable in together.unused(used)}
            own = add(own, [None if v.ref() in unused else g for v, g in zip(trained, handed_on, strict=True)])
        unreached = [name for name, gradient in zip(names, own, strict=True) if gradient is None]
        if unreached:
            raise ValueError(
                f"The loss does not depend on {len(unreached)} trained variables: {', '.join(unreached[:5])}."
            )
        return own

    def training_pass():
        return model.training_pass(update=False) if normalizes else contextlib.nullcontext(BatchStatistics())

    normalized = BatchStatistics()
    compiled = tf.function(part_sums, jit_compile=True, autograph=False) if jit_compile else part_sums

    def replica_step(batch):
        inputs = (batch["image"], batch["label"], batch["index"], batch["step"])
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            for variable in trained:
                tape.watch(variable)
            given = together.compute()
        run = functools.partial(compiled, given=given)
        sums = _accumulated(run, inputs, accumulate) if accumulate > 1 else run(*inputs)
        gradients, metrics, statistics = sums
        gradients = of_variables(gradients, tape, given)
        if strategy.num_replicas_in_sync > 1:
            gradients, metrics = tf.distribute.get_replica_context().all_reduce(
                tf.distribute.ReduceOp.SUM,
                (gradients, metrics),
                options=tf.distribute.experimental.CommunicationOptions(bytes_per_pack=BYTES_PER_BUCKET),
            )
        if flat_parameters is not None:
            gradients = flat_parameters.flatten(gradients)
        norm = global_norm(gradients)
        metrics = {**metrics, "gradient_norm": norm}
        if statistics:
            tf.cond(_all_finite(metrics), lambda: normalized.update(statistics), lambda: None)
        if isinstance(optimizer, UpdateRule):
            # Each replica its own copy of the sums. A step that is not finite leaves the parameters as they were, here and
            # below, so that the layer behind it can be found.
            tf.cond(_all_finite(metrics), lambda: optimizer.apply_sums(gradients, updated, norm), lambda: None)
            return metrics, ()
        return metrics, gradients

    def first(values):
        return tf.nest.map_structure(lambda value: strategy.experimental_local_results(value)[0], values)

    # There is nothing for AutoGraph to convert, and looking for it takes as long as tracing.
    @tf.function(autograph=False)
    def train_step(batch):
        metrics, gradients = strategy.run(replica_step, args=(batch,))
        if gradients:
            # Keras' own optimizers would sum once more inside a replica, and clip what is not summed yet.
            tf.cond(_all_finite(first(metrics)), lambda: optimizer.apply(first(gradients), updated), lambda: None)
        if flat_parameters is not None:
            strategy.run(flat_parameters.spread)
        if moving_average is not None:
            strategy.run(moving_average.update)
        return first(metrics)

    return train_step


def _all_finite(metrics):
    return tf.reduce_all(tf.math.is_finite(tf.stack([tf.cast(value, tf.float64) for value in metrics.values()])))


def _accumulated(part_sums, inputs, num_parts):
    """Sums of `part_sums` over `num_parts` consecutive parts of the inputs, in the memory of one part."""
    size = inputs[0].shape[0] // num_parts

    def part(number):
        return part_sums(
            *(tf.ensure_shape(x[number * size : (number + 1) * size], [size, *x.shape[1:]]) for x in inputs)
        )

    def add(number, total):
        return number + 1, tf.nest.map_structure(tf.add, total, part(number))

    # The first part gives the structure of the sums.
    return tf.while_loop(lambda number, _: number < num_parts, add, (tf.constant(1), part(0)), parallel_iterations=1)[1]


def make_several_steps(
    train_step: Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]],
    metric_names: Sequence[str],
    steps_per_execution: int = 1,
) -> Callable[[Iterator, int], tf.Tensor]:
    """A function that takes steps and gives their metrics as one tensor, so that reading them is one transfer.

    Args:
      train_step: `batch -> {name: scalar}`; traceable if `steps_per_execution` is above 1.
      metric_names: Names of the metrics to give, in order.
      steps_per_execution: Largest number of steps per call. With 1 nothing is traced here.

    Returns:
      A function `(batches, num_steps) -> metrics`. It takes `num_steps` (1 to `steps_per_execution`) elements of the iterator
        `batches`, distributed or not, through `train_step`, one after the other. The metrics are float64
        `[num_steps, len(metric_names)]`, or fewer rows, the last of which is not finite: on parameters that are not finite a
        further step would fail with an error that does not say why. It is traced once, whatever the number of steps.

    Example:
      >>> from tfflows.training.train_step import make_several_steps
      >>> several_steps = make_several_steps(lambda batch: {"loss": 2.0 * batch}, ["loss"])
      >>> several_steps(iter([1.0, 2.0]), 1).numpy().tolist()
      [[2.0]]
    """

    def one_step(batches):
        metrics = train_step(next(batches))
        return tf.stack([tf.cast(metrics[name], tf.float64) for name in metric_names])

    @tf.function(autograph=False)
    def loop(batches, num_steps):
        def goes_on(number, finite, _):
            return (number < num_steps) & finite

        def step(number, _, rows):
            row = one_step(batches)
            return number + 1, tf.reduce_all(tf.math.is_finite(row)), rows.write(number, row)

        rows = tf.TensorArray(tf.float64, num_steps, element_shape=[len(metric_names)])
        number, _, rows = tf.while_loop(goes_on, step, (0, True, rows), parallel_iterations=1)
        return rows.gather(tf.range(number))

    def several_steps(batches, num_steps):
        if not 1 <= num_steps <= steps_per_execution:
            raise ValueError(f"num_steps must be 1 to {steps_per_execution}, got {num_steps}.")
        if steps_per_execution == 1:
            return one_step(batches)[tf.newaxis]
        return loop(batches, tf.constant(num_steps))

    return several_steps


def steps_before(step: int, last_step: int, steps_per_execution: int, *periods: int) -> int:
    """Number of steps that the call after `step` takes: it ends at `last_step` and at every multiple of a period, crossing none.

    Args:
      step: Number of steps done.
      last_step: Total number of steps.
      steps_per_execution: Largest number of steps per call.
      *periods: Numbers of steps; 0 means never.

    Returns:
      The number of steps, at least 1 if `step < last_step`.

    Example:
      >>> from tfflows.training.train_step import steps_before
      >>> steps_before(8, 100, 5, 10)  # stops at step 10
      2
    """
    return min(steps_per_execution, last_step - step, *(period - step % period for period in periods if period))
