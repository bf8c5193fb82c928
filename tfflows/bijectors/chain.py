"""Composition of bijectors that all see one condition."""

import itertools
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.bijectors.base import (
    Bijector,
    inverse_and_log_det,
    rebuild_and_gradient,
    takes_condition,
    value_and_log_det,
)
from tfflows.bijectors.parts import at_place, check_bijectors, common_dtype
from tfflows.tracing import gradients
from tfflows.tracing.shared_blocks import SharedBlocks
from tfflows.tracing.variables import count_as_done

tfb = tfp.bijectors


class Chain(Bijector):
    """`forward(x) = b[0](b[1](... b[-1](x)))`, so the list reads from data to latent: `inverse` applies `b[0]` first.

    It differs from `tfb.Chain` in what it does with a condition. `condition=` reaches every bijector that takes one. A
    `Squeeze` squeezes a condition of image shape for the bijectors that follow, and `RowKeys` in a condition become an
    independent stream for each bijector. A condition that no bijector takes raises an error. The list may hold bijectors of
    TFP.

    In graphs, bijectors of equal structure are traced once (see `SharedBlocks`).

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import ActNorm, Chain, InvertibleConv, Squeeze
      >>> flow = Chain([Squeeze(), ActNorm([12]), InvertibleConv(12)])
      >>> images = tf.random.stateless_normal([2, 8, 8, 3], seed=[0, 0])
      >>> latent = flow.initialize(images)
      >>> print(latent.shape)
      (2, 4, 4, 12)
      >>> print(float(tf.reduce_max(tf.abs(flow.forward(latent) - images))) < 1e-5)
      True
      >>> flow  # 12 biases and 12 scales, a 12x12 matrix
      Chain('chain': Squeeze, ActNorm, InvertibleConv; 168 parameters)
    """

    def __init__(self, bijectors: Sequence[tfb.Bijector], validate_args: bool = False, name: str = "chain") -> None:
        """Creates the composition.

        Args:
          bijectors: Bijectors in order from data to latent.
          validate_args: As in TFP.
          name: As in TFP.

        Raises:
          TypeError: If something in the list is no bijector.
          ValueError: If there is no bijector, or two have different dtypes.
        """
        parameters = dict(locals())
        bijectors = list(bijectors)
        if not bijectors:
            raise ValueError("Chain needs at least one bijector, got an empty list.")
        check_bijectors("Chain", *bijectors)
        self.bijectors = bijectors
        self._blocks = SharedBlocks(self.bijectors, value_and_log_det, rebuild_and_gradient)
        self.takes_condition = any(takes_condition(bijector) for bijector in self.bijectors)
        inverse_event_ndims = max_event_ndims = self._minimal_event_ndims()
        for bijector in self.bijectors:
            max_event_ndims += bijector.forward_min_event_ndims - bijector.inverse_min_event_ndims
        super().__init__(
            forward_min_event_ndims=max_event_ndims,
            inverse_min_event_ndims=inverse_event_ndims,
            is_constant_jacobian=all(b.is_constant_jacobian for b in self.bijectors),
            dtype=common_dtype(f"Chain {name!r}", self.bijectors),
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    def __repr__(self) -> str:
        kinds = [type(bijector).__name__ for bijector in self.bijectors]
        runs = [(kind, len(list(group))) for kind, group in itertools.groupby(kinds)]
        listed = ", ".join(kind if count == 1 else f"{count} x {kind}" for kind, count in runs)
        return f"Chain({self.name!r}: {listed}; {self._num_parameters():,} parameters)"

    def _minimal_event_ndims(self):
        """Smallest number of axes of a data event that gives every bijector on the way at least its own minimum."""
        needed, change = 0, 0
        for bijector in self.bijectors:
            needed = max(needed, bijector.inverse_min_event_ndims - change)
            change += bijector.forward_min_event_ndims - bijector.inverse_min_event_ndims
        return needed

    def squeeze_condition(self, condition: Any, batch_ndims: int) -> Any:
        """Gives the condition that the next bijectors see: squeezed by every `Squeeze` in the list."""
        for bijector in self.bijectors:
            if isinstance(bijector, Bijector):
                condition = bijector.squeeze_condition(condition, batch_ndims)
        return condition

    def _conditions(self, condition, batch_ndims):
        """Gives the condition of each bijector (None for those that take none)."""
        conditions = []
        for place, bijector in enumerate(self.bijectors):
            conditions.append(at_place(condition, place) if takes_condition(bijector) else None)
            if isinstance(bijector, Bijector) and condition is not None:
                condition = bijector.squeeze_condition(condition, batch_ndims)
        return conditions

    def _order(self, direction):
        """Gives `(index, change)`: bijectors in the order of a direction, and how each changes the number of event axes."""
        indices = range(len(self.bijectors))
        changes = [bijector.forward_min_event_ndims - bijector.inverse_min_event_ndims for bijector in self.bijectors]
        if direction == gradients.INVERSE:
            return list(zip(indices, changes, strict=True))
        return [(index, -changes[index]) for index in reversed(indices)]

    def _apply(self, direction, x, event_ndims, condition):
        conditions = self._conditions(condition, x.shape.rank - event_ndims)
        total = None
        for index, change in self._order(direction):
            x, log_det = self._blocks.value_and_log_det(index, direction, x, event_ndims, conditions[index])
            event_ndims += change
            total = log_det if total is None else total + log_det
        return x, total

    def _inverse_and_log_det(self, y, condition=None):
        return self._apply(gradients.INVERSE, y, self.inverse_min_event_ndims, condition)

    def _forward_and_log_det(self, x, condition=None):
        return self._apply(gradients.FORWARD, x, self.forward_min_event_ndims, condition)

    def _rebuild_and_gradient(self, direction, y, upstream, condition, values):
        d_y, d_log_det = upstream
        inverse = direction == gradients.INVERSE
        event_ndims = self.forward_min_event_ndims if inverse else self.inverse_min_event_ndims
        sums = gradients.GradientSums(values)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            gradients.watch(tape, condition)
            conditions = self._conditions(condition, y.shape.rank - event_ndims)
        d_conditions = [None] * len(conditions)
        for index, change in reversed(self._order(direction)):
            y, d_y, d_conditions[index], d_values = self._blocks.rebuild_and_gradient(
                index, direction, y, event_ndims, (d_y, d_log_det), conditions[index]
            )
            event_ndims -= change
            sums.add(self._blocks.values(index), d_values)
        return y, d_y, gradients.pull_back(tape, conditions, d_conditions, condition), sums.result()

    def initialize(self, y: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """Initializes each bijector, from data to latent, on the output of those before it, and returns the latent."""
        y, condition = self._checked_input(gradients.INVERSE, y, condition)
        conditions = self._conditions(condition, y.shape.rank - self.inverse_min_event_ndims)
        for bijector, bijector_condition in zip(self.bijectors, conditions, strict=True):
            if isinstance(bijector, Bijector):
                y = bijector.initialize(y, bijector_condition)
                count_as_done(bijector)
            else:
                y = inverse_and_log_det(bijector, y, bijector.inverse_min_event_ndims, bijector_condition)[0]
        return y

    def _check_event(self, direction, shape):
        del direction, shape  # each bijector checks the events that reach it

    def _inverse_event_shape(self, shape):
        for bijector in self.bijectors:
            shape = bijector.inverse_event_shape(shape)
        return shape

    def _forward_event_shape(self, shape):
        for bijector in self.bijectors[::-1]:
            shape = bijector.forward_event_shape(shape)
        return shape

    def _inverse_event_shape_tensor(self, shape):
        for bijector in self.bijectors:
            shape = bijector.inverse_event_shape_tensor(shape)
        return shape

    def _forward_event_shape_tensor(self, shape):
        for bijector in self.bijectors[::-1]:
            shape = bijector.forward_event_shape_tensor(shape)
        return shape
