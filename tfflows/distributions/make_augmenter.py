"""q(z | x) for any flow over images."""

from tfflows.bijectors import ActNorm, AffineCoupling, Chain, InvertibleConv, Squeeze, Unsqueeze
from tfflows.distributions.augmented_flow import AugmentedFlow
from tfflows.distributions.augmenters import FlowAugmenter, GaussianAugmenter, NormalAugmenter
from tfflows.math.random import derive_seed
from tfflows.networks import CouplingNetwork, EluCouplingNetwork, ResidualContextNetwork

AUGMENTERS = ("normal", "gaussian", "flow")

_CONTEXT_FILTERS = 4


def make_augmenter(kind, image_shape, num_channels, width=64, num_steps=4, seed=0, dtype="float32"):
    """An augmenter of a kind for images.

    - `normal`: N(0, I), nothing to learn.
    - `gaussian`: mean and scale by a coupling network of Glow, which is zero at init: q begins as N(0, I).
    - `flow`: on squeezed noise `num_steps` times actnorm, 1x1 convolution and affine coupling, given what a residual network
      makes of the image.

    Args:
      kind: One of `AUGMENTERS`.
      image_shape: Integers `[H, W, C]`; for `flow` even sides.
      num_channels: Python `int`, of z.
      width: Python `int`, hidden channels of the networks.
      num_steps: Python `int`, of `flow`.
      seed: Python `int` of the initial parameters.
      dtype: Policy of the networks.

    Raises:
      ValueError: if `kind` is unknown, or a number not positive.
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


def with_augmenter(flow, experiment, image_shape, seed):
    """The `AugmentedFlow` that an experiment asks for; the flow itself where it has no `augment_channels`.

    Args:
      flow: `tfd.TransformedDistribution` over `[H, W, C + augment_channels]`.
      experiment: Has `augment_channels`, `augmenter`, `augmenter_width`, `augmenter_steps` and `precision`.
      image_shape: Integers `[H, W, C]`.
      seed: Python `int` of the initial parameters of q.
    """
    if not experiment.augment_channels:
        return flow
    augmenter = make_augmenter(
        experiment.augmenter,
        image_shape,
        experiment.augment_channels,
        experiment.augmenter_width,
        experiment.augmenter_steps,
        derive_seed(seed, "augmenter"),
        experiment.precision,
    )
    return AugmentedFlow(flow, augmenter)
