"""Gradients of a bijector's pair (value, log-determinant), at a known input or at one rebuilt from the output."""

import tensorflow as tf

INVERSE, FORWARD = ("inverse", "forward")


def opposite(direction):
    """`forward` for `inverse`, and the other way round."""
    return FORWARD if direction == INVERSE else INVERSE


def is_differentiable(value):
    """Whether a gradient with respect to a tensor exists, by its dtype."""
    return value.dtype.is_floating or value.dtype.is_complex


def watch(tape, sources):
    """Lets a tape watch the tensors of a structure that can be differentiated."""
    for source in tf.nest.flatten(sources):
        if source is not None and is_differentiable(source):
            tape.watch(source)


def gradients(tape, results, sources, upstream):
    """Vector-Jacobian products on a tape.

    Args:
      tape: `tf.GradientTape` that watched the sources.
      results: List of tensors.
      sources: Structure of tensors; None and integers among them get None.
      upstream: List of tensors, one a result.

    Returns:
      Gradients in the structure of `sources`, None where nothing depends.
    """
    flat = tf.nest.flatten(sources)
    chosen = [index for index, source in enumerate(flat) if source is not None and is_differentiable(source)]
    found = tape.gradient(results, [flat[index] for index in chosen], output_gradients=upstream)
    filled = [None] * len(flat)
    for index, gradient in zip(chosen, found, strict=True):
        filled[index] = gradient
    return tf.nest.pack_sequence_as(sources, filled)


def pull_back(tape, results, upstream, source):
    """Gradient with respect to a structure `source`, of results that were made of it on a tape.

    Args:
      tape: `tf.GradientTape` that watched the source.
      results: List of structures of tensors.
      upstream: List of structures of gradients, None where there is none.
      source: Structure of tensors, or None.
    """
    pairs = zip(tf.nest.flatten(results), tf.nest.flatten(_like(results, upstream)), strict=True)
    pairs = [(result, gradient) for result, gradient in pairs if gradient is not None]
    if source is None or not pairs:
        return None if source is None else tf.nest.map_structure(lambda _: None, source)
    return gradients(tape, [result for result, _ in pairs], source, [gradient for _, gradient in pairs])


def _like(results, upstream):
    """Upstream gradients with a None for each tensor of a result that has none at all."""
    return [
        tf.nest.map_structure(lambda _: None, result) if gradient is None else gradient
        for result, gradient in zip(results, upstream, strict=True)
    ]


def gradients_of(function, sources, upstream):
    """`gradients` of the list of tensors that `function()` gives, without keeping the tensors themselves."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        watch(tape, sources)
        results = function()
    return gradients(tape, results, sources, upstream)


class GradientSums:
    """Sums of the gradients with respect to tensors that several parts of a bijector use."""

    def __init__(self, tensors):
        """Args: tensors: Structure of tensors, None among them."""
        self._structure = tensors
        self._flat = tf.nest.flatten(tensors)
        self._sums = {tensor.ref(): None for tensor in self._flat if tensor is not None}

    def add(self, tensors, gradients):
        """Adds gradients to the sums of their tensors: two equal structures; None counts as 0."""
        for tensor, gradient in zip(tf.nest.flatten(tensors), tf.nest.flatten(gradients), strict=True):
            if gradient is not None:
                before = self._sums[tensor.ref()]
                self._sums[tensor.ref()] = gradient if before is None else before + gradient

    def result(self):
        """The sums in the structure of the tensors."""
        sums = [None if tensor is None else self._sums[tensor.ref()] for tensor in self._flat]
        return tf.nest.pack_sequence_as(self._structure, sums)


def add(first, second):
    """Sum of two structures of gradients; None counts as 0."""

    def total(a, b):
        return b if a is None else a if b is None else a + b

    if first is None or second is None:
        return second if first is None else first
    flat = [total(a, b) for a, b in zip(tf.nest.flatten(first), tf.nest.flatten(second), strict=True)]
    return tf.nest.pack_sequence_as(first, flat)
