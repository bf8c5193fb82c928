"""Coupling layers: some of the channels, mostly half, are transformed, given the others."""

import tensorflow as tf

from tfflows.bijectors.base import Bijector, broadcast_log_det
from tfflows.bijectors.conditions import flat_condition
from tfflows.math import coupling
from tfflows.math.shapes import flatten_batch, unflatten_batch
from tfflows.tracing import gradients
from tfflows.tracing.walk import variables_of_layers

HALVES = ("first", "second")


class Coupling(Bijector):
    """What additive and affine couplings share: the split, the network and the join."""

    # Channels of the network's output for each channel that is transformed.
    _parameters_per_channel = 1

    def __init__(
        self,
        network,
        conditioning_half,
        conditional,
        event_ndims,
        dtype,
        validate_args,
        parameters,
        name,
        transformed_channels=None,
    ):
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
        channels, transformed = x.shape[-1], self._transformed_channels
        if transformed is None:
            if channels is None or channels % 2:
                raise ValueError(f"{self.name} splits the channels in two halves; got an input of shape {x.shape}.")
            transformed = channels // 2
        if channels is None or channels <= transformed:
            raise ValueError(
                f"{self.name} transforms {transformed} channels given others; got an input of shape {x.shape}."
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
        expected = tf.TensorShape([*outer, self._parameters_per_channel * transformed])
        # Broadcasting would hide a wrong shape, and count its log-determinant wrongly.
        if not parameters.shape.is_compatible_with(expected):
            raise ValueError(
                f"The network of {self.name} gave {parameters.shape} for an input of shape {conditioning.shape}; it must be "
                f"{expected}."
            )
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
        # As the base class, but the network, which sees the half that passes unchanged, runs once.
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

    def initialize(self, y, condition=None):
        """Lets the network set what depends on data (if it has `initialize`) and returns the latent of `y`, in one call of it."""
        conditioning, transformed = self._split(y)
        run = getattr(self.network, "initialize", self.network)
        parameters = self._checked(self._network_output(conditioning, condition, run), conditioning)
        return self._join(conditioning, self._encode(transformed, parameters)[0])


class AdditiveCoupling(Coupling):
    """Data to latent: `inverse(y) = [a, b + f(a)]` with `[a, b] = y` the halves of the channels; log-determinant 0.

    #### Examples

    ```python
    network = CouplingNetwork(width=512, filters=6)
    network.build([None, 16, 16, 6])
    coupling = AdditiveCoupling(network)     # events [16, 16, 12]
    ```

    #### References

    Dinh et al. 2014; Kingma & Dhariwal 2018, section 3.3.
    """

    def __init__(
        self,
        network,
        conditioning_half="first",
        conditional=False,
        event_ndims=3,
        transformed_channels=None,
        dtype=tf.float32,
        validate_args=False,
        name="additive_coupling",
    ):
        """Creates the coupling.

        Args:
          network: Callable `[B, ..., C/2] -> [B, ..., C/2]`: a built Keras layer, a `tf.Module` or a function. A second
            argument is the condition, if `conditional`.
          conditioning_half: `'first'` (released code) or `'second'` (paper): which half passes unchanged.
          conditional: Whether the network takes `condition=`: Python `bool`, or `'optional'` if it does without, too (it then
            gets None).
          event_ndims: Python `int`, axes of an event.
          transformed_channels: Python `int`, if it is not half of them that are transformed; the others condition.
          dtype: Of the data.
          validate_args: As in TFP.
          name: As in TFP.
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


class AffineCoupling(Coupling):
    """Data to latent: `inverse(y) = [a, (b + t) * s]`, `(t, r) = f(a)`, `s = sigmoid(r + 2)`; log-determinant `sum ln s`.

    The paper's form is `scale='exp'` (`s = exp(r)`) with `order='scale_then_shift'` (`b * s + t`). With a network that is zero
    at init, `'sigmoid'` starts at a scale of 0.8808, not at the identity.

    #### Examples

    ```python
    network = CouplingNetwork(width=512, filters=12)
    network.build([None, 16, 16, 6])
    coupling = AffineCoupling(network)       # events [16, 16, 12]
    ```

    #### References

    Dinh et al. 2017; Kingma & Dhariwal 2018, section 3.3 and the released code.
    """

    _parameters_per_channel = 2

    def __init__(
        self,
        network,
        scale="sigmoid",
        order="shift_then_scale",
        parameter_order="interleaved",
        conditioning_half="first",
        conditional=False,
        event_ndims=3,
        transformed_channels=None,
        dtype=tf.float32,
        validate_args=False,
        name="affine_coupling",
    ):
        """Creates the coupling.

        Args:
          network: Callable `[B, ..., C/2] -> [B, ..., C]`: a built Keras layer, a `tf.Module` or a function. A second
            argument is the condition, if `conditional`.
          scale: `'sigmoid'` (released Glow), `'exp'` (its paper), `'tanh'` (`s = exp(tanh r)`, released Flow++), or a function
            of its own `r -> ln s`, elementwise.
          order: `'shift_then_scale'` (released code) or `'scale_then_shift'` (paper).
          parameter_order: Where the network's channels hold shift and raw scale: `'interleaved'` (even and odd channels,
            released code) or `'contiguous'` (first and last half).
          conditioning_half: `'first'` (released code) or `'second'` (paper): which half passes unchanged.
          conditional: Whether the network takes `condition=`: Python `bool`, or `'optional'` if it does without, too (it then
            gets None).
          event_ndims: Python `int`, axes of an event.
          transformed_channels: Python `int`, if it is not half of them that are transformed; the others condition.
          dtype: Of the data.
          validate_args: As in TFP.
          name: As in TFP.

        Raises:
          ValueError: if a choice is unknown.
        """
        parameters = dict(locals())
        if not callable(scale) and scale not in coupling.LOG_SCALES:
            raise ValueError(f"scale must be one of {tuple(coupling.LOG_SCALES)} or a function, got {scale!r}.")
        if order not in _ORDERS:
            raise ValueError(f"order must be one of {tuple(_ORDERS)}, got {order!r}.")
        if parameter_order not in coupling.CHANNEL_SPLITS:
            raise ValueError(
                f"parameter_order must be one of {tuple(coupling.CHANNEL_SPLITS)}, got {parameter_order!r}."
            )
        self._log_scale = scale if callable(scale) else coupling.LOG_SCALES[scale]
        self._transform, self._inverse_transform = _ORDERS[order]
        self._split_parameters = coupling.CHANNEL_SPLITS[parameter_order]
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

    def _shift_and_log_scale(self, parameters):
        shift, raw_scale = self._split_parameters(parameters)
        return shift, self._log_scale(raw_scale)

    def _log_det(self, log_scale):
        return tf.reduce_sum(log_scale, axis=list(range(-self.forward_min_event_ndims, 0)))

    def _encode(self, transformed, parameters):
        if self._is_released_form:
            y, log_scale = coupling.shift_then_sigmoid_scale(transformed, *self._split_parameters(parameters))
            return y, self._log_det(log_scale)
        shift, log_scale = self._shift_and_log_scale(parameters)
        return self._transform(transformed, shift, log_scale), self._log_det(log_scale)

    def _decode(self, transformed, parameters):
        shift, log_scale = self._shift_and_log_scale(parameters)
        return self._inverse_transform(transformed, shift, log_scale), -self._log_det(log_scale)


_ORDERS = {
    "shift_then_scale": (coupling.shift_then_scale, coupling.inverse_shift_then_scale),
    "scale_then_shift": (coupling.scale_then_shift, coupling.inverse_scale_then_shift),
}
