"""The first channels through a bijector, the others left as they are."""

import tensorflow as tf

from tfflows.bijectors.base import Bijector, takes_condition


class OnFirstChannels(Bijector):
    """`[a, b] -> [bijector(a), b]`, a the first `num_channels` channels: what goes on where others leave a multi-scale flow.

    Nested in chains it makes an architecture of any number of splits a level, whose latent has the shape of the image:

    ```python
    Chain([Squeeze(), *steps(12), prior(12, transformed=3), OnFirstChannels(9, Chain([*steps(9), ...])), Unsqueeze()])
    ```

    A condition reaches the bijector whole; splits leave it.

    #### References

    Ma et al. 2019, section 3.2 (fine-grained multi-scale architecture); Dinh et al. 2017, section 3.6.
    """

    # The bijector is a whole flow, most of the time.
    holds_blocks = True

    def __init__(self, num_channels, bijector, validate_args=False, name="on_first_channels"):
        """Creates the map.

        Args:
          num_channels: Python `int`, fewer than there are.
          bijector: Of the library, of events `[H, W, num_channels]`, whose shape it keeps.
          validate_args: As in TFP.
          name: As in TFP.
        """
        parameters = dict(locals())
        self.bijector = bijector
        self._num_channels = num_channels
        self.takes_condition = takes_condition(bijector)
        super().__init__(
            forward_min_event_ndims=3,
            is_constant_jacobian=bijector.is_constant_jacobian,
            dtype=bijector.dtype,
            validate_args=validate_args,
            parameters=parameters,
            name=name,
        )

    def __repr__(self):
        return f"OnFirstChannels({self.name!r}: {self._num_channels} of the channels through {self.bijector!r})"

    def _split(self, x):
        channels = x.shape[-1]
        if channels is None or channels <= self._num_channels:
            raise ValueError(
                f"{self.name} needs more than {self._num_channels} channels, got an input of shape {x.shape}."
            )
        return tf.split(x, [self._num_channels, channels - self._num_channels], axis=-1)

    def _inverse_and_log_det(self, y, **kwargs):
        kept, out = self._split(y)
        kept, log_det = self.bijector.inverse_and_log_det(kept, **kwargs)
        return tf.concat([kept, out], axis=-1), log_det

    def _forward_and_log_det(self, x, **kwargs):
        kept, out = self._split(x)
        kept, log_det = self.bijector.forward_and_log_det(kept, **kwargs)
        return tf.concat([kept, out], axis=-1), log_det

    def _rebuild_and_gradient(self, direction, y, upstream, condition, values):
        (kept, out), (d_kept, d_out) = self._split(y), self._split(upstream[0])
        kept, d_kept, d_condition, d_values = self.bijector._rebuild_and_gradient(
            direction, kept, [d_kept, upstream[1]], condition, values
        )
        return tf.concat([kept, out], axis=-1), tf.concat([d_kept, d_out], axis=-1), d_condition, d_values

    def initialize(self, y, condition=None):
        """Initializes the bijector on its channels; returns the latent."""
        kept, out = self._split(y)
        return tf.concat([self.bijector.initialize(kept, condition), out], axis=-1)
