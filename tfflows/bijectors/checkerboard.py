"""Checkerboard splits: the two colours become two halves of the channels."""

import tensorflow as tf

from tfflows.bijectors.base import Bijector, broadcast_log_det
from tfflows.math.squeeze import PATTERNS, merge_colours, split_colours


class _Checkerboard(Bijector):
    """What split and merge have in common; the log-determinant is 0."""

    def __init__(self, pattern, validate_args, parameters, name):
        if pattern not in PATTERNS:
            raise ValueError(f"pattern must be one of {PATTERNS}, got {pattern!r}.")
        self._pattern = pattern
        super().__init__(
            forward_min_event_ndims=3,
            is_constant_jacobian=True,
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    def _split(self, x):
        return split_colours(x, self._pattern), broadcast_log_det(0.0, x, 3)

    def _merge(self, x):
        return merge_colours(x, self._pattern), broadcast_log_det(0.0, x, 3)

    def _split_shape(self, shape):
        *outer, height, width, channels = shape
        if width is not None and width % 2:
            raise ValueError(f"{self._described()} needs an even width, got shape {shape}.")
        return tf.TensorShape([*outer, height, width and width // 2, channels and 2 * channels])

    def _merged_shape(self, shape):
        *outer, height, width, channels = shape
        if channels is not None and channels % 2:
            raise ValueError(f"{self._described()} needs an even number of channels, got shape {shape}.")
        return tf.TensorShape([*outer, height, width and 2 * width, channels and channels // 2])


def _split_shape_tensor(shape):
    return tf.concat([shape[:-2], shape[-2:] // [2, 1] * [1, 2]], axis=0)


def _merged_shape_tensor(shape):
    return tf.concat([shape[:-2], shape[-2:] * [2, 1] // [1, 2]], axis=0)


class CheckerboardSplit(_Checkerboard):
    """Data to latent: `[..., H, W, C] -> [..., H, W/2, 2 C]`, one colour in each half of the channels; log-determinant 0.

    Couplings that split the channels in two halves then transform one colour given the other.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import CheckerboardSplit
      >>> image = tf.reshape([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], [1, 2, 4, 1])
      >>> print(image[0, :, :, 0].numpy())
      [[1. 2. 3. 4.]
       [5. 6. 7. 8.]]
      >>> print(CheckerboardSplit("columns").inverse(image)[0, :, :, 0].numpy())
      [[1. 3.]
       [5. 7.]]
      >>> print(CheckerboardSplit("checkerboard").inverse(image)[0, :, :, 0].numpy())
      [[1. 3.]
       [6. 8.]]

    References:
      Dinh et al. 2017, section 3.4, https://arxiv.org/abs/1605.08803; Ho et al. 2019, section 4,
      https://arxiv.org/abs/1902.00275. What the released Flow++ code calls a checkerboard splits even from odd columns:
      `pattern='columns'`.
    """

    def __init__(self, pattern: str = "columns", validate_args: bool = False, name: str = "checkerboard_split") -> None:
        """Creates the split.

        Args:
          pattern: `'columns'` (released code) or `'checkerboard'` (paper).
          validate_args: As in TFP.
          name: As in TFP.

        Raises:
          ValueError: If `pattern` is unknown.
        """
        super().__init__(pattern, validate_args, dict(locals()), name)

    def _inverse_and_log_det(self, y):
        return self._split(y)

    def _forward_and_log_det(self, x):
        return self._merge(x)

    def _inverse_event_shape(self, shape):
        return self._split_shape(shape)

    def _forward_event_shape(self, shape):
        return self._merged_shape(shape)

    def _inverse_event_shape_tensor(self, shape):
        return _split_shape_tensor(shape)

    def _forward_event_shape_tensor(self, shape):
        return _merged_shape_tensor(shape)


class CheckerboardMerge(_Checkerboard):
    """Data to latent: undoes `CheckerboardSplit` at the end of a stage; log-determinant 0.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import Chain, CheckerboardMerge, CheckerboardSplit
      >>> images = tf.random.stateless_normal([2, 4, 4, 3], seed=[0, 0])
      >>> print(CheckerboardSplit().inverse(images).shape)
      (2, 4, 2, 6)
      >>> stage = Chain([CheckerboardSplit(), CheckerboardMerge()])  # the steps of a stage go in between
      >>> print(bool(tf.reduce_all(stage.inverse(images) == images)))
      True
    """

    def __init__(self, pattern: str = "columns", validate_args: bool = False, name: str = "checkerboard_merge") -> None:
        """Creates the merge; arguments and errors are those of `CheckerboardSplit`."""
        super().__init__(pattern, validate_args, dict(locals()), name)

    def _inverse_and_log_det(self, y):
        return self._merge(y)

    def _forward_and_log_det(self, x):
        return self._split(x)

    def _inverse_event_shape(self, shape):
        return self._merged_shape(shape)

    def _forward_event_shape(self, shape):
        return self._split_shape(shape)

    def _inverse_event_shape_tensor(self, shape):
        return _merged_shape_tensor(shape)

    def _forward_event_shape_tensor(self, shape):
        return _split_shape_tensor(shape)
