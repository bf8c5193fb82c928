"""MaCow, its bare networks, and its parts alone (a masked convolution, a unit, a coupling) as tasks on one batch.

Each function builds one subject in the process that calls it, and returns `(tasks, facts)` for `harness.workers`;
the tasks are those of `harness.tasks`, and for a masked convolution its two directions.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmarks.harness.environment import limit_tensorflow
from benchmarks.harness.images import noise
from benchmarks.harness.tasks import LEARNING_RATE, LOG_PROB, SAMPLE, flow_tasks, network_tasks
from benchmarks.harness.workers import Subject
from tfflows.choices import SAMPLERS

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
    import tensorflow_probability as tfp

    from reproductions.macow.experiments import MaCowExperiment
    from tfflows.bijectors import MaskedConv

# After init a network's last gains are 0 and no pixel depends on another; this gain makes its outputs deviate by about 0.1.
_GAIN = 0.1
# Moments are per channel, over all pixels of the batch.
_INIT_IMAGES = 16

# Directions of a masked convolution: data to latent, latent to data as in the library, and one pixel at a time.
ENCODE, DECODE, RASTER = "data to latent", "latent to data", "latent to data in raster order"

KERNELS = {"masked": (3, 3), "shifted": (2, 3)}


@dataclasses.dataclass(frozen=True)
class Case:
    """A variant of MaCow; the default architecture is the smallest with all parts.

    Attributes:
      variant: `paper` or `release`.
      size: Side of the images.
      batch_size: Images per batch.
      steps: Steps per level, as the experiment's field.
      widths: Hidden channels per level, as the experiment's field.
      factors: Factors of the levels, as the experiment's field.
    """

    variant: str
    size: int
    batch_size: int
    steps: str = "1, 2+2, 2"
    widths: str = "24, 64, 64"
    factors: str = "4"

    def __str__(self):
        return f"{self.variant}, {self.size}x{self.size}x3, batch {self.batch_size}"

    @property
    def image_shape(self) -> list[int]:
        """Shape of an image, `[H, W, 3]`."""
        return [self.size, self.size, 3]

    @property
    def experiment(self) -> "MaCowExperiment":
        """The `MaCowExperiment`, with the kernels, couplings and bits of CIFAR-10."""
        from reproductions.macow.experiments import EXPERIMENTS

        name = "cifar10_fine_grained" if self.variant == "paper" else "cifar10_fine_grained_release"
        sizes = {"steps": self.steps, "widths": self.widths, "factors": self.factors, "image_size": self.size}
        return dataclasses.replace(EXPERIMENTS[name], **sizes)

    @property
    def sequential_calls(self) -> int:
        """Number of networks that sampling runs one after the other in the released code of the variant.

        There are eight masked convolutions per step, each with a call per line, or in the paper's variant per diagonal.
        """
        total = 0
        for level, sizes in enumerate(self.experiment.levels):
            side = self.size // 2**level
            calls = 3 * side - 2 if self.variant == "paper" else side
            total += 8 * sum(sizes.steps) * calls
        return total


def tfflows_macow(case: Case) -> Subject:
    """MaCow in tfflows, with uniform noise."""
    limit_tensorflow()
    import tensorflow as tf

    from reproductions.macow import model as macow
    from tfflows.devices.strategies import make_strategy
    from tfflows.math.random import row_keys

    strategy = make_strategy()
    with strategy.scope():
        model = macow.build(case.experiment, case.image_shape, 0, seed=0)
    model.initialize(
        tf.constant(noise(_INIT_IMAGES, *case.image_shape)), tf.zeros([_INIT_IMAGES], tf.int32), row_keys(0)
    )
    return _tasks_of(strategy, model, case.batch_size)


def sampler(case: Case) -> Subject:
    """As `tfflows_macow`, but only the tasks `sample` and `log_prob`."""
    tasks, facts = tfflows_macow(case)
    return {name: tasks[name] for name in (SAMPLE, LOG_PROB)}, facts


def samplers(name: str, temperature: float, batch_size: int) -> Subject:
    """A trained model: tasks `exact` and `jacobi` that sample, and how the second solves each masked convolution.

    Args:
      name: One of `tfflows.list_models()`.
      temperature: Temperature of the samples.
      batch_size: Images per batch.

    Returns:
      The tasks, and under `solved` `{side: {"rounds": [...], "error": [...]}}`, a number for each masked convolution.
    """
    limit_tensorflow()
    import numpy as np

    import tfflows
    from tfflows.bijectors import MaskedConv
    from tfflows.bijectors.recording import recorded_calls
    from tfflows.math.random import row_keys
    from tfflows.tracing.sampler import sampler_scope

    model = tfflows.load(name)

    def sample(sampler):
        with sampler_scope(sampler):
            return model.sample(batch_size, temperature, seed=0).numpy()

    with recorded_calls() as calls:
        model.distribution.sample(batch_size, row_keys(0), temperature)
    solved = {}
    for call in calls:
        if isinstance(call.bijector, MaskedConv):
            y, _, num_rounds = call.bijector.jacobi(call.x, call.condition)
            exact = call.value.numpy()
            found = solved.setdefault(exact.shape[1], {"rounds": [], "error": []})
            found["rounds"].append(float(num_rounds))
            found["error"].append(float(np.max(np.abs(y - exact) / np.maximum(np.abs(exact), 1))))
    return {sampler: functools.partial(sample, sampler) for sampler in SAMPLERS}, {"solved": solved}


def bare_networks(case: Case, in_turn: bool = False) -> Subject:
    """The networks of the masked convolutions, couplings and priors of our MaCow alone, the same layers on the same shapes.

    Args:
      case: Architecture and batch.
      in_turn: Whether each network waits for the one before, as in a flow.
    """
    limit_tensorflow()
    import tensorflow as tf

    from reproductions.macow import model as macow

    model = macow.build(case.experiment, case.image_shape, 0, seed=0)
    calls = []
    for number, (network, side) in enumerate(networks_of(model.flow.bijector, case.size)):
        channels = network.get_build_config()["input_shape"][-1]
        shape = [case.batch_size, side, side, channels]
        calls.append((network, (tf.random.stateless_normal(shape, [0, number]),)))
    tasks = network_tasks(calls, macow.optimizer(case.experiment, LEARNING_RATE), in_turn=in_turn)
    return tasks, {"parameters": sum(network.count_params() for network, _ in calls)}


def masked_convs(
    kind: str, sizes: Sequence[int], raster_sizes: Sequence[int], channels: int, batch_size: int
) -> Subject:
    """Masked convolutions of every order of a kind, each alone, at several sizes: tasks `(order, size, direction)`.

    Each task computes values and log-determinants.

    Args:
      kind: `masked` or `shifted`.
      sizes: Sides of the images.
      raster_sizes: Those sides at which order A is also inverted in raster order.
      channels: Channels of the images.
      batch_size: Images per batch.
    """
    limit_tensorflow()
    import tensorflow as tf

    from tfflows.math.masked_convolution import ORDERS

    tasks = {}
    for order in ORDERS[kind]:
        bijector = build_masked_conv(kind, order, channels)
        for size in sizes:
            data = tf.random.stateless_normal([batch_size, size, size, channels], [0, size])
            if size == sizes[0]:
                bijector.initialize(data)
                disturb(bijector, size)
            directions = {ENCODE: (bijector.inverse_and_log_det, data, False)}
            latents = bijector.inverse(data)
            directions[DECODE] = (bijector.forward_and_log_det, latents, False)
            if order == "A" and size in raster_sizes:
                # The library's own inverse compiles itself with XLA.
                directions[RASTER] = (functools.partial(in_raster_order, bijector), latents, True)
            tasks |= {(order, size, name): _pass(*direction) for name, direction in directions.items()}
    return tasks, {}


def _pass(function, values, jit_compile):
    import tensorflow as tf

    function = tf.function(function, jit_compile=jit_compile)

    def run():
        result, log_det = function(values)
        return result.numpy(), log_det.numpy()

    return run


def in_raster_order(bijector: "MaskedConv", latents: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor"]:
    """As `forward_and_log_det` of an affine `MaskedConv`, but one pixel at a time."""
    from benchmarks.macow.raster_inverse import raster_inverse
    from tfflows.math import coupling
    from tfflows.math.masked_convolution import pixel_network

    network = bijector.network
    pixel_parameters = network.pixel_parameters()

    def decode(pixels, hidden):
        shift, raw_scale = coupling.contiguous(pixel_network(hidden, *pixel_parameters))
        log_scale = coupling.log_sigmoid_scale(raw_scale)
        return coupling.inverse_scale_then_shift(pixels, shift, log_scale), -log_scale

    return raster_inverse(latents, network.masked.effective_kernel(), network.kind, network.order, decode)


def unit(variant: str, size: int, channels: int, batch_size: int) -> Subject:
    """A unit as a flow: an actnorm and masked convolutions A and B; in the release followed by another with C and D."""
    orders = ("AB",) if variant == "paper" else ("AB", "CD")

    def build():
        from tfflows.bijectors import ActNorm, Chain

        kind = "masked" if variant == "paper" else "shifted"
        layers = []
        for pair in orders:
            layers.append(ActNorm([channels], form="exp_scale_then_shift"))
            layers += [build_masked_conv(kind, order, channels, seed=order) for order in pair]
        return Chain(layers)

    return _layer(build, size, channels, batch_size)


def coupling_layer(width: int, size: int, channels: int, batch_size: int) -> Subject:
    """An affine coupling with `width` hidden channels as a flow."""

    def build():
        from tfflows.bijectors import AffineCoupling, Chain
        from tfflows.networks import EluCouplingNetwork

        network = EluCouplingNetwork(width, channels)
        network.build([None, None, None, channels // 2])
        return Chain([AffineCoupling(network, order="scale_then_shift", parameter_order="contiguous")])

    return _layer(build, size, channels, batch_size)


def _layer(build, size, channels, batch_size):
    limit_tensorflow()
    import tensorflow as tf
    import tensorflow_probability as tfp

    from tfflows.devices.strategies import make_strategy
    from tfflows.distributions.dequantized_flow import DequantizedFlow
    from tfflows.math.random import row_keys

    tfd = tfp.distributions
    shape = [size, size, channels]
    strategy = make_strategy()
    with strategy.scope():
        base = tfd.Sample(tfd.Normal(0.0, 1.0), sample_shape=shape)
        model = DequantizedFlow(tfd.TransformedDistribution(base, build()))
    model.initialize(tf.constant(noise(_INIT_IMAGES, *shape)), tf.zeros([_INIT_IMAGES], tf.int32), row_keys(0))
    return _tasks_of(strategy, model, batch_size)


def _tasks_of(strategy, model, batch_size):
    import tensorflow as tf

    from tfflows.tracing.variables import count_parameters
    from tfflows.training.optimizers import Adam

    size, _, channels = model.image_shape
    disturb(model.flow.bijector, size)
    images = noise(batch_size, size, size, channels)
    values = tf.random.stateless_uniform(images.shape, [0, 0], -0.5, 0.5)
    make_optimizer = functools.partial(Adam, LEARNING_RATE, beta_1=0.9, beta_2=0.999, epsilon=1e-8)
    return flow_tasks(strategy, model, make_optimizer, images, values), {"parameters": count_parameters(model)}


def build_masked_conv(kind: str, order: str, channels: int, seed: int | str = 0) -> "MaskedConv":
    """A `MaskedConv` with the kernel that its kind has on CIFAR-10."""
    from tfflows.bijectors import MaskedConv
    from tfflows.math.random import derive_seed
    from tfflows.networks import MaskedNetwork

    kernel_size = KERNELS[kind] if order in "AB" else KERNELS[kind][::-1]
    network = MaskedNetwork(2 * channels, kernel_size, kind, order, seed=derive_seed(0, seed))
    network.build([None, None, None, channels])
    return MaskedConv(network)


def disturb(bijector: "tfp.bijectors.Bijector", size: int) -> None:
    """Sets the gains of each network's last layer, so that pixels and channels depend on each other."""
    for network, _ in networks_of(bijector, size):
        gain = network.last.gain
        gain.assign(_GAIN + 0.0 * gain)


def networks_of(bijector: "tfp.bijectors.Bijector", side: int) -> list[tuple["keras.layers.Layer", int]]:
    """Pairs `(network, side of its input)` of all masked convolutions and couplings, from data to latent."""
    from tfflows.bijectors import Chain, Coupling, MaskedConv, OnFirstChannels, Squeeze, Unsqueeze

    if isinstance(bijector, (MaskedConv, Coupling)):
        return [(bijector.network, side)]
    if isinstance(bijector, OnFirstChannels):
        return networks_of(bijector.bijector, side)
    found = []
    for part in bijector.bijectors if isinstance(bijector, Chain) else []:
        found += networks_of(part, side)
        if isinstance(part, Squeeze):
            side //= 2
        elif isinstance(part, Unsqueeze):
            side *= 2
    return found
