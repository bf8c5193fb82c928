"""Coupling layers: some of the channels, usually half of them, are transformed given the others."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfflows.bijectors.base import Bijector, broadcast_log_det
from tfflows.bijectors.parts import check_network_dtype, flat_condition
from tfflows.math import coupling
from tfflows.math.shapes import flatten_batch, sizes_of, unflatten_batch
from tfflows.tracing import gradients
from tfflows.tracing.variables import variables_of_layers

HALVES = ("first", "second")


class Coupling(Bijector):
    """Base class of couplings: splits the channels, calls the network, transforms one part and joins the two.

    A subclass says how many channels the network gives per transformed channel (`_parameters_per_channel`), and how they
    transform a part (`_encode(transformed, parameters)`, data to latent, and `_decode`, both returning the value and the
    log-determinant).

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import AffineCoupling, Coupling
      >>> print(issubclass(AffineCoupling, Coupling))
      True
      >>> class ScaleCoupling(Coupling):
      ...     def __init__(self, network):
      ...         super().__init__(network, "first", False, 3, tf.float32, False, None, "scale_coupling")
      ...
      ...     def _encode(self, transformed, log_scale):
      ...         return transformed * tf.exp(log_scale), tf.reduce_sum(log_scale, axis=[-3, -2, -1])
      ...
      ...     def _decode(self, transformed, log_scale):
      ...         return transformed * tf.exp(-log_scale), -tf.reduce_sum(log_scale, axis=[-3, -2, -1])
      >>> coupling = ScaleCoupling(network=tf.math.log)
      >>> latent, log_det = coupling.inverse_and_log_det(tf.reshape([2.0, 5.0], [1, 1, 1, 2]))
      >>> print(latent.numpy().ravel(), log_det.numpy().round(4))  # [a, b * a], ln a
      [ 2. 10.] [0.6931]
    """

    # Number of channels that the network gives per transformed channel.
    _parameters_per_channel = 1

    def __init__(
        self,
        network: Callable[..., tf.Tensor],
        conditioning_half: str,
        conditional: bool | str,
        event_ndims: int,
        dtype: tf.DType | str,
        validate_args: bool,
        parameters: dict[str, Any] | None,
        name: str,
        transformed_channels: int | None = None,
    ) -> None:
        """Creates the coupling.

        Args:
          network: Callable that gives the parameters of the transformed part from the other part: a built Keras layer, a
            `tf.Module` or a function. Its second argument is the condition, if `conditional`.
          conditioning_half: `'first'` or `'second'`: the part that passes unchanged.
          conditional: Whether the network takes `condition=`; `'optional'` if the condition may be missing (the network then
            gets None).
          event_ndims: Number of axes of an event.
          dtype: Dtype of the data.
          validate_args: As in TFP.
          parameters: Arguments of the subclass's `__init__`, for TFP.
          name: As in TFP.
          transformed_channels: Number of transformed channels, if not half of them; the others condition.

        Raises:
          ValueError: If `conditioning_half` is unknown, `transformed_channels` is not positive, or the network is a Keras
            layer that has not been built.
        """
        if conditioning_half not in HALVES:
            raise ValueError(f"conditioning_half must be one of {HALVES}, got {conditioning_half!r}.")
        if transformed_channels is not None and transformed_channels < 1:
            raise ValueError(f"transformed_channels must be at least 1, got {transformed_channels}.")
        self.network = network
        self._layer_variables = variables_of_layers(network)
        self._conditioning_half = conditioning_half
        self._transformed_channels = transformed_channels
        self.takes_condition = bool(conditional)
        self._condition_is_optional = conditional == "optional"
        super().__init__(
            forward_min_event_ndims=event_ndims,
            dtype=dtype,
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    def _split(self, x):
        channels, transformed = self._channels_of(x), self._transformed_channels
        if transformed is None:
            first, second = self._halves_of(x)
            return (first, second) if self._conditioning_half == "first" else (second, first)
        if channels <= transformed:
            raise ValueError(
                f"{self.name} transforms {transformed} channels given the others, so it needs more channels; got an input of "
                f"shape {x.shape}."
            )
        sizes = [channels - transformed, transformed]
        conditioning_first = self._conditioning_half == "first"
        first, second = tf.split(x, sizes if conditioning_first else sizes[::-1], axis=-1)
        return (first, second) if conditioning_first else (second, first)

    def _join(self, conditioning, transformed):
        parts = [conditioning, transformed]
        return tf.concat(parts if self._conditioning_half == "first" else parts[::-1], axis=-1)

    def _network_output(self, conditioning, condition, run):
        event_ndims = self.forward_min_event_ndims
        inputs = [flatten_batch(conditioning, event_ndims)]
        if self.takes_condition:
            if condition is None and not self._condition_is_optional:
                raise ValueError(f"{self.name} needs a condition; pass condition=.")
            inputs.append(flat_condition(condition, conditioning.shape.rank - event_ndims))
        return unflatten_batch(run(*inputs), conditioning, event_ndims)

    def _parameters_of(self, conditioning, condition):
        return self._checked(self._network_output(conditioning, condition, self.network), conditioning)

    def _checked(self, parameters, conditioning):
        *outer, channels = conditioning.shape
        transformed = channels if self._transformed_channels is None else self._transformed_channels
        if transformed is None:
            raise ValueError(
                f"{self._described()} needs to know the number of channels; got an input of shape {conditioning.shape}."
            )
        expected = tf.TensorShape([*outer, self._parameters_per_channel * transformed])
        # Broadcasting would hide a wrong shape and give a wrong log-determinant.
        if not parameters.shape.is_compatible_with(expected):
            raise ValueError(
                f"The network of {self.name} gave {parameters.shape} for an input of shape {conditioning.shape}; it must "
                f"give {expected}."
            )
        check_network_dtype(self, parameters)
        return parameters

    def _inverse_and_log_det(self, y, condition=None):
        conditioning, transformed = self._split(y)
        parameters = self._parameters_of(conditioning, condition)
        transformed, log_det = self._encode(transformed, parameters)
        return self._join(conditioning, transformed), log_det

    def _forward_and_log_det(self, x, condition=None):
        conditioning, transformed = self._split(x)
        parameters = self._parameters_of(conditioning, condition)
        transformed, log_det = self._decode(transformed, parameters)
        return self._join(conditioning, transformed), log_det

    def _rebuild_and_gradient(self, direction, y, upstream, condition, values):
        # As in the base class, but the network, which sees the part that passes unchanged, runs only once.
        d_y, d_log_det = upstream
        conditioning, transformed = self._split(y)
        d_conditioning, d_transformed = self._split(d_y)
        there, back = (self._encode, self._decode) if direction == gradients.INVERSE else (self._decode, self._encode)
        sources = (conditioning, condition, values)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            gradients.watch(tape, sources)
            parameters = self._parameters_of(conditioning, condition)
            with tape.stop_recording():
                original, _ = back(transformed, parameters)
            tape.watch(original)
            results = there(original, parameters)
        d_original, (d_network, d_condition, d_values) = gradients.gradients(
            tape, results, (original, sources), [d_transformed, d_log_det]
        )
        d_conditioning = gradients.add(d_conditioning, d_network)
        return self._join(conditioning, original), self._join(d_conditioning, d_original), d_condition, d_values

    def initialize(self, y: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """Initializes the network from a batch, if it has `initialize`, and returns the latent, in one call of the network."""
        y, condition = self._checked_input(gradients.INVERSE, y, condition)
        conditioning, transformed = self._split(y)
        run = getattr(self.network, "initialize", self.network)
        parameters = self._checked(self._network_output(conditioning, condition, run), conditioning)
        return self._join(conditioning, self._encode(transformed, parameters)[0])


class AdditiveCoupling(Coupling):
    """Data to latent: `inverse(y) = [a, b + f(a)]` with `[a, b] = y` the halves of the channels; log-determinant 0.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import AdditiveCoupling
      >>> coupling = AdditiveCoupling(network=tf.square)
      >>> image = tf.reshape([3.0, 1.0], [1, 1, 1, 2])
      >>> print(coupling.inverse(image).numpy().ravel())  # [a, b + a ** 2]
      [ 3. 10.]

      With a network that has variables, which must be built:

      >>> from tfflows.networks import CouplingNetwork
      >>> network = CouplingNetwork(width=8, filters=6)
      >>> network.build([None, 4, 4, 6])
      >>> coupling = AdditiveCoupling(network)
      >>> images = tf.random.stateless_normal([2, 4, 4, 12], seed=[0, 0])
      >>> print(bool(tf.reduce_all(coupling.inverse(images) == images)))  # the network starts at zero
      True

    References:
      Dinh et al. 2014, https://arxiv.org/abs/1410.8516; Kingma & Dhariwal 2018, section 3.3,
      https://arxiv.org/abs/1807.03039.
    """

    def __init__(
        self,
        network: Callable[..., tf.Tensor],
        conditioning_half: str = "first",
        conditional: bool | str = False,
        event_ndims: int = 3,
        transformed_channels: int | None = None,
        dtype: tf.DType | str = tf.float32,
        validate_args: bool = False,
        name: str = "additive_coupling",
    ) -> None:
        """Creates the coupling.

        Args:
          network: Callable `[B, ..., C/2] -> [B, ..., C/2]`: a built Keras layer, a `tf.Module` or a function. Its second
            argument is the condition, if `conditional`.
          conditioning_half: `'first'` (released code) or `'second'` (paper): the half that passes unchanged.
          conditional: Whether the network takes `condition=`; `'optional'` if the condition may be missing (the network then
            gets None).
          event_ndims: Number of axes of an event.
          transformed_channels: Number of transformed channels, if not half of them; the others condition.
          dtype: Dtype of the data.
          validate_args: As in TFP.
          name: As in TFP.

        Raises:
          ValueError: As for `Coupling`.
        """
        parameters = dict(locals())
        super().__init__(
            network,
            conditioning_half,
            conditional,
            event_ndims,
            dtype,
            validate_args,
            parameters,
            name,
            transformed_channels,
        )

    def _encode(self, transformed, parameters):
        return transformed + parameters, broadcast_log_det(0.0, transformed, self.forward_min_event_ndims)

    def _decode(self, transformed, parameters):
        return transformed - parameters, broadcast_log_det(0.0, transformed, self.forward_min_event_ndims)


class _Affine(Coupling):
    """The maths of affine couplings, whatever they split."""

    _parameters_per_channel = 2

    def _take_form(self, scale, order, parameter_order, initial_rescaling, dtype):
        scales = (*coupling.LOG_SCALES, _RESCALED)
        if not callable(scale) and scale not in scales:
            raise ValueError(f"scale must be one of {scales} or a function, got {scale!r}.")
        if order not in _ORDERS:
            raise ValueError(f"order must be one of {tuple(_ORDERS)}, got {order!r}.")
        if parameter_order not in coupling.CHANNEL_SPLITS:
            raise ValueError(
                f"parameter_order must be one of {tuple(coupling.CHANNEL_SPLITS)}, got {parameter_order!r}."
            )
        self._is_rescaled = scale == _RESCALED
        if self._is_rescaled:
            self.rescaling = tf.Variable(tf.constant(initial_rescaling, dtype), name="rescaling")
        else:
            self._log_scale = scale if callable(scale) else coupling.LOG_SCALES[scale]
        self._transform, self._inverse_transform = _ORDERS[order]
        self._split_parameters = coupling.CHANNEL_SPLITS[parameter_order]

    def _shift_and_log_scale(self, parameters):
        shift, raw_scale = self._split_parameters(parameters)
        if self._is_rescaled:
            return shift, coupling.rescaled_tanh_log_scale(raw_scale, tf.convert_to_tensor(self.rescaling))
        return shift, self._log_scale(raw_scale)

    def _log_det(self, log_scale):
        return tf.reduce_sum(log_scale, axis=list(range(-self.forward_min_event_ndims, 0)))

    def _encode(self, transformed, parameters):
        shift, log_scale = self._shift_and_log_scale(parameters)
        return self._transform(transformed, shift, log_scale), self._log_det(log_scale)

    def _decode(self, transformed, parameters):
        shift, log_scale = self._shift_and_log_scale(parameters)
        return self._inverse_transform(transformed, shift, log_scale), -self._log_det(log_scale)


class AffineCoupling(_Affine):
    """Data to latent: `inverse(y) = [a, (b + t) * s]`, `(t, r) = f(a)`, `s = sigmoid(r + 2)`; log-determinant `sum ln s`.

    The paper's form is `scale='exp'` (`s = exp(r)`) with `order='scale_then_shift'` (`b * s + t`). With a network that is zero
    at initialization, `'sigmoid'` starts at a scale of 0.8808, not at the identity.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import AffineCoupling
      >>> from tfflows.networks import CouplingNetwork
      >>> network = CouplingNetwork(width=8, filters=12)  # a shift and a scale per transformed channel
      >>> network.build([None, 4, 4, 6])
      >>> coupling = AffineCoupling(network)
      >>> images = tf.random.stateless_normal([2, 4, 4, 12], seed=[0, 0])
      >>> latent, log_det = coupling.inverse_and_log_det(images)
      >>> print(log_det.numpy().round(3))  # the network starts at zero: 4 * 4 * 6 * ln 0.8808
      [-12.185 -12.185]

      In the paper's form, with a network that can be followed by hand:

      >>> coupling = AffineCoupling(
      ...     network=lambda a: tf.concat([10 * a, tf.math.log(a)], axis=-1),
      ...     scale="exp", order="scale_then_shift", parameter_order="contiguous",
      ... )
      >>> latent, log_det = coupling.inverse_and_log_det(tf.reshape([2.0, 5.0], [1, 1, 1, 2]))
      >>> print(latent.numpy().ravel(), log_det.numpy().round(4))  # [a, b * a + 10 * a], ln a
      [ 2. 30.] [0.6931]

    References:
      Dinh et al. 2017, https://arxiv.org/abs/1605.08803; Kingma & Dhariwal 2018, section 3.3,
      https://arxiv.org/abs/1807.03039, and released code (openai/glow).
    """

    def __init__(
        self,
        network: Callable[..., tf.Tensor],
        scale: str | Callable[[tf.Tensor], tf.Tensor] = "sigmoid",
        order: str = "shift_then_scale",
        parameter_order: str = "interleaved",
        conditioning_half: str = "first",
        conditional: bool | str = False,
        event_ndims: int = 3,
        transformed_channels: int | None = None,
        initial_rescaling: float = 1.0,
        dtype: tf.DType | str = tf.float32,
        validate_args: bool = False,
        name: str = "affine_coupling",
    ) -> None:
        """Creates the coupling.

        Args:
          network: Callable `[B, ..., C/2] -> [B, ..., C]`: a built Keras layer, a `tf.Module` or a function. Its second
            argument is the condition, if `conditional`.
          scale: `'sigmoid'` (released Glow), `'exp'` (its paper), `'tanh'` (`s = exp(tanh r)`, released Flow++),
            `'rescaled_tanh'` (`s = exp(a tanh r)` with one learned a, released RealNVP), or an elementwise function `r -> ln s`.
          order: `'shift_then_scale'` (released code) or `'scale_then_shift'` (paper).
          parameter_order: Where the network's channels hold shift and raw scale: `'interleaved'` (even and odd channels,
            released code) or `'contiguous'` (first and last half).
          conditioning_half: `'first'` (released code) or `'second'` (paper): the half that passes unchanged.
          conditional: Whether the network takes `condition=`; `'optional'` if the condition may be missing (the network then
            gets None).
          event_ndims: Number of axes of an event.
          transformed_channels: Number of transformed channels, if not half of them; the others condition.
          initial_rescaling: First value of a, for `scale='rescaled_tanh'`.
          dtype: Dtype of the data.
          validate_args: As in TFP.
          name: As in TFP.

        Raises:
          ValueError: If `scale`, `order` or `parameter_order` is unknown, or as for `Coupling`.
        """
        parameters = dict(locals())
        self._take_form(scale, order, parameter_order, initial_rescaling, dtype)
        self._is_released_form = (scale, order) == ("sigmoid", "shift_then_scale")
        super().__init__(
            network,
            conditioning_half,
            conditional,
            event_ndims,
            dtype,
            validate_args,
            parameters,
            name,
            transformed_channels,
        )

    def _encode(self, transformed, parameters):
        if self._is_released_form:
            y, log_scale = coupling.shift_then_sigmoid_scale(transformed, *self._split_parameters(parameters))
            return y, self._log_det(log_scale)
        return super()._encode(transformed, parameters)


class CheckerboardAffineCoupling(_Affine):
    """Data to latent: the pixels of one colour of the checkerboard are transformed, `(x + t) * s`, given those of the other.

    The network sees the image with zeros where it is transformed, `(t, r) = f(x * b)`, with b the mask of the conditioning
    colour. By default `s = exp(a tanh r)`, with one learned a that starts at 0. The log-determinant is the sum of `ln s` over
    the transformed pixels.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import CheckerboardAffineCoupling
      >>> def network(x):  # t = the sum of the pixels that condition, r = 1
      ...     total = tf.reduce_sum(x, axis=[1, 2], keepdims=True) + tf.zeros_like(x)
      ...     return tf.concat([total, tf.ones_like(x)], axis=-1)
      >>> coupling = CheckerboardAffineCoupling(network, scale="exp")
      >>> image = tf.reshape([1.0, 10.0, 20.0, 2.0], [1, 2, 2, 1])
      >>> latent, log_det = coupling.inverse_and_log_det(image)
      >>> print(latent[0, :, :, 0].numpy().round(2))  # (10 + 3) e and (20 + 3) e
      [[ 1.   35.34]
       [62.52  2.  ]]
      >>> print(log_det.numpy())
      [2.]

    References:
      Dinh et al. 2017, sections 3.3 and 3.4, https://arxiv.org/abs/1605.08803; the order of shift and scale, and the scale, as in
      the released code (tensorflow/models, real_nvp).
    """

    def __init__(
        self,
        network: Callable[..., tf.Tensor],
        conditioning_colour: str = "even",
        scale: str | Callable[[tf.Tensor], tf.Tensor] = "rescaled_tanh",
        order: str = "shift_then_scale",
        parameter_order: str = "contiguous",
        conditional: bool | str = False,
        initial_rescaling: float = 0.0,
        dtype: tf.DType | str = tf.float32,
        validate_args: bool = False,
        name: str = "checkerboard_affine_coupling",
    ) -> None:
        """Creates the coupling of images `[H, W, C]`.

        Args:
          network: Callable `[B, H, W, C] -> [B, H, W, 2 C]`: a built Keras layer, a `tf.Module` or a function. Its second
            argument is the condition, if `conditional`.
          conditioning_colour: The pixels that pass unchanged: `'even'`, where row + column is even (the first coupling of the
            released code), or `'odd'`.
          scale: As for `AffineCoupling`.
          order: As for `AffineCoupling`.
          parameter_order: As for `AffineCoupling`.
          conditional: As for `AffineCoupling`.
          initial_rescaling: First value of a, for `scale='rescaled_tanh'`.
          dtype: Dtype of the data.
          validate_args: As in TFP.
          name: As in TFP.

        Raises:
          ValueError: If `conditioning_colour` is unknown, or as for `AffineCoupling`.
        """
        parameters = dict(locals())
        if conditioning_colour not in coupling.COLOURS:
            raise ValueError(f"conditioning_colour must be one of {coupling.COLOURS}, got {conditioning_colour!r}.")
        self._conditioning_colour = conditioning_colour
        self._take_form(scale, order, parameter_order, initial_rescaling, dtype)
        super().__init__(network, "first", conditional, 3, dtype, validate_args, parameters, name)

    def _mask(self, x):
        height, width = sizes_of(x)[-3:-1]
        return coupling.colour_mask(height, width, self._conditioning_colour)

    def _split(self, x):
        mask, zeros = self._mask(x), tf.zeros_like(x)
        return tf.where(mask, x, zeros), tf.where(mask, zeros, x)

    def _join(self, conditioning, transformed):
        return tf.where(self._mask(transformed), conditioning, transformed)

    def _shift_and_log_scale(self, parameters):
        shift, log_scale = super()._shift_and_log_scale(parameters)
        return shift, tf.where(self._mask(log_scale), tf.zeros_like(log_scale), log_scale)


_RESCALED = "rescaled_tanh"
_ORDERS = {
    "shift_then_scale": (coupling.shift_then_scale, coupling.inverse_shift_then_scale),
    "scale_then_shift": (coupling.scale_then_shift, coupling.inverse_scale_then_shift),
}
