"""Squeeze: space to channels, and back."""

import tensorflow as tf

from tfflows.bijectors.base import Bijector, broadcast_log_det
from tfflows.bijectors.conditions import map_condition
from tfflows.math import squeeze as squeeze_math


class Squeeze(Bijector):
    """Data to latent: `inverse` turns `[..., H, W, C]` into `[..., H/f, W/f, f*f*C]`; `forward` undoes it; log-determinant 0.

    A condition of image shape is not touched here: `Chain` squeezes it along (see `squeeze_condition`).

    #### References

    Dinh et al. 2017, section 3.6. Channel orders: `'channel_first'` in Glow, `'position_first'` (`space_to_depth`) in Flow++,
    VFlow and MaCow.
    """

    def __init__(self, factor=2, order="channel_first", validate_args=False, name="squeeze"):
        """Creates the bijector.

        Args:
          factor: Python `int`, side of the blocks.
          order: One of `tfflows.math.squeeze.CHANNEL_ORDERS`.
          validate_args: As in TFP.
          name: As in TFP.

        Raises:
          ValueError: if `order` is unknown.
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

    def squeeze_condition(self, condition, batch_ndims):
        """The condition as the bijectors behind this one see it: squeezed when it has image shape, else as it is."""
        return self._on_images(squeeze_math.squeeze, condition, batch_ndims)

    def unsqueeze_condition(self, condition, batch_ndims):
        """Inverse of `squeeze_condition`."""
        return self._on_images(squeeze_math.unsqueeze, condition, batch_ndims)

    def _on_images(self, function, condition, batch_ndims):
        def on_tensor(tensor):
            spatial = tensor.shape.rank == batch_ndims + 3
            return function(tensor, self._factor, self._order) if spatial else tensor

        return map_condition(condition, on_tensor=on_tensor)

    def _inverse_and_log_det(self, y):
        self._inverse_event_shape(y.shape[-3:])  # a clear error before the reshape's
        return squeeze_math.squeeze(y, self._factor, self._order), broadcast_log_det(0.0, y, 3)

    def _forward_and_log_det(self, x):
        self._forward_event_shape(x.shape[-3:])
        return squeeze_math.unsqueeze(x, self._factor, self._order), broadcast_log_det(0.0, x, 3)

    def _inverse_event_shape(self, image_shape):
        *outer, height, width, channels = image_shape
        for side in (height, width):
            if side is not None and side % self._factor:
                raise ValueError(
                    f"Cannot squeeze an image of shape {image_shape} by {self._factor}: a side is no multiple."
                )
        return tf.TensorShape(
            [*outer, _divide(height, self._factor), _divide(width, self._factor), _times(channels, self._factor**2)]
        )

    def _forward_event_shape(self, latent_shape):
        *outer, height, width, channels = latent_shape
        if channels is not None and channels % self._factor**2:
            raise ValueError(
                f"Cannot unsqueeze a latent of shape {latent_shape} by {self._factor}: its channels are no multiple of "
                f"{self._factor**2}."
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

    A chain does the same to a condition of image shape. At the end of a chain that began with a `Squeeze` it gives the latent the
    shape of the image.
    """

    def __init__(self, factor=2, order="channel_first", validate_args=False, name="unsqueeze"):
        """Args and errors: as for `Squeeze`."""
        parameters = dict(locals())
        self._squeeze = Squeeze(factor, order)
        super().__init__(
            forward_min_event_ndims=3,
            is_constant_jacobian=True,
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    def squeeze_condition(self, condition, batch_ndims):
        """The condition as the bijectors behind this one see it: undone what a `Squeeze` does to it."""
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
