"""Gradients of a bijector's pair (value, log-determinant), at a known input or at one rebuilt from the output."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

INVERSE, FORWARD = ("inverse", "forward")


def opposite(direction: str) -> str:
    """Returns `forward` for `inverse` and vice versa."""
    return FORWARD if direction == INVERSE else INVERSE


def is_differentiable(value: tf.Tensor) -> bool:
    """Tells from its dtype whether a tensor can have a gradient."""
    return value.dtype.is_floating or value.dtype.is_complex


def watch(tape: tf.GradientTape, sources: Any) -> None:
    """Makes a tape watch those tensors of a structure that can have a gradient; None is passed over."""
    for source in tf.nest.flatten(sources):
        if source is not None and is_differentiable(source):
            tape.watch(source)


def gradients(tape: tf.GradientTape, results: Sequence[tf.Tensor], sources: Any, upstream: Sequence[tf.Tensor]) -> Any:
    """Computes vector-Jacobian products on a tape.

    Args:
      tape: Tape that watched the sources.
      results: Tensors computed on the tape.
      sources: Structure of tensors, which may contain None; None and integer tensors get the gradient None.
      upstream: Gradients with respect to the results, one per result.

    Returns:
      Gradients in the structure of `sources`, None where the results do not depend on a source.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.tracing import gradients
      >>> sources = {"x": tf.constant(3.0), "label": tf.constant(1), "context": None}
      >>> with tf.GradientTape() as tape:
      ...     gradients.watch(tape, sources)
      ...     result = sources["x"] ** 2
      >>> found = gradients.gradients(tape, [result], sources, [tf.constant(1.0)])
      >>> print(found["x"].numpy(), found["label"], found["context"])
      6.0 None None
    """
    flat = tf.nest.flatten(sources)
    chosen = [index for index, source in enumerate(flat) if source is not None and is_differentiable(source)]
    found = tape.gradient(results, [flat[index] for index in chosen], output_gradients=upstream)
    filled = [None] * len(flat)
    for index, gradient in zip(chosen, found, strict=True):
        filled[index] = gradient
    return tf.nest.pack_sequence_as(sources, filled)


def pull_back(tape: tf.GradientTape, results: Sequence[Any], upstream: Sequence[Any], source: Any) -> Any:
    """Computes the gradient with respect to a structure `source` of results that were computed from it on a tape.

    Args:
      tape: Tape that watched the source.
      results: List of structures of tensors.
      upstream: Gradients with respect to the results, in their structures; None where there is none.
      source: Structure of tensors, or None.

    Returns:
      Gradients in the structure of `source`, or None if it is None.
    """
    pairs = zip(tf.nest.flatten(results), tf.nest.flatten(_like(results, upstream)), strict=True)
    pairs = [(result, gradient) for result, gradient in pairs if gradient is not None]
    if source is None or not pairs:
        return None if source is None else tf.nest.map_structure(lambda _: None, source)
    return gradients(tape, [result for result, _ in pairs], source, [gradient for _, gradient in pairs])


def _like(results, upstream):
    """Fills in upstream gradients: a result whose gradient is None gets None for each of its tensors."""
    return [
        tf.nest.map_structure(lambda _: None, result) if gradient is None else gradient
        for result, gradient in zip(results, upstream, strict=True)
    ]


def gradients_of(function: Callable[[], Sequence[tf.Tensor]], sources: Any, upstream: Sequence[tf.Tensor]) -> Any:
    """Computes `gradients` of the tensors that `function()` returns, without returning the tensors."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        watch(tape, sources)
        results = function()
    return gradients(tape, results, sources, upstream)


class GradientSums:
    """Sums up the gradients with respect to tensors that several parts of a bijector use.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.tracing.gradients import GradientSums
      >>> shared, unused = tf.constant(1.0), tf.constant(2.0)
      >>> sums = GradientSums([shared, unused])
      >>> sums.add([shared], [tf.constant(10.0)])
      >>> sums.add([shared], [tf.constant(5.0)])
      >>> print(sums.result()[0].numpy(), sums.result()[1])
      15.0 None
    """

    def __init__(self, tensors: Any) -> None:
        """Starts the sums without any gradient.

        Args:
          tensors: Structure of tensors, which may contain None.
        """
        self._structure = tensors
        self._flat = tf.nest.flatten(tensors)
        self._sums = {tensor.ref(): None for tensor in self._flat if tensor is not None}

    def add(self, tensors: Any, gradients: Any) -> None:
        """Adds gradients to the sums of their tensors. The two structures must be equal; None counts as 0."""
        for tensor, gradient in zip(tf.nest.flatten(tensors), tf.nest.flatten(gradients), strict=True):
            if gradient is not None:
                before = self._sums[tensor.ref()]
                self._sums[tensor.ref()] = gradient if before is None else before + gradient

    def result(self) -> Any:
        """Returns the sums in the structure of the tensors, None where no gradient was added."""
        sums = [None if tensor is None else self._sums[tensor.ref()] for tensor in self._flat]
        return tf.nest.pack_sequence_as(self._structure, sums)


def add(first: Any, second: Any) -> Any:
    """Adds two structures of gradients; None counts as 0."""

    def total(a, b):
        return b if a is None else a if b is None else a + b

    if first is None or second is None:
        return second if first is None else first
    flat = [total(a, b) for a, b in zip(tf.nest.flatten(first), tf.nest.flatten(second), strict=True)]
    return tf.nest.pack_sequence_as(first, flat)
