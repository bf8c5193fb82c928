"""Checkerboard splits: the two colours become two halves of the channels."""

import tensorflow as tf

from tfflows.bijectors.base import Bijector, broadcast_log_det
from tfflows.math.squeeze import PATTERNS, merge_colours, split_colours


class _Checkerboard(Bijector):
    """What split and merge share; log-determinant 0."""

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
        if x.shape[-2] is not None and x.shape[-2] % 2:
            raise ValueError(f"{self.name} needs an even width, got an input of shape {x.shape}.")
        return split_colours(x, self._pattern), broadcast_log_det(0.0, x, 3)

    def _merge(self, x):
        if x.shape[-1] % 2:
            raise ValueError(f"{self.name} needs an even number of channels, got an input of shape {x.shape}.")
        return merge_colours(x, self._pattern), broadcast_log_det(0.0, x, 3)


def _split_shape(shape):
    *outer, height, width, channels = shape
    return tf.TensorShape([*outer, height, None if width is None else width // 2, channels and 2 * channels])


def _merged_shape(shape):
    *outer, height, width, channels = shape
    return tf.TensorShape([*outer, height, None if width is None else 2 * width, channels and channels // 2])


def _split_shape_tensor(shape):
    return tf.concat([shape[:-2], shape[-2:] // [2, 1] * [1, 2]], axis=0)


def _merged_shape_tensor(shape):
    return tf.concat([shape[:-2], shape[-2:] * [2, 1] // [1, 2]], axis=0)


class CheckerboardSplit(_Checkerboard):
    """Data to latent: `[..., H, W, C] -> [..., H, W/2, 2 C]`; couplings of halves of the channels then couple the colours.

    #### Examples

    ```python
    stage = Chain([CheckerboardSplit(), *steps, CheckerboardMerge()])
    ```

    #### References

    Dinh et al. 2017, section 3.4; Ho et al. 2019, section 3.4. The released Flow++ splits even from odd columns under this
    name: `pattern='columns'`.
    """

    def __init__(self, pattern="columns", validate_args=False, name="checkerboard_split"):
        """Args: pattern: `'columns'` (released code) or `'checkerboard'` (paper); validate_args, name: as in TFP."""
        super().__init__(pattern, validate_args, dict(locals()), name)

    def _inverse_and_log_det(self, y):
        return self._split(y)

    def _forward_and_log_det(self, x):
        return self._merge(x)

    def _inverse_event_shape(self, shape):
        return _split_shape(shape)

    def _forward_event_shape(self, shape):
        return _merged_shape(shape)

    def _inverse_event_shape_tensor(self, shape):
        return _split_shape_tensor(shape)

    def _forward_event_shape_tensor(self, shape):
        return _merged_shape_tensor(shape)


class CheckerboardMerge(_Checkerboard):
    """Data to latent: the inverse of `CheckerboardSplit`, at the end of a stage."""

    def __init__(self, pattern="columns", validate_args=False, name="checkerboard_merge"):
        """Args: as for `CheckerboardSplit`."""
        super().__init__(pattern, validate_args, dict(locals()), name)

    def _inverse_and_log_det(self, y):
        return self._merge(y)

    def _forward_and_log_det(self, x):
        return self._split(x)

    def _inverse_event_shape(self, shape):
        return _merged_shape(shape)

    def _forward_event_shape(self, shape):
        return _split_shape(shape)

    def _inverse_event_shape_tensor(self, shape):
        return _merged_shape_tensor(shape)

    def _forward_event_shape_tensor(self, shape):
        return _split_shape_tensor(shape)
