"""Residual units of equal structure, traced once: a function of (inputs, parameters) that every such unit calls."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfflows.choices import RECOMPUTE
from tfflows.tracing.batch_statistics import in_training_pass
from tfflows.tracing.gradients import gradients_of, is_differentiable
from tfflows.tracing.memory import memory_mode
from tfflows.tracing.shared_blocks import are_traced_apart
from tfflows.tracing.stateless import Derived, Structure


class SharedLayers(Derived):
    """Runs `function(unit, *inputs)` for units of a network; in graphs, all units of one kind call the same traced function.

    TensorFlow then traces, differentiates and optimizes a deep network about as fast as a shallow one.
    `tfflows.tracing.shared_blocks` does the same for bijectors. The values are those of `function` itself.

    Example:
      >>> import keras
      >>> import tensorflow as tf
      >>> from tfflows.tracing.shared_layers import SharedLayers
      >>> units = [[keras.layers.Dense(2, kernel_initializer="identity", bias_initializer="ones")] for _ in range(3)]
      >>> for (layer,) in units:
      ...     layer.build([None, 2])
      >>> shared = SharedLayers(lambda unit, x: x + unit[0](x), units)
      >>> @tf.function
      ... def network(x):
      ...     for index in range(3):
      ...         x = shared(index, x)  # x -> 2 x + 1
      ...     return x
      >>> print(network(tf.zeros([1, 2])).numpy())
      [[7. 7.]]
    """

    def __init__(
        self,
        function: Callable[..., Any],
        units: Sequence[Sequence[keras.layers.Layer]],
        recomputed: bool = False,
    ) -> None:
        """Creates the runner.

        Args:
          function: Pure function `(unit, *inputs)` that returns a structure of tensors.
          units: The units, each a list of built Keras layers.
          recomputed: Whether the memory mode `recompute` keeps only the inputs of each unit for the backward pass, which then
            runs the unit again. Set it for networks outside of bijectors; the blocks of a bijector are recomputed as they are.
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
        """The index of the first unit of the same kind, for each unit."""
        signatures = [structure.signature for structure in self._structures]
        return [signatures.index(signature) for signature in signatures]

    def find_variables(self) -> None:
        """Finds the variables before tensors stand in for them; otherwise this is done when first needed."""
        _ = self._templates

    def __call__(self, index: int, *inputs: Any) -> Any:
        """Runs `function` for unit number `index`; the inputs are structures of tensors, which may contain None."""
        if in_training_pass():
            return self._function(self._units[index], *inputs)  # the statistics of a batch belong to the caller's graph
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
        """The traced function (`values` or `gradients`) of (parameters, inputs) for the kind of a unit."""
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
            # If they were inlined, the units would be optimized one by one after all.
            self._traced[key] = tf.function(run, autograph=False, experimental_attributes={"_noinline": True})
        return self._traced[key]


def _after(upstream, inputs):
    """The inputs, the first made to wait for `upstream`: otherwise XLA would keep the tensors of the first run."""
    first, *others = inputs
    return [first + 0 * tf.cast(tf.reduce_sum(tf.reshape(upstream, [-1])[:1]), first.dtype), *others]
