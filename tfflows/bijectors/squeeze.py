"""Squeeze: space to channels, and back."""

from typing import Any

import tensorflow as tf

from tfflows.bijectors.base import Bijector, broadcast_log_det
from tfflows.bijectors.parts import map_condition
from tfflows.math import squeeze as squeeze_math


class Squeeze(Bijector):
    """Data to latent: `inverse` turns `[..., H, W, C]` into `[..., H/f, W/f, f*f*C]`; `forward` undoes it; log-determinant 0.

    The bijector itself does not use a condition, but in a `Chain` it squeezes a condition of image shape for the bijectors that
    follow (see `squeeze_condition`).

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import Squeeze
      >>> image = tf.reshape([1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 4.0, -4.0], [1, 2, 2, 2])  # channel 1 is minus channel 0
      >>> print(Squeeze().inverse(image).shape)
      (1, 1, 1, 8)
      >>> print(Squeeze(order="channel_first").inverse(image).numpy().ravel())
      [ 1.  2.  3.  4. -1. -2. -3. -4.]
      >>> print(Squeeze(order="position_first").inverse(image).numpy().ravel())
      [ 1. -1.  2. -2.  3. -3.  4. -4.]
      >>> print(Squeeze(order="even_first").inverse(image).numpy().ravel())
      [ 1. -1.  4. -4.  2. -2.  3. -3.]

    References:
      Dinh et al. 2017, section 3.6, https://arxiv.org/abs/1605.08803. Channel orders in the released codes:
      `'channel_first'` in Glow's, `'position_first'` (`space_to_depth`) in those of Flow++, VFlow and MaCow. RealNVP's has
      `'channel_first'` around its channel-wise couplings, and `'even_first'` where it factors out half of the image.
    """

    def __init__(
        self, factor: int = 2, order: str = "channel_first", validate_args: bool = False, name: str = "squeeze"
    ) -> None:
        """Creates the bijector.

        Args:
          factor: Side f of the blocks in pixels.
          order: Order of the channels, one of `tfflows.math.squeeze.CHANNEL_ORDERS`.
          validate_args: As in TFP.
          name: As in TFP.

        Raises:
          ValueError: If `order` is unknown.
        """
        parameters = dict(locals())
        if order not in squeeze_math.CHANNEL_ORDERS:
            raise ValueError(f"order must be one of {squeeze_math.CHANNEL_ORDERS}, got {order!r}.")
        self._factor = factor
        self._order = order
        super().__init__(
            forward_min_event_ndims=3,
            is_constant_jacobian=True,
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    def squeeze_condition(self, condition: Any, batch_ndims: int) -> Any:
        """Squeezes the tensors of a condition that have image shape; the others stay as they are."""
        return self._on_images(squeeze_math.squeeze, condition, batch_ndims)

    def unsqueeze_condition(self, condition: Any, batch_ndims: int) -> Any:
        """Inverse of `squeeze_condition`."""
        return self._on_images(squeeze_math.unsqueeze, condition, batch_ndims)

    def _on_images(self, function, condition, batch_ndims):
        def on_tensor(tensor):
            spatial = tensor.shape.rank == batch_ndims + 3
            return function(tensor, self._factor, self._order) if spatial else tensor

        return map_condition(condition, on_tensor=on_tensor)

    def _inverse_and_log_det(self, y):
        return squeeze_math.squeeze(y, self._factor, self._order), broadcast_log_det(0.0, y, 3)

    def _forward_and_log_det(self, x):
        return squeeze_math.unsqueeze(x, self._factor, self._order), broadcast_log_det(0.0, x, 3)

    def _inverse_event_shape(self, image_shape):
        *outer, height, width, channels = image_shape
        for side in (height, width):
            if side is not None and side % self._factor:
                raise ValueError(
                    f"Cannot squeeze an image of shape {image_shape} by {self._factor}: its height and width must be "
                    f"multiples of {self._factor}."
                )
        return tf.TensorShape(
            [*outer, _divide(height, self._factor), _divide(width, self._factor), _times(channels, self._factor**2)]
        )

    def _forward_event_shape(self, latent_shape):
        *outer, height, width, channels = latent_shape
        if channels is not None and channels % self._factor**2:
            raise ValueError(
                f"Cannot unsqueeze a latent of shape {latent_shape} by {self._factor}: its channels are not a multiple "
                f"of {self._factor**2}."
            )
        return tf.TensorShape(
            [*outer, _times(height, self._factor), _times(width, self._factor), _divide(channels, self._factor**2)]
        )

    def _inverse_event_shape_tensor(self, image_shape):
        f = self._factor
        return tf.concat([image_shape[:-3], image_shape[-3:] // [f, f, 1] * [1, 1, f * f]], axis=0)

    def _forward_event_shape_tensor(self, latent_shape):
        f = self._factor
        return tf.concat([latent_shape[:-3], latent_shape[-3:] * [f, f, 1] // [1, 1, f * f]], axis=0)


class Unsqueeze(Bijector):
    """Data to latent: `inverse` undoes the `inverse` of a `Squeeze`, `[..., H, W, f*f*C]` to `[..., f*H, f*W, C]`.

    The log-determinant is 0. In a `Chain` a condition of image shape is unsqueezed for the bijectors that follow. At the end of a
    chain that begins with a `Squeeze`, this bijector gives the latent the shape of the image.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import Chain, InvertibleConv, Squeeze, Unsqueeze
      >>> flow = Chain([Squeeze(), InvertibleConv(12), Unsqueeze()])
      >>> print(flow.inverse(tf.zeros([2, 4, 4, 3])).shape)
      (2, 4, 4, 3)
      >>> print(Unsqueeze().inverse(tf.reshape([1.0, 2.0, 3.0, 4.0], [1, 1, 1, 4]))[0, :, :, 0].numpy())
      [[1. 2.]
       [3. 4.]]
    """

    def __init__(
        self, factor: int = 2, order: str = "channel_first", validate_args: bool = False, name: str = "unsqueeze"
    ) -> None:
        """Creates the bijector; arguments and errors are those of `Squeeze`."""
        parameters = dict(locals())
        self._squeeze = Squeeze(factor, order)
        super().__init__(
            forward_min_event_ndims=3,
            is_constant_jacobian=True,
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    def squeeze_condition(self, condition: Any, batch_ndims: int) -> Any:
        """Undoes for a condition what a `Squeeze` does to it."""
        return self._squeeze.unsqueeze_condition(condition, batch_ndims)

    def _inverse_and_log_det(self, y):
        return self._squeeze.forward_and_log_det(y)

    def _forward_and_log_det(self, x):
        return self._squeeze.inverse_and_log_det(x)

    def _inverse_event_shape(self, shape):
        return self._squeeze.forward_event_shape(shape)

    def _forward_event_shape(self, shape):
        return self._squeeze.inverse_event_shape(shape)

    def _inverse_event_shape_tensor(self, shape):
        return self._squeeze.forward_event_shape_tensor(shape)

    def _forward_event_shape_tensor(self, shape):
        return self._squeeze.inverse_event_shape_tensor(shape)


def _divide(size, by):
    return None if size is None else size // by


def _times(size, by):
    return None if size is None else size * by
