"""A flow of the data alone, which leaves the channels beside them as they are."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.bijectors.base import (
    Bijector,
    forward_and_log_det,
    inverse_and_log_det,
    rebuild_and_gradient,
    takes_condition,
)
from tfflows.bijectors.parts import check_bijectors
from tfflows.tracing.gradients import INVERSE

tfb = tfp.bijectors


class OnData(Bijector):
    """Data to latent: `inverse([x, z]) = [bijector.inverse(x), z]`, flattened row-major into one vector, x first.

    Events have the shape `[..., C + C_z]`, and x is their first C channels. The bijector's latents may have any shape. The
    log-determinant is that of the bijector. The condition is not split: the bijector gets all of it.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import OnData, Squeeze
      >>> flow = OnData(Squeeze(), data_shape=[2, 2, 1], num_channels=1)
      >>> x, z = tf.reshape([1.0, 2.0, 3.0, 4.0], [2, 2, 1]), tf.fill([2, 2, 1], 9.0)
      >>> print(flow.inverse(tf.concat([x, z], axis=-1)).numpy())
      [1. 2. 3. 4. 9. 9. 9. 9.]
    """

    # The bijector is usually a whole flow.
    holds_blocks = True

    def __init__(
        self,
        bijector: tfb.Bijector,
        data_shape: Sequence[int] | tf.TensorShape,
        num_channels: int,
        validate_args: bool = False,
        name: str = "on_data",
    ) -> None:
        """Creates the map.

        Args:
          bijector: Bijector of events of the shape `data_shape`.
          data_shape: Shape `[..., C]` of x.
          num_channels: Number C_z of channels of z.
          validate_args: As in TFP.
          name: As in TFP.

        Raises:
          TypeError: If `bijector` is none.
        """
        parameters = dict(locals())
        check_bijectors("OnData", bijector)
        self.bijector = bijector
        self._data_shape = tf.TensorShape(data_shape)
        self._num_channels = num_channels
        self._outer = self._data_shape[:-1]
        self._latent_shape = bijector.inverse_event_shape(self._data_shape)
        self._beside_shape = tf.TensorShape([*self._outer, num_channels])
        self.takes_condition = takes_condition(bijector)
        super().__init__(
            forward_min_event_ndims=1,
            inverse_min_event_ndims=self._data_shape.rank,
            is_constant_jacobian=bijector.is_constant_jacobian,
            dtype=bijector.dtype,
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    def __repr__(self) -> str:
        return f"OnData({self.name!r}: all but {self._num_channels} channels through {self.bijector!r})"

    def _split_channels(self, y):
        return tf.split(y, [self._data_shape[-1], self._num_channels], axis=-1)

    def _split_vector(self, x):
        sizes = [self._latent_shape.num_elements(), self._beside_shape.num_elements()]
        parts = tf.split(x, sizes, axis=-1)
        shapes = (self._latent_shape, self._beside_shape)
        return [_reshaped(part, 1, shape) for part, shape in zip(parts, shapes, strict=True)]

    def _joined(self, latent, beside):
        shapes = (self._latent_shape, self._beside_shape)
        flat = [
            _reshaped(part, shape.rank, [shape.num_elements()])
            for part, shape in zip((latent, beside), shapes, strict=True)
        ]
        return tf.concat(flat, axis=-1)

    def _inverse_and_log_det(self, y, condition=None):
        data, beside = self._split_channels(y)
        latent, log_det = inverse_and_log_det(self.bijector, data, self._data_shape.rank, condition)
        return self._joined(latent, beside), log_det

    def _forward_and_log_det(self, x, condition=None):
        latent, beside = self._split_vector(x)
        data, log_det = forward_and_log_det(self.bijector, latent, self._latent_shape.rank, condition)
        return tf.concat([data, beside], axis=-1), log_det

    def _rebuild_and_gradient(self, direction, y, upstream, condition, values):
        split, joined = self._split_vector, lambda data, beside: tf.concat([data, beside], axis=-1)
        event_ndims = self._latent_shape.rank
        if direction != INVERSE:
            split, joined, event_ndims = self._split_channels, self._joined, self._data_shape.rank
        (inner, beside), (d_inner, d_beside) = split(y), split(upstream[0])
        inner, d_inner, d_condition, d_values = rebuild_and_gradient(
            self.bijector, direction, inner, event_ndims, [d_inner, upstream[1]], condition, values
        )
        return joined(inner, beside), joined(d_inner, d_beside), d_condition, d_values

    def initialize(self, y: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """Initializes the bijector on the data and returns the latent."""
        y, condition = self._checked_input(INVERSE, y, condition)
        data, beside = self._split_channels(y)
        if not isinstance(self.bijector, Bijector):
            return self._inverse_and_log_det(y)[0]
        return self._joined(self.bijector.initialize(data, condition), beside)

    def _known_event_shape(self, direction):
        return self._events() if direction == INVERSE else [self._num_latents()]

    def _num_latents(self):
        return self._latent_shape.num_elements() + self._beside_shape.num_elements()

    def _inverse_event_shape(self, shape):
        return shape[: -self._data_shape.rank].concatenate([self._num_latents()])

    def _forward_event_shape(self, shape):
        return shape[:-1] + self._events()

    def _inverse_event_shape_tensor(self, shape):
        return tf.concat([shape[: -self._data_shape.rank], self._inverse_event_shape(self._events())], axis=0)

    def _forward_event_shape_tensor(self, shape):
        return tf.concat([shape[:-1], self._events()], axis=0)

    def _events(self):
        return tf.TensorShape([*self._outer, self._data_shape[-1] + self._num_channels])


def _reshaped(part, event_ndims, shape):
    """Reshapes the last `event_ndims` axes of a part to `shape`."""
    shape = tf.TensorShape(shape)
    batch_ndims = part.shape.rank - event_ndims
    out = tf.reshape(part, tf.concat([tf.shape(part)[:batch_ndims], shape.as_list()], axis=0))
    return tf.ensure_shape(out, part.shape[:batch_ndims] + shape)
