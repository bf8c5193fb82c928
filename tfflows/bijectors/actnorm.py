"""Activation normalization."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfflows.bijectors.base import Bijector, broadcast_log_det
from tfflows.math import actnorm
from tfflows.math.shapes import sizes_of
from tfflows.tracing.gradients import INVERSE
from tfflows.tracing.variables import public_children, walk

FORMS = ("shift_then_scale", "scale_then_shift", "positive_scale_then_shift", "exp_scale_then_shift")


class ActNorm(Bijector):
    """Data to latent: `inverse(y) = (y + bias) * exp(log_scale_factor * log_scale)`, per channel or per activation.

    With `form='scale_then_shift'` it is `inverse(y) = scale * y + bias`, as in Glow's paper; with
    `'positive_scale_then_shift'` it is Flow++'s `max(scale, 1e-10) * y + bias`; with `'exp_scale_then_shift'` it is MaCow's
    `exp(log_scale) * y + bias`. The log-determinant of an event is the sum of the (effective) log-scales over all its
    activations: `H * W * sum_c log_scale_c` for images with per-channel parameters.

    The parameters start at the identity. `initialize(batch)` sets them so that the batch leaves with zero mean and standard
    deviation `initial_scale` (data-dependent initialization).

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import ActNorm
      >>> actnorm = ActNorm(parameter_shape=[1])
      >>> images = tf.reshape([1.0, 1.0, 5.0, 5.0], [1, 2, 2, 1])  # mean 3, standard deviation 2
      >>> latent = actnorm.initialize(images)  # once, on the first batch
      >>> print(latent.numpy().ravel().round(3))
      [-1. -1.  1.  1.]

      The scale is 1/2 at each of the 4 activations, so the log-determinant is -4 ln 2:

      >>> print(actnorm.inverse_log_det_jacobian(images).numpy().round(4))
      [-2.7726]

    References:
      Kingma & Dhariwal 2018, section 3.1, https://arxiv.org/abs/1807.03039; released code (openai/glow) for
      `shift_then_scale` and the factor of 3. Parameters per activation: Ho et al. 2019, https://arxiv.org/abs/1902.00275.
      `exp_scale_then_shift`: Ma et al. 2019, https://arxiv.org/abs/1902.04208, released code.
    """

    def __init__(
        self,
        parameter_shape: Sequence[int] | tf.TensorShape,
        event_ndims: int = 3,
        form: str = "shift_then_scale",
        log_scale_factor: float = 3.0,
        initial_scale: float = 1.0,
        dtype: tf.DType | str = tf.float32,
        validate_args: bool = False,
        name: str = "actnorm",
    ) -> None:
        """Creates the parameters.

        Args:
          parameter_shape: Suffix of the event shape: `[C]` for parameters per channel, `[H, W, C]` per activation.
          event_ndims: Number of axes of an event: 3 for images `[H, W, C]`, 1 for vectors.
          form: `'shift_then_scale'` (released Glow), `'scale_then_shift'` (its paper), `'positive_scale_then_shift'` (released
            Flow++) or `'exp_scale_then_shift'` (released MaCow).
          log_scale_factor: Factor of the stored log-scale, 3 in the released code. Used by `shift_then_scale` only.
          initial_scale: Standard deviation of the latent after `initialize`.
          dtype: Dtype of the parameters and the data.
          validate_args: As in TFP.
          name: As in TFP.

        Raises:
          ValueError: If `form` is unknown, or `parameter_shape` is empty or longer than the event.
        """
        parameters = dict(locals())
        if form not in FORMS:
            raise ValueError(f"form must be one of {FORMS}, got {form!r}.")
        parameter_shape = tf.TensorShape(parameter_shape).as_list()
        if not 1 <= len(parameter_shape) <= event_ndims:
            raise ValueError(f"parameter_shape must have 1 to event_ndims={event_ndims} axes, got {parameter_shape}.")
        self._form = form
        self._log_scale_factor = log_scale_factor
        self._initial_scale = initial_scale
        self.bias = tf.Variable(tf.zeros(parameter_shape, dtype), name="bias")
        if form in ("shift_then_scale", "exp_scale_then_shift"):
            self.log_scale = tf.Variable(tf.zeros(parameter_shape, dtype), name="log_scale")
        else:
            self.scale = tf.Variable(tf.ones(parameter_shape, dtype), name="scale")
        super().__init__(
            forward_min_event_ndims=event_ndims,
            is_constant_jacobian=True,
            dtype=dtype,
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    @property
    def form(self) -> str:
        """Order of scale and shift, one of `FORMS`."""
        return self._form

    @property
    def effective_log_scale(self) -> tf.Tensor:
        """What the log-determinant sums: the log-scale of each parameter, whatever the form in which it is stored."""
        return self._effective_log_scale()

    def _effective_log_scale(self):
        if self._form == "exp_scale_then_shift":
            return tf.convert_to_tensor(self.log_scale)
        if self._form == "shift_then_scale":
            return self._log_scale_factor * self.log_scale
        positive = self._form == "positive_scale_then_shift"
        return tf.math.log(actnorm.at_least(self.scale) if positive else tf.abs(self.scale))

    def _stored_scale(self):
        return self.log_scale if self._form == "exp_scale_then_shift" else self.scale

    def _known_event_shape(self, direction):
        free = [None] * (self.forward_min_event_ndims - self.bias.shape.rank)
        return [
            *free,
            *(None if size == 1 else size for size in self.bias.shape),
        ]  # one parameter may serve a whole axis

    def _log_det(self, x, log_scale):
        event_shape = sizes_of(x)[x.shape.rank - self.forward_min_event_ndims :]
        log_det = actnorm.per_event_log_det(log_scale, event_shape)
        return broadcast_log_det(log_det, x, self.forward_min_event_ndims)

    def _inverse_and_log_det(self, y):
        log_scale = self._effective_log_scale()
        if self._form == "shift_then_scale":
            x = actnorm.shift_then_scale(y, self.bias, log_scale)
        else:
            x = _SCALE_THEN_SHIFT[self._form][0](y, self._stored_scale(), self.bias)
        return x, self._log_det(y, log_scale)

    def _forward_and_log_det(self, x):
        log_scale = self._effective_log_scale()
        if self._form == "shift_then_scale":
            y = actnorm.unscale_then_unshift(x, self.bias, log_scale)
        else:
            y = _SCALE_THEN_SHIFT[self._form][1](x, self._stored_scale(), self.bias)
        return y, -self._log_det(x, log_scale)

    def initialize(self, y: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """Sets bias and scale from the moments of a batch.

        These are population moments, and 1e-6 is added to the standard deviation. In Flow++'s form 1e-8 is added to the
        variance instead. MaCow's form takes the unbiased standard deviation of the output, plus 1e-6.

        Args:
          y: Batch of data, shape `[..., event]`.
          condition: None; there is no condition to take.

        Returns:
          The latent of the batch under the new parameters, with the shape of `y`.
        """
        y, condition = self._checked_input(INVERSE, y, condition)
        if self._form == "exp_scale_then_shift":
            log_scale, bias = actnorm.data_dependent_exp_scale_then_shift(
                y, tf.convert_to_tensor(self.log_scale), tf.convert_to_tensor(self.bias), self._initial_scale
            )
            self.log_scale.assign(log_scale)
            self.bias.assign(bias)
            return super().initialize(y, condition)
        if self._form == "positive_scale_then_shift":
            scale, bias = actnorm.data_dependent_scale_then_shift(y, self.bias.shape.rank, self._initial_scale)
            self.scale.assign(scale)
            self.bias.assign(bias)
            return super().initialize(y, condition)
        bias, log_scale = actnorm.data_dependent_shift_then_scale(y, self.bias.shape.rank, self._initial_scale)
        if self._form == "shift_then_scale":
            self.bias.assign(bias)
            self.log_scale.assign(log_scale / self._log_scale_factor)
        else:
            self.scale.assign(tf.exp(log_scale))
            self.bias.assign(bias * tf.exp(log_scale))
        return super().initialize(y, condition)


def actnorm_log_scales(module: Any) -> dict[str, tf.Tensor]:
    """Returns the `effective_log_scale` of each `ActNorm` below a module by its path, such as `levels/0/steps/3/actnorm`.

    Args:
      module: A bijector, distribution or other module.

    Example:
      >>> from tfflows.bijectors import ActNorm, Chain, InvertibleConv
      >>> from tfflows.bijectors.actnorm import actnorm_log_scales
      >>> {name: scale.shape for name, scale in actnorm_log_scales(Chain([ActNorm([3]), InvertibleConv(3)])).items()}
      {'bijectors/0': TensorShape([3])}
    """
    found = {}

    def visit(value, path, place, number):
        del place
        if isinstance(value, ActNorm) and number is None:
            found["/".join(map(str, path))] = value.effective_log_scale
        return True

    walk(module, public_children, visit)
    return found


_SCALE_THEN_SHIFT = {
    "scale_then_shift": (actnorm.scale_then_shift, actnorm.unshift_then_unscale),
    "positive_scale_then_shift": (actnorm.positive_scale_then_shift, actnorm.unshift_then_positive_unscale),
    "exp_scale_then_shift": (actnorm.exp_scale_then_shift, actnorm.unshift_then_exp_unscale),
}
