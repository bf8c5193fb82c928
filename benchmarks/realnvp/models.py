"""RealNVP, its bare networks, and a chain of couplings in three libraries, as tasks on one batch.

Each function builds one subject in the process that calls it, and returns `(tasks, facts)` for `harness.workers`. All normalize
with the statistics of the batch, as in training.
"""

import dataclasses
import functools
from typing import TYPE_CHECKING

from benchmarks.harness.environment import THREADS, limit_tensorflow
from benchmarks.harness.images import noise
from benchmarks.harness.tasks import LEARNING_RATE, TRAINING_STEP, network_tasks, training_step
from benchmarks.harness.workers import Subject

if TYPE_CHECKING:
    import tensorflow as tf
    import tensorflow_probability as tfp

    from reproductions.realnvp.experiments import RealNVPExperiment
    from tfflows.networks import ResidualConditioner


@dataclasses.dataclass(frozen=True)
class Case:
    """A RealNVP of CIFAR-10's two scales.

    Attributes:
      width: Hidden channels at the first scale.
      num_blocks: Residual blocks of a network.
      size: Side of the images.
      batch_size: Images per batch.
    """

    width: int
    num_blocks: int
    size: int = 32
    batch_size: int = 16

    def __str__(self):
        return f"2 scales, width {self.width}, {self.num_blocks} blocks, {self.size}x{self.size}x3, batch {self.batch_size}"

    @property
    def image_shape(self) -> list[int]:
        """Shape of an image, `[H, W, 3]`."""
        return [self.size, self.size, 3]

    @property
    def experiment(self) -> "RealNVPExperiment":
        """The `RealNVPExperiment`."""
        from reproductions.realnvp.experiments import EXPERIMENTS

        return dataclasses.replace(
            EXPERIMENTS["cifar10"], width=self.width, num_blocks=self.num_blocks, image_size=self.size
        )


@dataclasses.dataclass(frozen=True)
class CouplingsCase:
    """A chain of affine couplings between the halves of the channels.

    Attributes:
      num_couplings: Number of couplings.
      width: Hidden channels of a network.
      num_blocks: Residual blocks of a network.
      size: Side of the images.
      channels: Channels of the images, even.
      batch_size: Images per batch.
    """

    num_couplings: int = 6
    width: int = 32
    num_blocks: int = 2
    size: int = 16
    channels: int = 12
    batch_size: int = 32

    def __str__(self):
        return (
            f"{self.num_couplings} couplings, width {self.width}, {self.num_blocks} blocks, "
            f"{self.size}x{self.size}x{self.channels}, batch {self.batch_size}"
        )

    def network(self, seed: int) -> "ResidualConditioner":
        """The network of a coupling: `[B, H, W, C/2] -> [B, H, W, C]`."""
        from tfflows.networks import ResidualConditioner

        network = ResidualConditioner(self.width, self.channels, self.num_blocks, seed=seed)
        network.build([None, self.size, self.size, self.channels // 2])
        return network


class InTraining:
    """A network that normalizes with the statistics of its batch, as in a training step, and leaves the running ones."""

    def __init__(self, network: "ResidualConditioner") -> None:
        self._network = network
        self.trainable_variables = network.trainable_variables

    def __call__(self, x: "tf.Tensor") -> "tf.Tensor":
        """The network's output."""
        from tfflows.tracing.batch_statistics import batch_statistics

        with batch_statistics(update=False):
            return self._network(x)


def tfflows_realnvp(case: Case) -> Subject:
    """RealNVP in tfflows."""
    limit_tensorflow()
    from reproductions.realnvp import model as realnvp
    from tfflows.devices.strategies import make_strategy
    from tfflows.tracing.variables import count_parameters

    strategy = make_strategy()
    with strategy.scope():
        model = realnvp.build(case.experiment, case.image_shape, 0, seed=0)
    make_optimizer = functools.partial(realnvp.optimizer, case.experiment, LEARNING_RATE)
    images = noise(case.batch_size, *case.image_shape)
    tasks = {TRAINING_STEP: training_step(strategy, model, make_optimizer, images)}
    return tasks, {"parameters": count_parameters(model)}


def networks_of(bijector: "tfp.bijectors.Bijector") -> list[tuple["ResidualConditioner", list[int]]]:
    """The networks of a RealNVP with the shapes `[H, W, C]` of their inputs, from data to latent.

    Args:
      bijector: The `MultiScale` of the model.
    """
    from tfflows.bijectors import AffineCoupling, Chain

    found, shape = [], bijector.image_shape
    for index, level in enumerate(bijector.levels):
        for layer in level.flow.bijectors:
            if isinstance(layer, Chain):
                coupling = layer.bijectors[0]
                height, width, channels = shape
                halves = isinstance(coupling, AffineCoupling)
                found.append((coupling.network, [height, width, channels // 2 if halves else channels]))
            shape = layer.inverse_event_shape(shape)
        if index < len(bijector.levels) - 1:
            shape = [*shape[:-1], shape[-1] // 2]
    return found


def bare_networks(case: Case, in_turn: bool = False) -> Subject:
    """The networks of our RealNVP alone: the same layers on inputs of the same shapes, forward, backward and update.

    Args:
      case: Architecture and batch.
      in_turn: Whether each network waits for the one before, as in a flow.
    """
    limit_tensorflow()
    import tensorflow as tf

    from reproductions.realnvp import model as realnvp

    found = networks_of(realnvp.flow_distribution(case.experiment, case.image_shape, seed=0).bijector)
    calls = [
        (InTraining(network), (tf.random.stateless_normal([case.batch_size, *shape], [0, number]),))
        for number, (network, shape) in enumerate(found)
    ]
    tasks = network_tasks(calls, realnvp.optimizer(case.experiment, LEARNING_RATE), in_turn=in_turn)
    parameters = sum(variable.shape.num_elements() for network, _ in found for variable in network.trainable_variables)
    return {TRAINING_STEP: tasks[TRAINING_STEP]}, {"parameters": parameters}


def tfflows_couplings(case: CouplingsCase) -> Subject:
    """The couplings in tfflows: `AffineCoupling`."""
    limit_tensorflow()
    from tfflows.bijectors import AffineCoupling, Chain

    couplings = [
        AffineCoupling(
            case.network(number),
            scale="exp",
            order="scale_then_shift",
            parameter_order="contiguous",
            conditioning_half=("first", "second")[number % 2],
        )
        for number in range(case.num_couplings)
    ]
    return _tensorflow_step(case, Chain(couplings), [case.size, case.size, case.channels])


def tfp_couplings(case: CouplingsCase) -> Subject:
    """The same couplings as `tfb.RealNVP`, which takes flat vectors: one half of the channels lies before the other."""
    limit_tensorflow()
    import tensorflow as tf
    import tensorflow_probability as tfp

    from tfflows.tracing.variables import variables_of_layers

    tfb = tfp.bijectors
    half = [case.size, case.size, case.channels // 2]
    num_half = case.size * case.size * case.channels // 2
    networks = [case.network(number) for number in range(case.num_couplings)]

    def shift_and_log_scale(network, x, num_transformed):
        shift, log_scale = tf.split(network(tf.reshape(x, [-1, *half])), 2, axis=-1)
        return tf.reshape(shift, [-1, num_transformed]), tf.reshape(log_scale, [-1, num_transformed])

    couplings = [
        tfb.RealNVP(
            num_masked=num_half if number % 2 == 0 else -num_half,
            shift_and_log_scale_fn=functools.partial(shift_and_log_scale, network),
        )
        for number, network in enumerate(networks)
    ]
    # `tfb.Invert`: their forward direction adds and multiplies, as the inverse of ours does, and training runs it.
    flow = tfb.Chain([tfb.Invert(coupling) for coupling in couplings])
    variables = [variable for variable in variables_of_layers(*networks) if variable.trainable]
    return _tensorflow_step(case, flow, [2 * num_half], variables)


def _tensorflow_step(case, bijector, shape, variables=None):
    import tensorflow as tf
    import tensorflow_probability as tfp

    from tfflows.tracing.batch_statistics import batch_statistics
    from tfflows.training.optimizers import Adam

    tfd = tfp.distributions
    flow = tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), shape), bijector)
    variables = list(bijector.trainable_variables if variables is None else variables)
    values = tf.random.stateless_uniform([case.batch_size, *shape], [0, 0], -0.5, 0.5)
    optimizer = Adam(LEARNING_RATE)
    optimizer.build(variables)

    @tf.function(autograph=False)
    def step(values):
        with batch_statistics(update=False), tf.GradientTape() as tape:
            loss = -tf.reduce_mean(flow.log_prob(values))
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    return {TRAINING_STEP: lambda: float(step(values))}, {
        "parameters": sum(variable.shape.num_elements() for variable in variables)
    }


def normflows_couplings(case: CouplingsCase) -> Subject:
    """The same couplings as `normflows.flows.MaskedAffineFlow`, with the same networks in torch; `torch.optim.Adam`."""
    import normflows
    import torch

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    half = case.channels // 2

    def convolution(inputs, outputs, kernel_size, scaled=True, bias=True):
        layer = torch.nn.Conv2d(inputs, outputs, kernel_size, padding=kernel_size // 2, bias=bias)
        if not scaled:
            return layer
        return torch.nn.utils.parametrizations.weight_norm(layer)

    class Residual(torch.nn.Module):
        def __init__(self, width):
            super().__init__()
            # Of the affine batch norm of torch only the shift is trained here.
            self.norms = torch.nn.ModuleList([torch.nn.BatchNorm2d(width, eps=1e-4) for _ in range(2)])
            self.first = convolution(width, width, 3, scaled=False, bias=False)
            self.second = convolution(width, width, 3)

        def forward(self, x):
            hidden = self.first(torch.relu(self.norms[0](x)))
            return x + self.second(torch.relu(self.norms[1](hidden)))

    class Conditioner(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.input_norm = torch.nn.BatchNorm2d(half, eps=1e-4)
            self.first = convolution(2 * half, case.width, 3, scaled=False)
            self.first_skip = convolution(case.width, case.width, 1)
            self.units = torch.nn.ModuleList([Residual(case.width) for _ in range(case.num_blocks)])
            self.skips = torch.nn.ModuleList([convolution(case.width, case.width, 1) for _ in range(case.num_blocks)])
            self.last_norm = torch.nn.BatchNorm2d(case.width, eps=1e-4)
            self.last = convolution(case.width, 2 * half, 1)

        def forward(self, x):
            normed = self.input_norm(x)
            hidden = self.first(torch.relu(torch.cat([normed, -normed], dim=1)))
            total = self.first_skip(hidden)
            for unit, skip in zip(self.units, self.skips, strict=True):
                hidden = unit(hidden)
                total = total + skip(hidden)
            return self.last(torch.relu(self.last_norm(total)))

    class LogScale(torch.nn.Module):
        """Runs the network on the half that conditions; a flow asks for the scale first, and then for the shift."""

        def __init__(self, first):
            super().__init__()
            self.network, self.first, self.shift = Conditioner(), first, None

        def placed(self, part):
            zeros = torch.zeros_like(part)
            return torch.cat([zeros, part] if self.first else [part, zeros], dim=1)

        def forward(self, masked):
            given, other = torch.split(masked, half, dim=1)
            shift, log_scale = torch.split(self.network(given if self.first else other), half, dim=1)
            self.shift = self.placed(shift)
            return self.placed(log_scale)

    class Shift(torch.nn.Module):
        def __init__(self, scale):
            super().__init__()
            self._scale = [scale]  # in a list: its parameters are those of the scale, and are counted there

        def forward(self, masked):
            return self._scale[0].shift

    flows = []
    shape = (case.channels, case.size, case.size)
    for number in range(case.num_couplings):
        mask = torch.zeros(shape)
        mask[:half] = 1.0 if number % 2 == 0 else 0.0
        mask[half:] = 0.0 if number % 2 == 0 else 1.0
        scale = LogScale(number % 2 == 0)
        flows.append(normflows.flows.MaskedAffineFlow(mask, Shift(scale), scale))
    base = normflows.distributions.DiagGaussian(shape, trainable=False)
    model = normflows.NormalizingFlow(base, flows)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.requires_grad_(False)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE)
    values = torch.rand([case.batch_size, *shape]) - 0.5

    def step():
        loss = model.forward_kld(values)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return {TRAINING_STEP: step}, {"parameters": sum(parameter.numel() for parameter in parameters)}
