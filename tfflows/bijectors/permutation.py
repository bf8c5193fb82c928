"""Fixed permutations of the channels."""

import numpy as np
import tensorflow as tf

from tfflows.bijectors.base import Bijector, broadcast_log_det


class Reverse(Bijector):
    """Reverses the order of the channels (last axis); its own inverse, log-determinant 0 (Dinh et al. 2014)."""

    def __init__(self, event_ndims=3, validate_args=False, name="reverse"):
        """Args: event_ndims: Python `int`, axes of an event; validate_args, name: as in TFP."""
        parameters = dict(locals())
        super().__init__(
            forward_min_event_ndims=event_ndims,
            is_constant_jacobian=True,
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    def _inverse_and_log_det(self, y):
        return tf.reverse(y, axis=[-1]), broadcast_log_det(0.0, y, self.inverse_min_event_ndims)

    def _forward_and_log_det(self, x):
        return self._inverse_and_log_det(x)


class Permutation(Bijector):
    """Data to latent: `inverse(y)[..., j] = y[..., permutation[j]]`, a fixed order of the channels; log-determinant 0.

    The order and its inverse are non-trainable int32 variables, so that they travel in checkpoints.
    """

    def __init__(self, permutation, event_ndims=3, validate_args=False, name="permutation"):
        """Creates the permutation.

        Args:
          permutation: Integers, a permutation of `0 ... C-1`.
          event_ndims: Python `int`, axes of an event.
          validate_args: As in TFP.
          name: As in TFP.

        Raises:
          ValueError: if `permutation` is none.
        """
        parameters = dict(locals())
        permutation = np.asarray(permutation)
        if permutation.ndim != 1 or not np.array_equal(np.sort(permutation), np.arange(permutation.size)):
            raise ValueError(f"permutation must hold each of 0 ... C-1 once, got {permutation}.")
        self.indices = tf.Variable(permutation.astype(np.int32), trainable=False, name="indices")
        self.inverse_indices = tf.Variable(
            np.argsort(permutation).astype(np.int32), trainable=False, name="inverse_indices"
        )
        super().__init__(
            forward_min_event_ndims=event_ndims,
            is_constant_jacobian=True,
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    @classmethod
    def random(cls, channels, seed, **kwargs):
        """A permutation of `channels` channels drawn once from `seed` (Python `int`)."""
        return cls(np.random.default_rng(seed).permutation(channels), **kwargs)

    def _inverse_and_log_det(self, y):
        x = _gather_channels(y, self.indices, self.inverse_indices)
        return x, broadcast_log_det(0.0, y, self.inverse_min_event_ndims)

    def _forward_and_log_det(self, x):
        y = _gather_channels(x, self.inverse_indices, self.indices)
        return y, broadcast_log_det(0.0, x, self.forward_min_event_ndims)


def _gather_channels(x, indices, inverse_indices):
    # tf.gather's own gradient scatters; that of a permutation is a gather by the inverse order.
    indices, inverse_indices = tf.convert_to_tensor(indices), tf.convert_to_tensor(inverse_indices)

    @tf.custom_gradient
    def gather(x):
        return tf.gather(x, indices, axis=-1), lambda upstream: _gather_channels(upstream, inverse_indices, indices)

    return gather(x)
