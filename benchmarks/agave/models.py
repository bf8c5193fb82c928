"""AGAVE, its bare networks, and its sampling with and without a cache, as tasks on one batch.

Each function builds one subject in the process that calls it, and returns `(tasks, facts)` for `harness.workers`.
"""

import dataclasses
import functools
from typing import TYPE_CHECKING

from benchmarks.harness.environment import limit_tensorflow, limit_to_parts
from benchmarks.harness.images import noise
from benchmarks.harness.tasks import LEARNING_RATE, SAMPLE, TRAINING_STEP, network_tasks, training_step
from benchmarks.harness.timing import timed
from benchmarks.harness.workers import Subject
from tfflows.choices import EXACT, JACOBI

if TYPE_CHECKING:
    from reproductions.agave.experiments import AgaveExperiment

NAIVE = "pixels by the whole network"
PLAIN, XLA = "plain", "XLA"
# Gains are scattered by this much, so that pixels depend on those before them as after some training.
_SPREAD = 0.3
_INIT_IMAGES = 4


@dataclasses.dataclass(frozen=True)
class Case:
    """The published CIFAR-10 model with a given depth of each half, on 32x32 images.

    Attributes:
      num_blocks: Units per resolution of the feature stream and the PixelCNN++.
      vae_blocks: Blocks per resolution of the VAE.
      batch_size: Images per batch.
    """

    num_blocks: int
    vae_blocks: int
    batch_size: int

    def __str__(self):
        return f"width 160, R={self.num_blocks}, {self.vae_blocks} blocks of the VAE, 32x32x3, batch {self.batch_size}"

    @property
    def experiment(self) -> "AgaveExperiment":
        """The `AgaveExperiment` that trains both halves together from the start."""
        from reproductions.agave.experiments import EXPERIMENTS

        sizes = {"num_blocks": self.num_blocks, "vae_blocks": self.vae_blocks, "pretraining_steps": 0}
        return dataclasses.replace(EXPERIMENTS["cifar10"], **sizes)


IMAGE_SHAPE = [32, 32, 3]


def _model(case, strategy=None, initialized=True):
    import contextlib

    import tensorflow as tf

    from reproductions.agave import model as agave
    from tfflows.math.random import row_keys

    with strategy.scope() if strategy else contextlib.nullcontext():
        model = agave.build(case.experiment, IMAGE_SHAPE, 0, seed=0)
    if initialized:
        images = tf.constant(noise(_INIT_IMAGES, *IMAGE_SHAPE))
        model.initialize(images, tf.zeros([_INIT_IMAGES], tf.int32), row_keys(0))
    return model


def tfflows_agave(case: Case) -> Subject:
    """The training step of AGAVE in tfflows, with dropout."""
    limit_tensorflow()
    from reproductions.agave import model as agave
    from tfflows.devices.strategies import make_strategy
    from tfflows.tracing.variables import count_parameters

    strategy = make_strategy()
    model = _model(case, strategy)
    make_optimizer = functools.partial(agave.optimizer, case.experiment, LEARNING_RATE)
    images = noise(case.batch_size, *IMAGE_SHAPE)
    facts = {"parameters": count_parameters(model)}
    return {TRAINING_STEP: training_step(strategy, model, make_optimizer, images)}, facts


def bare_networks(case: Case) -> Subject:
    """Ladder, head, feature stream and PixelCNN++ alone: the same layers, including dropout, on inputs of the same shapes."""
    limit_tensorflow()
    import tensorflow as tf

    from reproductions.agave import model as agave
    from tfflows.math.random import row_keys

    model = _model(case)
    keys = row_keys(0)

    def normal(number, *shape):
        return tf.random.stateless_normal([case.batch_size, *shape], [0, number])

    image = normal(0, *IMAGE_SHAPE)
    ladder = model.vae.ladder
    shapes = tf.function(lambda x: model.stream(x)).get_concrete_function(image).structured_outputs
    features = [normal(number, *feature.shape[1:]) for number, feature in enumerate(shapes)]
    calls = [
        (_One(ladder), (image, ladder.draw_noise(keys, case.batch_size, IMAGE_SHAPE))),
        (model.vae.head, (normal(1, 16, 16, case.experiment.vae_width),)),
        (_One(model.stream), (image, keys)),
        (model.pixels.network, (image, features, keys)),
    ]
    tasks = network_tasks(calls, agave.optimizer(case.experiment, LEARNING_RATE))
    parameters = sum(variable.shape.num_elements() for network, _ in calls for variable in network.trainable_variables)
    return {TRAINING_STEP: tasks[TRAINING_STEP]}, {"parameters": parameters}


class _One:
    """A network with several outputs as one that returns them concatenated in a single vector."""

    def __init__(self, network):
        self._network = network
        self.trainable_variables = network.trainable_variables

    def __call__(self, *inputs):
        import tensorflow as tf

        return tf.concat([tf.reshape(out, [-1]) for out in tf.nest.flatten(self._network(*inputs))], axis=0)


def sampler(case: Case, num_pixels: int) -> Subject:
    """Sampling with cached activations, and the first `num_pixels` pixels by a call of the whole network for each."""
    limit_tensorflow()
    import tensorflow as tf

    from tfflows.devices.strategies import process_options
    from tfflows.math.random import row_keys
    from tfflows.networks.pixelcnn.sampling import naive_sample
    from tfflows.tracing.variables import count_parameters

    process_options(side_by_side=1)  # as the command with --side_by_side=1
    model = _model(case)
    components = case.experiment.num_components
    shape = [case.batch_size, *IMAGE_SHAPE[:2]]
    uniforms = [
        tf.random.stateless_uniform([*shape, size], [0, size], 1e-5, 1 - 1e-5) for size in (components, IMAGE_SHAPE[2])
    ]
    features = model.features(model.vae.prior_means(case.batch_size, row_keys(0)))
    cached = tf.function(lambda: model.sample(case.batch_size, row_keys(0)), autograph=False)
    naive = tf.function(
        lambda: naive_sample(model.pixels.network, components, *uniforms, features, num_pixels=num_pixels),
        autograph=False,
    )
    tasks = {SAMPLE: lambda: cached().numpy(), NAIVE: lambda: naive().numpy()}
    return tasks, {"parameters": count_parameters(model)}


def _pixelcnn(num_parts, **changes):
    """The PixelCNN++ of CIFAR-10 after data-dependent init, in a process set up as by the command."""
    import tensorflow as tf

    from reproductions.agave import model as agave
    from reproductions.agave.experiments import EXPERIMENTS
    from tfflows.devices.strategies import process_options
    from tfflows.math.random import row_keys

    process_options(side_by_side=num_parts)
    model = agave.build(dataclasses.replace(EXPERIMENTS["cifar10_pixelcnn"], **changes), IMAGE_SHAPE, 0, seed=0)
    model.initialize(tf.constant(noise(_INIT_IMAGES, *IMAGE_SHAPE)), tf.zeros([_INIT_IMAGES], tf.int32), row_keys(0))
    return model


def pixelcnn_sampler(batch_size: int, num_blocks: int) -> Subject:
    """Sampling of the published PixelCNN++ by itself, with cached activations.

    Args:
      batch_size: Images per batch.
      num_blocks: Units per resolution; 5 as published.
    """
    num_parts = limit_to_parts(batch_size)
    import tensorflow as tf

    from tfflows.devices.strategies import side_by_side
    from tfflows.math.random import row_keys
    from tfflows.tracing.variables import count_parameters

    model = _pixelcnn(num_parts, num_blocks=num_blocks)

    def part(index):
        return model.sample(index.shape[0], row_keys(0, 0, index[0]))

    index = tf.range(batch_size, dtype=tf.int64)
    sample = tf.function(lambda: side_by_side(part, [index], num_parts), autograph=False)
    return {SAMPLE: lambda: sample().numpy()}, {"parameters": count_parameters(model), "side_by_side": num_parts}


def pixelcnn_samplers(batch_size: int, num_blocks: int, width: int) -> Subject:
    """The cached sampler of the published PixelCNN++ by TensorFlow's own loops and by XLA, from the same uniform numbers.

    Args:
      batch_size: Images per batch.
      num_blocks: Units per resolution; 5 as published.
      width: Channels of the streams; 160 as published.

    Returns:
      Tasks `plain` and `XLA`, already called once; under `first_calls` the seconds that this took, and under `differing` the
      share of values that differ by more than one grey level.
    """
    limit_tensorflow()
    import numpy as np
    import tensorflow as tf

    from tfflows.math.random import row_keys
    from tfflows.tracing.sampler import compiled_pixels
    from tfflows.tracing.variables import count_parameters

    model = _pixelcnn(1, num_blocks=num_blocks, width=width)
    for number, variable in enumerate(model.trainable_variables):
        variable.assign(variable * (1 + _SPREAD * tf.random.stateless_normal(variable.shape, [number, 0])))

    def sampler(jit_compile):
        def draw():
            with compiled_pixels(jit_compile):
                return model.sample(batch_size, row_keys(0))

        return tf.function(draw, autograph=False)

    functions = {PLAIN: sampler(False), XLA: sampler(True)}
    tasks = {name: lambda function=function: function().numpy() for name, function in functions.items()}
    first_calls = {name: timed(task)(1)[0] for name, task in tasks.items()}
    plain, compiled = (tasks[name]().astype(int) for name in (PLAIN, XLA))
    facts = {
        "parameters": count_parameters(model),
        "first_calls": first_calls,
        "differing": float(np.mean(np.abs(plain - compiled) > 1)),
    }
    return tasks, facts


def iaf_solver(side: int, gain: float, batch_size: int) -> Subject:
    """The inverse of the flow in the topmost block of the published IAF-VAE: tasks `exact` and `jacobi`.

    Args:
      side: Side of the latents; 16 as published.
      gain: Factor of the shifts and log-scales after data-dependent init.
      batch_size: Images per batch.

    Returns:
      The tasks, and as facts the number of `passes` of each; the largest `error` of the second, its difference from the first
      over max(1, |y|); and `scatter`, the standard deviation of shifts and log-scales.
    """
    limit_tensorflow()
    import numpy as np
    import tensorflow as tf

    from reproductions.agave.experiments import EXPERIMENTS
    from tfflows.bijectors import InverseAutoregressive
    from tfflows.math.fixed_point import TOLERANCE
    from tfflows.networks import AutoregressiveNetwork

    experiment = EXPERIMENTS["cifar10_iaf_vae"]
    channels, width = experiment.latent_channels, experiment.vae_width
    network = AutoregressiveNetwork(channels, width, experiment.compatibility, seed=0)
    flow = InverseAutoregressive(network, conditional=True)
    shape = [batch_size, side, side]
    y = tf.random.stateless_normal([*shape, channels], [0, 0])
    context = tf.random.stateless_normal([*shape, width], [0, 1])
    flow.initialize(y, condition=context)
    found = network(y, context)
    for layer in (network.shift, network.log_scale):
        layer.gain.assign_add(tf.fill(layer.gain.shape, tf.math.log(gain)))
        layer.bias.assign(gain * layer.bias)
    np.testing.assert_allclose(network(y, context), gain * found, rtol=1e-3, atol=1e-4)
    x = flow.inverse(y, condition=context)

    tolerances = {EXACT: 0.0, JACOBI: TOLERANCE}
    functions = {
        name: tf.function(functools.partial(flow.jacobi, x, context, tolerance), autograph=False)
        for name, tolerance in tolerances.items()
    }
    tasks = {name: lambda function=function: function()[0].numpy() for name, function in functions.items()}
    exact, near = (function() for function in functions.values())
    error = np.max(np.abs(near[0] - exact[0]) / np.maximum(np.abs(exact[0]), 1))
    passes = {EXACT: float(exact[2]), JACOBI: float(near[2])}
    return tasks, {"passes": passes, "error": float(error), "scatter": float(np.std(gain * found))}
