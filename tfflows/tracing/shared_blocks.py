"""Blocks of equal structure, traced once: a function of (input, condition, parameters) that every such block calls."""

import contextlib
import contextvars
import functools

import tensorflow as tf

from tfflows.tracing.gradients import gradients_of
from tfflows.tracing.memory import RECOMPUTE, memory_mode
from tfflows.tracing.stateless import Derived, Structure, is_assignment, pure

# A call costs more than the few operations of a bijector with fewer variables (actnorm, a permutation, a 1x1 convolution).
_MIN_VARIABLES = 4

# Blocks within a block belong to its trace.
_inside_block = contextvars.ContextVar("inside_block", default=False)

_apart = contextvars.ContextVar("traces_apart", default=False)


@contextlib.contextmanager
def traces_apart():
    """Within it each block has a trace of its own, in the graph that calls it.

    For gradients that XLA compiles: with calls of traced functions in them they were seen to be compiled anew at each step.
    """
    token = _apart.set(True)
    try:
        yield
    finally:
        _apart.reset(token)


def are_traced_apart():
    """Whether it is called within `traces_apart`."""
    return _apart.get()


class SharedBlocks(Derived):
    """Runs the bijectors of a chain, in graphs each through the traced function of its kind.

    Tracing, differentiating and optimizing a graph take TensorFlow time for each operation; of K equal blocks, each called with
    its own parameters, only the first costs it. Values are those of the bijectors themselves. In eager mode bijectors run as
    they are, unless the `memory_scope` asks for recomputation.

    TFP's cache is not used inside: what it holds of one trace would be served to another.
    """

    def __init__(self, bijectors, value_and_log_det, rebuild_and_gradient):
        """Creates the runner.

        Args:
          bijectors: Sequence of bijectors with their variables built.
          value_and_log_det: `(bijector, direction, x, event_ndims, condition) -> (value, log_det)`, pure.
          rebuild_and_gradient: `(bijector, direction, y, event_ndims, upstream, condition, values) -> (x, d_x, d_condition,
            d_values)`: the input of a direction from its output, and the gradients there.
        """
        self._bijectors = list(bijectors)
        self._pair, self._rebuild = value_and_log_det, rebuild_and_gradient
        self._functions = {}
        self._stateful = set()

    @functools.cached_property
    def _structures(self):
        return [Structure(bijector) for bijector in self._bijectors]

    @functools.cached_property
    def _templates(self):
        """Of each bijector the number of the first one of its kind."""
        signatures = [structure.signature for structure in self._structures]
        return [signatures.index(signature) for signature in signatures]

    def find_variables(self):
        """Finds out where the variables lie, before others stand in their places; else done when it is first needed."""
        return self._templates

    def values(self, index):
        """Tensors of the parameters of one bijector; see `Structure.values`."""
        return self._structures[index].values()

    def value_and_log_det(self, index, direction, x, event_ndims, condition=None):
        """The pair of bijector number `index`, for events of `event_ndims` axes."""
        recompute = memory_mode() == RECOMPUTE
        if not self._is_called(index, recompute):
            return self._pair(self._bijectors[index], direction, x, event_ndims, condition)
        values = self.values(index)
        run = self._function(index, "values", direction, event_ndims)
        if recompute:
            with pure(self._bijectors[index]):
                return self._recomputed(index, run, direction, x, event_ndims, condition, values)
        try:
            return run(x, condition, values)
        except AttributeError as error:
            if not is_assignment(error):
                raise
            # It has a state besides its parameters, such as a moving average, and keeps a trace of its own.
            self._stateful.add(self._templates[index])
            return self._pair(self._bijectors[index], direction, x, event_ndims, condition)

    def rebuild_and_gradient(self, index, direction, y, event_ndims, upstream, condition=None):
        """The input of bijector number `index` rebuilt, and the gradients there, with respect to its `values(index)` too."""
        values = self.values(index)
        arguments = (y, event_ndims, upstream, condition, values)
        if not self._is_called(index, False):
            return self._rebuild(self._bijectors[index], direction, *arguments)
        run = self._function(index, "rebuild", direction, event_ndims)
        return run(y, condition, values, upstream)

    def _is_called(self, index, recompute):
        if getattr(self._bijectors[index], "holds_blocks", False):
            return False
        if _inside_block.get() or (not recompute and (tf.executing_eagerly() or _apart.get())):
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
                d_x, d_condition, d_values = gradient(x, packed, parameters, upstream)
                return [d_x, *(tf.nest.flatten(d_condition) if conditions else []), *d_values]

            return run(x, packed, parameters), backward

        return call(x, *conditions, *values)

    def _function(self, index, what, direction, event_ndims):
        """The traced function of the kind of bijector number `index`: `values`, `gradient` or `rebuild`."""
        template = index if _apart.get() else self._templates[index]
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
            with structure.substituted(values), _inside():
                return function(x, condition, values, *upstream)

        if _apart.get():
            return run
        key = (template, what, direction, event_ndims)
        if key not in self._functions:
            # Inlined, the blocks would be optimized one by one after all.
            self._functions[key] = tf.function(run, autograph=False, experimental_attributes={"_noinline": True})
        return self._functions[key]


def _after(upstream, x):
    """`x`, but only once `upstream` is there: XLA would find that the network has run before, and keep what it gave."""
    first = tf.reduce_sum(tf.reshape(upstream, [-1])[:1])
    return x + 0 * tf.cast(first, x.dtype)


@contextlib.contextmanager
def _inside():
    token = _inside_block.set(True)
    try:
        yield
    finally:
        _inside_block.reset(token)
