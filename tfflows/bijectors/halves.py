"""The two halves of the channels: exchanged, or each through a bijector of its own."""

import tensorflow as tf

from tfflows.bijectors.base import Bijector, broadcast_log_det, forward_and_log_det, inverse_and_log_det


def _split(x, name):
    if x.shape[-1] is None or x.shape[-1] % 2:
        raise ValueError(f"{name} splits the channels in two halves; got an input of shape {x.shape}.")
    return tf.split(x, 2, axis=-1)


class SwapHalves(Bijector):
    """`[a, b] -> [b, a]`, so that the next coupling transforms the other half; its own inverse, log-determinant 0."""

    def __init__(self, event_ndims=3, validate_args=False, name="swap_halves"):
        """Args: event_ndims: Python `int`, axes of an event; validate_args, name: as in TFP."""
        super().__init__(
            forward_min_event_ndims=event_ndims,
            is_constant_jacobian=True,
            validate_args=validate_args,
            parameters=dict(locals()),
            name=name,
        )

    def _inverse_and_log_det(self, y):
        first, second = _split(y, self.name)
        return tf.concat([second, first], axis=-1), broadcast_log_det(0.0, y, self.inverse_min_event_ndims)

    def _forward_and_log_det(self, x):
        return self._inverse_and_log_det(x)


class OnHalves(Bijector):
    """`[a, b] -> [first(a), second(b)]`, for maps of the channels that must not mix the two sides of a coupling.

    #### Examples

    ```python
    OnHalves(InvertibleConv(6), InvertibleConv(6, seed=1))     # events [16, 16, 12]
    ```
    """

    def __init__(self, first, second, event_ndims=3, validate_args=False, name="on_halves"):
        """Args: first, second: bijectors that keep shapes and take no condition; rest as in TFP."""
        parameters = dict(locals())
        self.first = first
        self.second = second
        super().__init__(
            forward_min_event_ndims=event_ndims,
            is_constant_jacobian=first.is_constant_jacobian and second.is_constant_jacobian,
            dtype=first.dtype,
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    @property
    def _both(self):
        return self.first, self.second

    def _apply(self, run, x):
        halves = _split(x, self.name)
        pairs = [run(b, half, self.forward_min_event_ndims) for b, half in zip(self._both, halves, strict=True)]
        (first, first_log_det), (second, second_log_det) = pairs
        return tf.concat([first, second], axis=-1), first_log_det + second_log_det

    def _inverse_and_log_det(self, y):
        return self._apply(inverse_and_log_det, y)

    def _forward_and_log_det(self, x):
        return self._apply(forward_and_log_det, x)

    def initialize(self, y, condition=None):
        """Initializes each bijector on its half; returns the latent."""
        halves = _split(y, self.name)
        return tf.concat([b.initialize(half) for b, half in zip(self._both, halves, strict=True)], axis=-1)
