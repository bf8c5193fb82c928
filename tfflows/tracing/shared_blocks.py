"""Blocks of equal structure, traced once: a function of (input, condition, parameters) that every such block calls."""

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.choices import RECOMPUTE
from tfflows.tracing.batch_statistics import (
    in_training_pass,
    num_replicas,
    pass_within,
    record_batch_statistic,
)
from tfflows.tracing.gradients import gradients_of
from tfflows.tracing.memory import memory_mode
from tfflows.tracing.sampler import current_sampler
from tfflows.tracing.stateless import Derived, Structure, is_assignment, pure

tfb = tfp.bijectors

# For a bijector with fewer variables (actnorm, a permutation, a 1x1 convolution), a call costs more than its few operations.
_MIN_VARIABLES = 4

# Blocks inside a block belong to its trace.
_inside_block = contextvars.ContextVar("inside_block", default=False)

_apart = contextvars.ContextVar("traces_apart", default=False)


@contextlib.contextmanager
def traces_apart() -> Iterator[None]:
    """Opens a context in which each block has its own trace, in the graph that calls it.

    It is meant for gradients that XLA compiles: with calls of traced functions in them, they were observed to be recompiled at
    each step.

    Yields:
      None.
    """
    token = _apart.set(True)
    try:
        yield
    finally:
        _apart.reset(token)


def are_traced_apart() -> bool:
    """Tells whether the caller is inside `traces_apart`."""
    return _apart.get()


class SharedBlocks(Derived):
    """Runs the bijectors of a chain; in graphs, all bijectors of one kind call the same traced function.

    The time that TensorFlow takes to trace, differentiate and optimize a graph grows with the number of operations. Of K equal
    blocks, each called with its own parameters, only the first adds to it. The values are those of the bijectors themselves. In
    eager mode bijectors run as they are, unless the `memory_scope` asks for recomputation.

    TFP's cache is not used inside, since it would serve the tensors of one trace to another.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import AffineCoupling, Chain
      >>> from tfflows.networks import CouplingNetwork
      >>> def coupling():
      ...     network = CouplingNetwork(width=4, filters=2)
      ...     network.build([None, 2, 2, 1])
      ...     return AffineCoupling(network)
      >>> flow = Chain([coupling() for _ in range(5)])  # runs them through `SharedBlocks`
      >>> graph = tf.function(flow.inverse).get_concrete_function(tf.zeros([1, 2, 2, 2])).graph
      >>> calls = [operation for operation in graph.get_operations() if operation.type.endswith("PartitionedCall")]
      >>> print(len(calls), "calls of", len({call.get_attr("f").name for call in calls}), "function")
      5 calls of 1 function
    """

    def __init__(
        self,
        bijectors: Sequence[tfb.Bijector],
        value_and_log_det: Callable[..., tuple[tf.Tensor, tf.Tensor]],
        rebuild_and_gradient: Callable[..., tuple[tf.Tensor, tf.Tensor, Any, Sequence[tf.Tensor | None]]],
    ) -> None:
        """Creates the runner.

        Args:
          bijectors: Bijectors with their variables built.
          value_and_log_det: Pure function `(bijector, direction, x, event_ndims, condition) -> (value, log_det)`.
          rebuild_and_gradient: Function `(bijector, direction, y, event_ndims, upstream, condition, values) -> (x, d_x,
            d_condition, d_values)` that rebuilds the input of a direction from its output and gives the gradients there.
        """
        self._bijectors = list(bijectors)
        self._pair, self._rebuild = value_and_log_det, rebuild_and_gradient
        self._functions = {}
        self._stateful = set()
        self._normalized = {}  # by kind and direction: which variables a training pass has batch statistics for, and momenta

    @functools.cached_property
    def _structures(self):
        return [Structure(bijector) for bijector in self._bijectors]

    @functools.cached_property
    def _templates(self):
        """The index of the first bijector of the same kind, for each bijector."""
        signatures = [structure.signature for structure in self._structures]
        return [signatures.index(signature) for signature in signatures]

    def find_variables(self) -> None:
        """Finds the variables before tensors stand in for them; otherwise this is done when first needed."""
        _ = self._templates

    def values(self, index: int) -> list[tf.Tensor]:
        """Returns the parameters of bijector number `index` as tensors; see `Structure.values`."""
        return self._structures[index].values()

    def value_and_log_det(
        self, index: int, direction: str, x: tf.Tensor, event_ndims: int, condition: Any = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Computes the pair (value, log-determinant) of bijector number `index`.

        Args:
          index: Place of the bijector in the list.
          direction: `inverse` or `forward`.
          x: Input of that direction, whose last `event_ndims` axes are an event.
          event_ndims: Number of axes of an event.
          condition: Structure of tensors, or None.

        Returns:
          `(value, log_det)`, the log-determinant in nats.

        Raises:
          ValueError: If the bijector assigns to a variable while it computes, in a memory mode that runs it twice; or if it is
        recomputed in a training pass of several replicas.
        """
        recompute = memory_mode() == RECOMPUTE
        if not self._is_called(index, recompute):
            return self._pair(self._bijectors[index], direction, x, event_ndims, condition)
        values = self.values(index)
        run = self._function(index, "values", direction, event_ndims)
        if recompute:
            self._check_one_replica(index)
            with pure(self._bijectors[index]):
                results = self._recomputed(index, run, direction, x, event_ndims, condition, values)
            return self._noted(index, direction, event_ndims, *results)
        try:
            return self._noted(index, direction, event_ndims, *run(x, condition, values))
        except AttributeError as error:
            if not is_assignment(error):
                raise
            # It has state besides its parameters, such as a moving average, so it keeps its own trace.
            self._stateful.add(self._templates[index])
            return self._pair(self._bijectors[index], direction, x, event_ndims, condition)

    def rebuild_and_gradient(
        self,
        index: int,
        direction: str,
        y: tf.Tensor,
        event_ndims: int,
        upstream: Sequence[tf.Tensor],
        condition: Any = None,
    ) -> tuple[tf.Tensor, tf.Tensor, Any, Sequence[tf.Tensor | None]]:
        """Rebuilds the input of bijector number `index` from its output, and computes the gradients there.

        Args:
          index: Place of the bijector in the list.
          direction: `inverse` or `forward`, the one that gave `y`.
          y: Output of that direction, whose last `event_ndims` axes are an event.
          event_ndims: Number of axes of an event of the output.
          upstream: Gradients with respect to the output and the log-determinant.
          condition: Structure of tensors, or None.

        Returns:
          `(x, d_x, d_condition, d_values)`, where `d_values` are the gradients with respect to `values(index)`.
        """
        values = self.values(index)
        arguments = (y, event_ndims, upstream, condition, values)
        if not self._is_called(index, False):
            return self._rebuild(self._bijectors[index], direction, *arguments)
        run = self._function(index, "rebuild", direction, event_ndims)
        return run(y, condition, values, upstream)

    def _is_called(self, index, recompute):
        if getattr(self._bijectors[index], "holds_blocks", False):
            return False
        if _inside_block.get() or (not recompute and (tf.executing_eagerly() or _traces_apart())):
            return False
        if len(self._structures[index].variables) < _MIN_VARIABLES:
            return False
        template = self._templates[index]
        return recompute or (self._templates.count(template) > 1 and template not in self._stateful)

    def _recomputed(self, index, run, direction, x, event_ndims, condition, values):
        conditions = tf.nest.flatten(condition) if condition is not None else []
        gradient = self._function(index, "gradient", direction, event_ndims)

        @tf.custom_gradient
        def call(x, *rest):
            given, parameters = list(rest[: len(conditions)]), list(rest[len(conditions) :])
            packed = tf.nest.pack_sequence_as(condition, given) if conditions else None

            def backward(*upstream):
                # None goes through the statistics of a batch that a block hands out.
                d_x, d_condition, d_values = gradient(x, packed, parameters, upstream[:2])
                return [d_x, *(tf.nest.flatten(d_condition) if conditions else []), *d_values]

            return run(x, packed, parameters), backward

        return call(x, *conditions, *values)

    def _check_one_replica(self, index):
        if in_training_pass() and num_replicas() > 1:
            raise ValueError(
                f"{self._bijectors[index]!r} belongs to a model with batch norm, which needs the statistics of all "
                f"{num_replicas()} replicas: none can run a block again by itself. Use the memory mode 'plain', or one device."
            )

    def _noted(self, index, direction, event_ndims, value, log_det, *statistics):
        """The pair; what a block says of the statistics of its batch is noted for the running ones that it holds."""
        if statistics:
            template = index if _traces_apart() else self._templates[index]
            held = self._structures[index].held()
            normalized = self._normalized[template, direction, event_ndims]
            for (number, momentum), statistic in zip(normalized, statistics, strict=True):
                record_batch_statistic(held[number], statistic, momentum)
        return value, log_det

    def _function(self, index, what, direction, event_ndims):
        """The traced function (`values`, `gradient` or `rebuild`) for the kind of bijector number `index`."""
        apart, training = _traces_apart(), in_training_pass()
        template = index if apart else self._templates[index]
        bijector, structure = self._bijectors[template], self._structures[template]

        def pair(x, condition):
            return self._pair(bijector, direction, x, event_ndims, condition)

        def values_of(x, condition, values):
            del values
            return pair(x, condition)

        def gradient(x, condition, values, upstream):
            x = _after(upstream[0], x)
            return gradients_of(lambda: pair(x, condition), (x, condition, values), list(upstream))

        def rebuild(y, condition, values, upstream):
            return self._rebuild(bijector, direction, y, event_ndims, upstream, condition, values)

        function = {"values": values_of, "gradient": gradient, "rebuild": rebuild}[what]

        def run(x, condition, values, *upstream):
            # The backward pass may begin when the training pass is over.
            with structure.substituted(values), _inside(), pass_within(training) as statistics:
                results = function(x, condition, values, *upstream)
            if what != "values" or statistics is None:
                return results
            held = [id(value) for value in values]
            self._normalized[template, direction, event_ndims] = [
                (held.index(id(update.running)), update.momentum) for update in statistics.updates
            ]
            return *results, *statistics.values

        if apart:
            return run
        key = (template, what, direction, event_ndims, training, current_sampler())
        if key not in self._functions:
            # If they were inlined, the blocks would be optimized one by one after all.
            self._functions[key] = tf.function(run, autograph=False, experimental_attributes={"_noinline": True})
        return self._functions[key]


def _traces_apart():
    """Whether each block has its own trace: also where a block asks other replicas, which a traced function cannot do."""
    return _apart.get() or (in_training_pass() and num_replicas() > 1)


def _after(upstream, x):
    """`x`, made to wait for `upstream`: otherwise XLA would merge the second run with the first and keep its tensors."""
    first = tf.reduce_sum(tf.reshape(upstream, [-1])[:1])
    return x + 0 * tf.cast(first, x.dtype)


@contextlib.contextmanager
def _inside():
    token = _inside_block.set(True)
    try:
        yield
    finally:
        _inside_block.reset(token)
