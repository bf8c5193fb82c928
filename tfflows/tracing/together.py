"""What depends on parameters alone, computed for all equal layers of a model at once: a few kernels, however deep it is."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfflows.tracing.of_parameters import giving, is_computed_together
from tfflows.tracing.stateless import Structure
from tfflows.tracing.variables import own_children, walk


class Together:
    """Computes `of_parameters` of all layers of a model that have it, those of equal structure at once.

    Their parameters are stacked, and what comes out is taken apart again. A deep flow has a hundred small matrices, whose
    determinants and inverses would otherwise be a hundred decompositions each.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import Chain, InvertibleConv
      >>> from tfflows.tracing.together import Together
      >>> flow = Chain([InvertibleConv(3, seed) for seed in range(5)])
      >>> together = Together(flow)
      >>> @tf.function
      ... def latents(x):
      ...     with together.giving(together.compute()):
      ...         return flow.inverse_and_log_det(x)
      >>> operations = latents.get_concrete_function(tf.zeros([1, 2, 2, 3])).graph.get_operations()
      >>> print([operation.type for operation in operations].count("LogMatrixDeterminant"))
      1
    """

    def __init__(self, module: Any) -> None:
        """Finds the layers.

        Args:
          module: A model, with its variables built.
        """
        self._layers = []

        def visit(value, path, place, number):
            del path, place
            if number is None and is_computed_together(value):
                self._layers.append(value)
            return True

        walk(module, own_children, visit)
        self._structures = [Structure(layer) for layer in self._layers]
        groups = {}
        for index, structure in enumerate(self._structures):
            groups.setdefault(structure.signature, []).append(index)
        self._groups = list(groups.values())

    def compute(self) -> list[tf.Tensor]:
        """Returns what depends on the parameters alone, end to end, for `giving`; gradients go on to the variables."""
        computed = {}
        for group in self._groups:
            values = (self._structures[index].values() for index in group)
            stacked = [tf.stack(own) for own in zip(*values, strict=True)]
            with self._structures[group[0]].substituted(stacked):
                results = self._layers[group[0]].of_parameters()
            apart = zip(*(tf.unstack(result, num=len(group)) for result in results), strict=True)
            computed |= dict(zip(group, apart, strict=True))
        return [tensor for index in range(len(self._layers)) for tensor in computed[index]]

    def unused(self, used: Sequence[bool]) -> list[tf.Variable]:
        """Returns the variables of the layers of which a computation uses nothing.

        The gradients that `compute` hands on cannot tell: equal layers get theirs together, zeros where there is none.

        Args:
          used: Whether each tensor of `compute` is used.
        """
        flags, variables = iter(used), []
        for layer, structure in zip(self._layers, self._structures, strict=True):
            if not any([next(flags) for _ in range(layer.num_of_parameters)]):
                variables += structure.variables
        return variables

    def giving(self, tensors: Sequence[tf.Tensor]) -> contextlib.AbstractContextManager:
        """A context in which the layers are handed what `compute` returned, or, if there are no tensors, nothing."""
        return giving(self._layers, tensors)


def computing_together(module: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps a function of a model for `tf.function`: what depends on parameters alone is computed first, once a call.

    Args:
      module: The model.
      function: Any function that computes with the model.

    Returns:
      The function; in eager mode it runs as it is.
    """
    together = Together(module)

    def run(*args, **kwargs):
        with together.giving([] if tf.executing_eagerly() else together.compute()):
            return function(*args, **kwargs)

    return run
