"""Glow in tfflows, in normflows and in TFP, and the bare networks: each as tasks on the same batch.

Each function builds one subject in the process that calls it, and returns `(tasks, facts)` for `harness.workers`. The
tasks are `training step` (noise, log-likelihood, gradients, update), `log_prob` and `sample`, each on one batch. A task returns
when its work is done.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping

import numpy as np

from benchmarks.harness.environment import THREADS, limit_tensorflow, limit_to_parts
from benchmarks.harness.images import noise
from benchmarks.harness.tasks import LEARNING_RATE, LOG_PROB, SAMPLE, TRAINING_STEP, flow_tasks, network_tasks
from benchmarks.harness.workers import Subject


@dataclasses.dataclass(frozen=True)
class Case:
    """Architecture and batch.

    Attributes:
      depth: Flow steps per level, K.
      levels: Levels, L.
      width: Hidden channels of the couplings' networks.
      image_size: Side of the images.
      batch_size: Images per batch.
    """

    depth: int
    levels: int
    width: int
    image_size: int
    batch_size: int

    def __str__(self):
        return (
            f"K={self.depth}, L={self.levels}, width {self.width}, {self.image_size}x{self.image_size}x3, "
            f"batch {self.batch_size}"
        )

    @property
    def image_shape(self) -> list[int]:
        """Shape of an image, `[H, W, 3]`."""
        return [self.image_size, self.image_size, 3]

    def images(self) -> np.ndarray:
        """A batch of uint8 noise, shape `[batch_size, H, W, 3]`."""
        return noise(self.batch_size, *self.image_shape)


# For quick runs.
SMALLEST = Case(depth=1, levels=2, width=4, image_size=8, batch_size=2)


def _experiment(case):
    from reproductions.glow.experiments import EXPERIMENTS

    return dataclasses.replace(
        EXPERIMENTS["cifar10"],
        depth=case.depth,
        levels=case.levels,
        width=case.width,
        image_size=case.image_size,
        batch_size=case.batch_size,
    )


def tfflows_glow(case: Case, jit_compile: bool = False) -> Subject:
    """Glow in tfflows: affine couplings, dense 1x1 convolutions, learned priors, border channels, and our Adamax.

    Args:
      case: Architecture and batch.
      jit_compile: Whether to compile with XLA, which takes the whole batch; otherwise it is in as many parts as by default.
    """
    num_parts = limit_to_parts(case.batch_size, 1 if jit_compile else None)
    import tensorflow as tf

    from reproductions.glow import model as glow_model
    from tfflows.devices.strategies import make_strategy
    from tfflows.tracing.variables import count_parameters

    strategy = make_strategy()
    experiment = _experiment(case)
    with strategy.scope():
        model = glow_model.build(experiment, case.image_shape, 0, seed=0)
    values = tf.random.stateless_uniform([case.batch_size, *case.image_shape], [0, 0], -0.5, 0.5)
    model.flow.bijector.initialize(values)
    make_optimizer = functools.partial(glow_model.optimizer, experiment, LEARNING_RATE)
    tasks = flow_tasks(strategy, model, make_optimizer, case.images(), values, jit_compile, num_parts)
    # The released top prior has weights that only see zeros; other libraries have none.
    dead = glow_model.dead_parameters(experiment, case.image_shape)
    return tasks, {"parameters": count_parameters(model) - dead, "side_by_side": num_parts}


def published_sampler(name: str, temperature: float, changes: Mapping[str, object]) -> Subject:
    """Sampling one image of a published experiment, untrained but for actnorm's init.

    Args:
      name: Name of an experiment of `reproductions.glow`.
      temperature: Temperature of the samples.
      changes: Fields of the experiment to replace.
    """
    limit_tensorflow()
    import tensorflow as tf

    from reproductions.glow import model as glow_model
    from reproductions.glow.experiments import EXPERIMENTS
    from tfflows.evaluation.latents import LatentCodec
    from tfflows.math.random import row_keys
    from tfflows.tracing.variables import count_parameters

    experiment = dataclasses.replace(EXPERIMENTS[name], **changes)
    side = experiment.image_size
    model = glow_model.build(experiment, [side, side, 3], 0, seed=0)
    model.initialize(tf.constant(noise(1, side, side, 3)), tf.zeros([1], tf.int32), row_keys(0))
    codec = LatentCodec(model, batch_size=1)
    case = Case(experiment.depth, experiment.levels, experiment.width, side, batch_size=1)
    tasks = {SAMPLE: lambda: codec.sample(1, seed=0, temperature=temperature)}
    return tasks, {"case": f"{case}, {experiment.coupling}", "parameters": count_parameters(model)}


def bare_networks(case: Case, jit_compile: bool = False) -> Subject:
    """The networks of our Glow alone: the same layers on inputs of the same shapes, forward, backward and update.

    These are the networks of the couplings and of the priors between levels. As in a flow, the backward pass goes to the
    weights and to the inputs.
    """
    limit_tensorflow()
    import tensorflow as tf

    from reproductions.glow import model as glow_model

    experiment = _experiment(case)
    networks, shapes = [], []
    height, width, channels = case.image_shape
    for level in range(case.levels):
        height, width, channels = height // 2, width // 2, 4 * channels
        couplings = [glow_model.coupling(experiment, [height, width, channels], seed) for seed in range(case.depth)]
        priors = [glow_model.split_prior(experiment, [height, width, channels])] if level < case.levels - 1 else []
        networks += [bijector.network for bijector in couplings + priors]
        shapes += [[case.batch_size, height, width, channels // 2]] * len(couplings + priors)
        channels //= 2
    inputs = [tf.random.stateless_normal(shape, [0, number]) for number, shape in enumerate(shapes)]
    calls = [(network, (value,)) for network, value in zip(networks, inputs, strict=True)]
    tasks = network_tasks(calls, glow_model.optimizer(experiment, LEARNING_RATE), jit_compile)
    return tasks, {"parameters": sum(network.count_params() for network in networks)}


def tfp_glow(case: Case) -> Subject:
    """`tfb.Glow` with its default networks at our width, under `tf.function`; Adamax of tf_keras, one kernel per variable."""
    limit_tensorflow()
    import tensorflow as tf
    import tensorflow_probability as tfp
    import tf_keras

    tfb, tfd = tfp.bijectors, tfp.distributions
    glow = tfb.Glow(
        output_shape=case.image_shape,
        num_glow_blocks=case.levels,
        num_steps_per_block=case.depth,
        coupling_bijector_fn=functools.partial(tfb.GlowDefaultNetwork, num_hidden=case.width),
        exit_bijector_fn=tfb.GlowDefaultExitNetwork,
        seed=0,
    )
    num_dimensions = math.prod(case.image_shape)
    flow = tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), num_dimensions), glow)
    images = tf.constant(case.images())
    values = tf.random.stateless_uniform([case.batch_size, *case.image_shape], [0, 0], -0.5, 0.5)
    flow.log_prob(values)  # sets the actnorms
    variables = glow.trainable_variables
    optimizer = tf_keras.optimizers.legacy.Adamax(LEARNING_RATE)

    @tf.function
    def step(images):
        uniform = tf.random.uniform([case.batch_size, *case.image_shape])
        dequantized = (tf.cast(images, tf.float32) + uniform) / 256.0 - 0.5
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(flow.log_prob(dequantized))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    log_prob = tf.function(flow.log_prob)
    sample = tf.function(lambda: flow.sample(case.batch_size))
    tasks = {
        TRAINING_STEP: lambda: float(step(images)),
        LOG_PROB: lambda: log_prob(values).numpy(),
        SAMPLE: lambda: sample().numpy(),
    }
    return tasks, {"parameters": sum(variable.shape.num_elements() for variable in variables)}


def normflows_glow(case: Case, compiled: bool = False) -> Subject:
    """`normflows.MultiscaleFlow` of `GlowBlock`s with dense 1x1 convolutions; `torch.optim.Adamax`.

    Args:
      case: Architecture and batch.
      compiled: Whether `torch.compile` compiles the loss, `log_prob` and `sample`; it needs a C++ compiler.
    """
    import normflows
    import torch

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    levels = case.levels
    size, channels = case.image_size, 3
    bases, flows, merges = [], [], []
    # normflows lists levels from the latent end, and the flows of a level from latent to data.
    for level in range(levels):
        squeezed = channels * 2 ** (levels + 1 - level)
        blocks = [normflows.flows.GlowBlock(squeezed, case.width, use_lu=False) for _ in range(case.depth)]
        flows.append([*blocks, normflows.flows.Squeeze()])
        side = size // 2 ** (levels - level)
        if level:
            merges.append(normflows.flows.Merge())
            bases.append(normflows.distributions.DiagGaussian((squeezed // 2, side, side)))
        else:
            bases.append(normflows.distributions.DiagGaussian((squeezed, side, side)))
    model = normflows.MultiscaleFlow(bases, flows, merges, class_cond=False)
    images = torch.from_numpy(case.images()).permute(0, 3, 1, 2).contiguous()
    values = torch.rand([case.batch_size, 3, size, size]) - 0.5
    with torch.no_grad():
        model.log_prob(values, None)  # sets the actnorms
    optimizer = torch.optim.Adamax(model.parameters(), lr=LEARNING_RATE)
    prepared = torch.compile if compiled else lambda function: function
    loss_of, log_prob, sample = map(prepared, (model.forward_kld, model.log_prob, model.sample))

    def step():
        dequantized = (images.float() + torch.rand(images.shape)) / 256.0 - 0.5
        loss = loss_of(dequantized)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    def without_gradient(function):
        def run():
            with torch.no_grad():
                function()

        return run

    tasks = {
        TRAINING_STEP: step,
        LOG_PROB: without_gradient(lambda: log_prob(values, None)),
        SAMPLE: without_gradient(lambda: sample(case.batch_size)),
    }
    return tasks, {"parameters": sum(parameter.numel() for parameter in model.parameters())}
