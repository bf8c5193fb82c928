"""The first channels through a bijector, the others left as they are."""

from typing import Any

import tensorflow as tf

from tfflows.bijectors.base import Bijector, takes_condition
from tfflows.bijectors.parts import check_bijectors
from tfflows.tracing.gradients import INVERSE


class OnFirstChannels(Bijector):
    """`[a, b] -> [bijector(a), b]`, where a is the first `num_channels` channels.

    In a multi-scale flow, a goes on while b leaves. Nested in chains, this bijector makes an architecture with any number of
    splits per level, whose latent has the shape of the image. The log-determinant is that of the bijector. The condition is
    not split: the bijector gets all of it.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import ActNorm, Chain, InvertibleConv, OnFirstChannels, Squeeze, Unsqueeze
      >>> rest = Chain([ActNorm([9]), InvertibleConv(9)])
      >>> flow = Chain([Squeeze(), ActNorm([12]), InvertibleConv(12), OnFirstChannels(9, rest), Unsqueeze()])
      >>> images = tf.random.stateless_normal([2, 4, 4, 3], seed=[0, 0])
      >>> print(flow.initialize(images).shape)
      (2, 4, 4, 3)

      The channels behind the first ones stay as they are:

      >>> mixer = OnFirstChannels(2, InvertibleConv(2, seed=1))
      >>> print(bool(tf.reduce_all(mixer.inverse(images)[..., 2] == images[..., 2])))
      True

    References:
      Ma et al. 2019, section 3.2 (fine-grained multi-scale architecture), https://arxiv.org/abs/1902.04208; Dinh et al. 2017,
      section 3.6, https://arxiv.org/abs/1605.08803.
    """

    # The bijector is usually a whole flow.
    holds_blocks = True

    def __init__(
        self, num_channels: int, bijector: Bijector, validate_args: bool = False, name: str = "on_first_channels"
    ) -> None:
        """Creates the map.

        Args:
          num_channels: Number of channels that go through the bijector, fewer than the data have.
          bijector: Bijector of this library for events `[H, W, num_channels]` that keeps their shape.
          validate_args: As in TFP.
          name: As in TFP.

        Raises:
          TypeError: If `bijector` is none.
        """
        parameters = dict(locals())
        check_bijectors("OnFirstChannels", bijector)
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

    def __repr__(self) -> str:
        return f"OnFirstChannels({self.name!r}: {self._num_channels} of the channels through {self.bijector!r})"

    def _split(self, x):
        channels = self._channels_of(x)
        if channels <= self._num_channels:
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

    def initialize(self, y: tf.Tensor, condition: Any = None) -> tf.Tensor:
        """Initializes the bijector on its channels and returns the latent."""
        y, condition = self._checked_input(INVERSE, y, condition)
        kept, out = self._split(y)
        return tf.concat([self.bijector.initialize(kept, condition), out], axis=-1)
