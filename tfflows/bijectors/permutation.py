"""Fixed permutations of the channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfflows.bijectors.base import Bijector, broadcast_log_det


class Reverse(Bijector):
    """Reverses the order of the channels (last axis); its own inverse, log-determinant 0.

    Example:
      >>> from tfflows.bijectors import Reverse
      >>> print(Reverse(event_ndims=1).inverse([1.0, 2.0, 3.0]).numpy())
      [3. 2. 1.]

    References:
      Dinh et al. 2014, https://arxiv.org/abs/1410.8516.
    """

    def __init__(self, event_ndims: int = 3, validate_args: bool = False, name: str = "reverse") -> None:
        """Creates the bijector.

        Args:
          event_ndims: Number of axes of an event.
          validate_args: As in TFP.
          name: As in TFP.
        """
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

    The order and its inverse are non-trainable int32 variables, so that checkpoints hold them.

    Example:
      >>> from tfflows.bijectors import Permutation
      >>> permutation = Permutation([2, 0, 1], event_ndims=1)
      >>> print(permutation.inverse([10.0, 11.0, 12.0]).numpy())
      [12. 10. 11.]
      >>> print(permutation.forward([12.0, 10.0, 11.0]).numpy())
      [10. 11. 12.]
      >>> print(sorted(Permutation.random(4, seed=0).indices.numpy().tolist()))
      [0, 1, 2, 3]
    """

    def __init__(
        self,
        permutation: Sequence[int] | np.ndarray,
        event_ndims: int = 3,
        validate_args: bool = False,
        name: str = "permutation",
    ) -> None:
        """Creates the permutation.

        Args:
          permutation: The numbers `0 ... C-1`, each once, in any order.
          event_ndims: Number of axes of an event.
          validate_args: As in TFP.
          name: As in TFP.

        Raises:
          ValueError: If `permutation` is not a permutation.
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
    def random(cls, channels: int, seed: int, **kwargs: Any) -> Permutation:
        """Draws a permutation of `channels` channels from a seed; `kwargs` are further arguments of the class."""
        return cls(np.random.default_rng(seed).permutation(channels), **kwargs)

    def _known_event_shape(self, direction):
        return self._known_channels(self.indices.shape[0])

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
