"""Residual units of equal structure, traced once: a function of (inputs, parameters) that every such unit calls."""

import functools

import tensorflow as tf

from tfflows.tracing.gradients import gradients_of, is_differentiable
from tfflows.tracing.memory import RECOMPUTE, memory_mode
from tfflows.tracing.shared_blocks import are_traced_apart
from tfflows.tracing.stateless import Derived, Structure


class SharedLayers(Derived):
    """Runs `function(unit, *inputs)` for units of a network, in graphs each through the traced function of its kind.

    A deep network then takes TensorFlow as long to trace, differentiate and optimize as a shallow one; see
    `tfflows.tracing.shared_blocks`, which does the same for bijectors. Values are those of `function` itself.
    """

    def __init__(self, function, units, recomputed=False):
        """Creates the runner.

        Args:
          function: Pure; gives a structure of tensors.
          units: Sequence of lists of built Keras layers.
          recomputed: Python `bool`, whether in the memory mode `recompute` only the inputs of each unit are kept for the backward
            pass, which then runs it again. For networks that are no part of a bijector, whose blocks do the same.
        """
        self._function = function
        self._units = units
        self._recomputed = recomputed
        self._traced = {}

    @functools.cached_property
    def _structures(self):
        return [Structure(unit) for unit in self._units]

    @functools.cached_property
    def _templates(self):
        """Of each unit the number of the first one of its kind."""
        signatures = [structure.signature for structure in self._structures]
        return [signatures.index(signature) for signature in signatures]

    def find_variables(self):
        """Finds out where the variables lie, before others stand in their places; else done when it is first needed."""
        return self._templates

    def __call__(self, index, *inputs):
        """`function` of unit number `index`; inputs are structures of tensors, None among them."""
        if self._recomputed and memory_mode() == RECOMPUTE:
            return self._recompute(index, inputs)
        if tf.executing_eagerly() or are_traced_apart() or self._templates.count(self._templates[index]) == 1:
            return self._function(self._units[index], *inputs)
        return self._traced_as("values", index)(self._structures[index].values(), inputs)

    def _recompute(self, index, inputs):
        flat = tf.nest.flatten(list(inputs))
        given = [place for place, tensor in enumerate(flat) if tensor is not None and is_differentiable(tensor)]
        values = self._structures[index].values()
        run, gradient = self._traced_as("values", index), self._traced_as("gradients", index)

        def packed(tensors):
            filled = list(flat)
            for place, tensor in zip(given, tensors, strict=True):
                filled[place] = tensor
            return tf.nest.pack_sequence_as(list(inputs), filled)

        @tf.custom_gradient
        def call(*tensors):
            own, parameters = packed(tensors[: len(given)]), list(tensors[len(given) :])
            outputs = run(parameters, own)

            def backward(*upstream):
                d_values, d_inputs = gradient(parameters, own, list(upstream))
                d_flat = tf.nest.flatten(d_inputs)
                return [*(d_flat[place] for place in given), *d_values]

            return outputs, backward

        return call(*(flat[place] for place in given), *values)

    def _traced_as(self, what, index):
        """What a unit computes, `values` or `gradients`, of (parameters, inputs), in the trace of its kind."""
        template = index if are_traced_apart() else self._templates[index]
        structure, unit = self._structures[template], self._units[template]

        def values(parameters, inputs):
            with structure.substituted(parameters):
                return self._function(unit, *inputs)

        def gradients(parameters, inputs, upstream):
            inputs = _after(upstream[0], inputs)
            sources = (parameters, inputs)
            return gradients_of(lambda: tf.nest.flatten(values(parameters, inputs)), sources, upstream)

        run = {"values": values, "gradients": gradients}[what]
        if are_traced_apart():
            return run
        key = (template, what)
        if key not in self._traced:
            # Inlined, the units would be optimized one by one after all.
            self._traced[key] = tf.function(run, autograph=False, experimental_attributes={"_noinline": True})
        return self._traced[key]


def _after(upstream, inputs):
    """The inputs, the first of them only once `upstream` is there: else XLA would keep what was computed before."""
    first, *others = inputs
    return [first + 0 * tf.cast(tf.reduce_sum(tf.reshape(upstream, [-1])[:1]), first.dtype), *others]
