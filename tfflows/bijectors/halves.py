"""The two halves of the channels: swapped, or each through its own bijector."""

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.bijectors.base import Bijector, broadcast_log_det, forward_and_log_det, inverse_and_log_det
from tfflows.bijectors.parts import check_bijectors, common_dtype
from tfflows.tracing.gradients import INVERSE

tfb = tfp.bijectors


class SwapHalves(Bijector):
    """`[a, b] -> [b, a]`, so that the next coupling transforms the other half; its own inverse, log-determinant 0.

    Example:
      >>> from tfflows.bijectors import SwapHalves
      >>> print(SwapHalves(event_ndims=1).inverse([1.0, 2.0, 3.0, 4.0]).numpy())
      [3. 4. 1. 2.]
    """

    def __init__(self, event_ndims: int = 3, validate_args: bool = False, name: str = "swap_halves") -> None:
        """Creates the swap.

        Args:
          event_ndims: Number of axes of an event.
          validate_args: As in TFP.
          name: As in TFP.
        """
        super().__init__(
            forward_min_event_ndims=event_ndims,
            is_constant_jacobian=True,
            validate_args=validate_args,
            parameters=dict(locals()),
            name=name,
        )

    def _inverse_and_log_det(self, y):
        first, second = self._halves_of(y)
        return tf.concat([second, first], axis=-1), broadcast_log_det(0.0, y, self.inverse_min_event_ndims)

    def _forward_and_log_det(self, x):
        return self._inverse_and_log_det(x)


class OnHalves(Bijector):
    """`[a, b] -> [first(a), second(b)]`, for maps of the channels that must not mix the two sides of a coupling.

    The log-determinant is the sum of those of the two bijectors.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import OnHalves, Reverse, SwapHalves
      >>> halves = OnHalves(Reverse(event_ndims=1), SwapHalves(event_ndims=1), event_ndims=1)
      >>> print(halves.inverse([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]).numpy())
      [4. 3. 2. 1. 7. 8. 5. 6.]

      The usual case, two 1x1 convolutions:

      >>> from tfflows.bijectors import InvertibleConv
      >>> mixers = OnHalves(InvertibleConv(6), InvertibleConv(6, seed=1))
      >>> print(mixers.inverse(tf.zeros([2, 4, 4, 12])).shape)
      (2, 4, 4, 12)
    """

    def __init__(
        self,
        first: tfb.Bijector,
        second: tfb.Bijector,
        event_ndims: int = 3,
        validate_args: bool = False,
        name: str = "on_halves",
    ) -> None:
        """Creates the map.

        Args:
          first: Bijector of the first half, which keeps shapes and takes no condition.
          second: Bijector of the second half, of the same kind.
          event_ndims: Number of axes of an event.
          validate_args: As in TFP.
          name: As in TFP.

        Raises:
          TypeError: If `first` or `second` is no bijector.
          ValueError: If they have different dtypes.
        """
        parameters = dict(locals())
        check_bijectors("OnHalves", first, second)
        self.first = first
        self.second = second
        super().__init__(
            forward_min_event_ndims=event_ndims,
            is_constant_jacobian=first.is_constant_jacobian and second.is_constant_jacobian,
            dtype=common_dtype(f"OnHalves {name!r}", [first, second]),
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    @property
    def _both(self):
        return self.first, self.second

    def _apply(self, run, x):
        halves = self._halves_of(x)
        pairs = [run(b, half, self.forward_min_event_ndims) for b, half in zip(self._both, halves, strict=True)]
        (first, first_log_det), (second, second_log_det) = pairs
        return tf.concat([first, second], axis=-1), first_log_det + second_log_det

    def _inverse_and_log_det(self, y):
        return self._apply(inverse_and_log_det, y)

    def _forward_and_log_det(self, x):
        return self._apply(forward_and_log_det, x)

    def initialize(self, y: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """Initializes each bijector on its half and returns the latent."""
        y, condition = self._checked_input(INVERSE, y, condition)
        halves = self._halves_of(y)
        return tf.concat([b.initialize(half) for b, half in zip(self._both, halves, strict=True)], axis=-1)
