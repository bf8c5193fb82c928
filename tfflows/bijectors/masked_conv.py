"""Masked-convolution flow: each pixel is scaled and shifted given those before it."""

import tensorflow as tf

from tfflows.bijectors.base import Bijector, broadcast_log_det, keras_variables
from tfflows.bijectors.conditions import flat_condition
from tfflows.math import coupling
from tfflows.math.convolution import flatten_batch, unflatten_batch
from tfflows.math.sequential_inverse import sequential_inverse


class MaskedConv(Bijector):
    """Data to latent: `inverse(y) = s * y + mu`, `(mu, r) = network(y)`, `s = sigmoid(r + 2)`; log-determinant `sum ln s`.

    The network sees of each pixel only those before it, all channels of them, so the Jacobian is triangular. Additive with
    `affine=False`: `y + mu`, log-determinant 0. Latent to data goes pixel after pixel, those that do not see each other at a
    time, as one loop: 2 (H - 1) + W ticks for a 3x3 mask, H (or W) for a shifted convolution. The inverse is exact.

    #### Examples

    ```python
    network = MaskedNetwork(filters=24, order="A")
    network.build([None, 16, 16, 12])
    flow = Chain([MaskedConv(network), ...])     # events [16, 16, 12]
    ```

    #### References

    Ma et al. 2019, section 3.1; released code.
    """

    def __init__(
        self, network, affine=True, conditional=False, dtype=tf.float32, validate_args=False, name="masked_conv"
    ):
        """Creates the flow.

        Args:
          network: `tfflows.networks.MaskedNetwork`, built, with 2 C output channels (shifts, then raw scales), or C if not
            `affine`.
          affine: Python `bool`.
          conditional: Python `bool`, whether the network takes `condition=`.
          dtype: Of the data.
          validate_args: As in TFP.
          name: As in TFP.
        """
        parameters = dict(locals())
        self.network = network
        self._network_variables = keras_variables(network)
        self._affine = affine
        self.takes_condition = conditional
        super().__init__(
            forward_min_event_ndims=3,
            is_constant_jacobian=not affine,
            dtype=dtype,
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    def __repr__(self):
        size = "x".join(str(side) for side in self.network.kernel_size)
        kind = f"{self.network.kind} {size} {self.network.order}"
        return f"MaskedConv({self.name!r}: {kind}, {self._num_parameters():,} parameters)"

    def _check(self, x):
        wanted = (2 if self._affine else 1) * x.shape[-1]
        if self.network.filters != wanted:
            raise ValueError(
                f"The network of {self.name} gives {self.network.filters} channels; for an input of shape {x.shape} it must "
                f"give {wanted}."
            )

    def _flat_condition(self, x, condition):
        if not self.takes_condition:
            return None
        if condition is None:
            raise ValueError(f"{self.name} needs a condition; pass condition=.")
        return flat_condition(condition, x.shape.rank - 3)

    def _encode(self, y, parameters):
        if not self._affine:
            return y + parameters, broadcast_log_det(0.0, y, 3)
        shift, raw_scale = coupling.contiguous(parameters)
        log_scale = coupling.log_sigmoid_scale(raw_scale)
        return coupling.scale_then_shift(y, shift, log_scale), tf.reduce_sum(log_scale, axis=[-3, -2, -1])

    def _inverse_and_log_det(self, y, condition=None):
        self._check(y)
        parameters = self.network(flatten_batch(y), self._flat_condition(y, condition))
        return self._encode(y, unflatten_batch(parameters, y))

    def _forward_and_log_det(self, x, condition=None):
        self._check(x)
        network = self.network
        finish = network.after_masked()

        def decode(latents, hidden):
            parameters = finish(hidden)
            if not self._affine:
                return latents - parameters, tf.zeros_like(latents)
            shift, raw_scale = coupling.contiguous(parameters)
            log_scale = coupling.log_sigmoid_scale(raw_scale)
            return coupling.inverse_scale_then_shift(latents, shift, log_scale), -log_scale

        y, log_det = sequential_inverse(
            flatten_batch(x),
            network.masked.effective_kernel(),
            network.kind,
            network.order,
            decode,
            network.features(self._flat_condition(x, condition)),
            network.compute_dtype,
        )
        log_det = tf.ensure_shape(tf.reshape(log_det, tf.shape(x)[:-3]), x.shape[:-3])
        return unflatten_batch(y, x), log_det

    def initialize(self, y, condition=None):
        """Data-dependent init of the network from a batch; returns its latent, in one call of the network."""
        self._check(y)
        parameters = self.network.initialize(flatten_batch(y), self._flat_condition(y, condition))
        return self._encode(y, unflatten_batch(parameters, y))[0]
