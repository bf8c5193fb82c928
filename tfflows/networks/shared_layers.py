"""Residual units of equal structure, traced once: a function of (inputs, parameters) that every such unit calls."""

import functools

import tensorflow as tf

from tfflows.bijectors.shared_blocks import are_traced_apart
from tfflows.bijectors.stateless import Derived, Structure


class SharedLayers(Derived):
    """Runs `function(unit, *inputs)` for units of a network, in graphs each through the traced function of its kind.

    A deep network then takes TensorFlow as long to trace, differentiate and optimize as a shallow one; see
    `tfflows.bijectors.shared_blocks`, which does the same for bijectors. Values are those of `function` itself.
    """

    def __init__(self, function, units):
        """Args: function: Pure; units: Sequence of lists of built Keras layers."""
        self._function = function
        self._units = units
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
        if tf.executing_eagerly() or are_traced_apart() or self._templates.count(self._templates[index]) == 1:
            return self._function(self._units[index], *inputs)
        return self._of_kind(self._templates[index])(self._structures[index].values(), *inputs)

    def _of_kind(self, template):
        def run(values, *inputs):
            with self._structures[template].substituted(values):
                return self._function(self._units[template], *inputs)

        if template not in self._traced:
            # Inlined, the units would be optimized one by one after all.
            self._traced[template] = tf.function(run, autograph=False, experimental_attributes={"_noinline": True})
        return self._traced[template]
