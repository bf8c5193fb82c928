"""Inverse autoregressive flow."""

import math

import tensorflow as tf

from tfflows.bijectors.base import Bijector
from tfflows.bijectors.conditions import flat_condition
from tfflows.math.shapes import flatten_batch, unflatten_batch
from tfflows.tracing.walk import variables_of_layers


class InverseAutoregressive(Bijector):
    """`inverse(y) = (y - m(y)) exp(-s(y))`, `[m, s] = network(y)`; log-determinant `-sum s`, in one pass.

    The network sees of each number those before it, so the Jacobian is triangular. As a posterior, noise to latent, it stands
    under `tfb.Invert`, so that drawing and measuring take one pass. `forward` undoes it by fixed-point iteration
    `y <- x exp(s(y)) + m(y)` until nothing changes: in exact arithmetic after at most as many rounds as there are numbers, as
    each round settles one more of them; commonly after far fewer.

    #### Examples

    ```python
    network = AutoregressiveNetwork(channels=32, width=160)
    flow = InverseAutoregressive(network)        # events [H, W, 32]
    posterior = tfd.TransformedDistribution(tfd.Independent(tfd.Normal(mean, scale), 3), tfb.Invert(flow))
    ```

    #### References

    Kingma et al. 2016.
    """

    def __init__(
        self, network, conditional=False, dtype=tf.float32, validate_args=False, name="inverse_autoregressive"
    ):
        """Creates the flow.

        Args:
          network: `tfflows.networks.AutoregressiveNetwork`, or another layer of that kind, built.
          conditional: Python `bool`, whether the network takes `condition=`.
          dtype: Of the data.
          validate_args: As in TFP.
          name: As in TFP.
        """
        parameters = dict(locals())
        self.network = network
        self._layer_variables = variables_of_layers(network)
        self.takes_condition = conditional
        super().__init__(
            forward_min_event_ndims=3, dtype=dtype, validate_args=validate_args, parameters=parameters, name=name
        )

    def inverse_and_log_derivatives(self, y, condition=None):
        """As `inverse_and_log_det` for `[B, H, W, C]`, but the part of each number in the log-determinant, `-s`."""
        return self._whitened(y, self.network(y, *self._conditions(y, condition)))

    def initialize(self, y, condition=None):
        """Data-dependent init of the network from a batch; returns its latent, in one call of the network."""
        return self.initialize_and_log_derivatives(y, condition)[0]

    def initialize_and_log_derivatives(self, y, condition=None):
        """`inverse_and_log_derivatives` of a batch `[B, H, W, C]` while the network takes its init from it."""
        return self._whitened(y, self.network.initialize(y, *self._conditions(y, condition)))

    def _whitened(self, y, parameters):
        shift, log_scale = tf.split(tf.cast(parameters, y.dtype), 2, axis=-1)
        return (y - shift) * tf.exp(-log_scale), -log_scale

    def _conditions(self, y, condition):
        if not self.takes_condition:
            return ()
        if condition is None:
            raise ValueError(f"{self.name} needs a condition; pass condition=.")
        return (flat_condition(condition, y.shape.rank - 3),)

    def _inverse_and_log_det(self, y, condition=None):
        conditions = self._conditions(y, condition)
        flat = flatten_batch(y)
        x, log_derivatives = self._whitened(flat, self.network(flat, *conditions))
        return unflatten_batch(x, y), self._summed(log_derivatives, y)

    def _forward_and_log_det(self, x, condition=None):
        conditions = self._conditions(x, condition)
        flat = flatten_batch(x)
        # After so many rounds an autoregressive map is inverted, whatever it is.
        most = math.prod(x.shape[-3:])

        def improved(y):
            shift, log_scale = tf.split(tf.cast(self.network(y, *conditions), y.dtype), 2, axis=-1)
            return flat * tf.exp(log_scale) + shift, log_scale

        def body(count, y, changes, log_scale):
            del changes, log_scale
            new, log_scale = improved(y)
            return count + 1, new, tf.reduce_any(new != y), log_scale

        _, y, _, log_scale = tf.while_loop(
            lambda count, y, changes, log_scale: changes,
            body,
            (tf.constant(0), flat, tf.constant(True), tf.zeros_like(flat)),
            maximum_iterations=most + 1,
        )
        return unflatten_batch(y, x), self._summed(log_scale, x)

    def _summed(self, log_derivatives, like):
        total = tf.reduce_sum(log_derivatives, axis=[1, 2, 3])
        return tf.ensure_shape(tf.reshape(total, tf.shape(like)[:-3]), like.shape[:-3])
