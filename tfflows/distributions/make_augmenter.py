"""q(z | x) for any flow over images."""

from collections.abc import Sequence

import tensorflow as tf

from tfflows.bijectors import ActNorm, AffineCoupling, Chain, InvertibleConv, Squeeze, Unsqueeze
from tfflows.distributions.augmenters import FlowAugmenter, GaussianAugmenter, NormalAugmenter
from tfflows.math.random import derive_seed
from tfflows.networks import CouplingNetwork, EluCouplingNetwork, ResidualContextNetwork

AUGMENTERS = ("normal", "gaussian", "flow")

_CONTEXT_FILTERS = 4


def make_augmenter(
    kind: str,
    image_shape: Sequence[int],
    num_channels: int,
    width: int = 64,
    num_steps: int = 4,
    seed: int = 0,
    dtype: str = "float32",
) -> tf.Module:
    """Makes the augmenter of one of three kinds, for images.

    - `normal`: N(0, I), with nothing to learn.
    - `gaussian`: mean and scale from a coupling network of Glow, which is zero at init, so that q begins as N(0, I).
    - `flow`: `num_steps` steps of actnorm, 1x1 convolution and affine coupling on squeezed noise, given the output of a residual
      network for the image.

    Args:
      kind: One of `AUGMENTERS`.
      image_shape: `[H, W, C]`; `flow` needs even sides.
      num_channels: Number of channels of z.
      width: Hidden channels of the networks.
      num_steps: Number of steps of `flow`.
      seed: Seed of the initial parameters.
      dtype: Keras dtype policy of the networks.

    Returns:
      `NormalAugmenter`, `GaussianAugmenter` or `FlowAugmenter`.

    Raises:
      ValueError: If `kind` is unknown, or a number is not positive.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.distributions.make_augmenter import make_augmenter
      >>> from tfflows.math.random import row_keys
      >>> augmenter = make_augmenter("gaussian", image_shape=[4, 4, 3], num_channels=2, width=8)
      >>> z, log_prob = augmenter.sample_and_log_prob(tf.zeros([5, 4, 4, 3]), row_keys(seed=0))
      >>> print(z.shape, log_prob.shape)
      (5, 4, 4, 2) (5,)
    """
    if kind not in AUGMENTERS:
        raise ValueError(f"The augmenter must be one of {', '.join(AUGMENTERS)}, got {kind!r}.")
    for name, number in {"num_channels": num_channels, "width": width, "num_steps": num_steps}.items():
        if number < 1:
            raise ValueError(f"{name} of an augmenter must be at least 1, got {number}.")
    if kind == "normal":
        return NormalAugmenter(num_channels)
    if kind == "gaussian":
        network = CouplingNetwork(width, 2 * num_channels, seed=seed, dtype=dtype)
        network.build([None, *image_shape])
        return GaussianAugmenter(network, num_channels)
    context = ResidualContextNetwork(
        (width, width), _CONTEXT_FILTERS, input_scale=2.0, seed=derive_seed(seed, "context"), dtype=dtype
    )
    context.build([None, *image_shape])
    steps = [_step(4 * num_channels, width, derive_seed(seed, "step", number), dtype) for number in range(num_steps)]
    squeeze, unsqueeze = Squeeze(order="position_first"), Unsqueeze(order="position_first")
    return FlowAugmenter(Chain([squeeze, *steps, unsqueeze], name="augmenter"), context, num_channels, pattern=None)


def _step(channels, width, seed, dtype):
    network = EluCouplingNetwork(width, channels, 4 * _CONTEXT_FILTERS, seed=derive_seed(seed, "coupling"), dtype=dtype)
    network.build([None, None, None, channels // 2])
    coupling = AffineCoupling(network, parameter_order="contiguous", conditional=True)
    return Chain([ActNorm([channels]), InvertibleConv(channels, derive_seed(seed, "mixing")), coupling], name="step")
