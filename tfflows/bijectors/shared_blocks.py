"""Blocks of equal structure, traced once: a function of (input, condition, parameters) that every such block calls."""

import contextlib
import contextvars
import functools

import tensorflow as tf

from tfflows.bijectors import base
from tfflows.bijectors.gradients import INVERSE, gradients_of
from tfflows.bijectors.memory import RECOMPUTE, memory_mode
from tfflows.bijectors.stateless import Derived, Structure, is_assignment, pure

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

    def __init__(self, bijectors):
        """Args: bijectors: Sequence of bijectors with their variables built."""
        self._bijectors = list(bijectors)
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
            return _value_and_log_det(self._bijectors[index], direction, x, event_ndims, condition)
        values = self.values(index)
        run = self._function(index, _value_and_log_det, direction, event_ndims)
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
            return _value_and_log_det(self._bijectors[index], direction, x, event_ndims, condition)

    def rebuild_and_gradient(self, index, direction, y, event_ndims, upstream, condition=None):
        """`base.rebuild_and_gradient` of bijector number `index`, with respect to its `values(index)`."""
        values = self.values(index)
        arguments = (y, event_ndims, upstream, condition, values)
        if not self._is_called(index, False):
            return base.rebuild_and_gradient(self._bijectors[index], direction, *arguments)
        run = self._function(index, _rebuild_and_gradient, direction, event_ndims)
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
        gradient = self._function(index, _gradient, direction, event_ndims)

        @tf.custom_gradient
        def call(x, *rest):
            given, parameters = list(rest[: len(conditions)]), list(rest[len(conditions) :])
            packed = tf.nest.pack_sequence_as(condition, given) if conditions else None

            def backward(*upstream):
                d_x, d_condition, d_values = gradient(x, packed, parameters, upstream)
                return [d_x, *(tf.nest.flatten(d_condition) if conditions else []), *d_values]

            return run(x, packed, parameters), backward

        return call(x, *conditions, *values)

    def _function(self, index, function, direction, event_ndims):
        """The traced `function` of the kind of bijector number `index`."""
        template = index if _apart.get() else self._templates[index]
        bijector, structure = self._bijectors[template], self._structures[template]

        def run(x, condition, values, *arguments):
            with structure.substituted(values), _inside():
                return function(bijector, direction, x, event_ndims, condition, *arguments, values=values)

        if _apart.get():
            return run
        key = (template, function, direction, event_ndims)
        if key not in self._functions:
            # Inlined, the blocks would be optimized one by one after all.
            self._functions[key] = tf.function(run, autograph=False, experimental_attributes={"_noinline": True})
        return self._functions[key]


def _value_and_log_det(bijector, direction, x, event_ndims, condition, values=()):
    del values
    run = base.inverse_and_log_det if direction == INVERSE else base.forward_and_log_det
    return run(bijector, x, event_ndims, condition)


def _gradient(bijector, direction, x, event_ndims, condition, upstream, values):
    x = _after(upstream[0], x)
    return gradients_of(
        lambda: _value_and_log_det(bijector, direction, x, event_ndims, condition),
        (x, condition, values),
        list(upstream),
    )


def _rebuild_and_gradient(bijector, direction, y, event_ndims, condition, upstream, values):
    return base.rebuild_and_gradient(bijector, direction, y, event_ndims, upstream, condition, values)


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
