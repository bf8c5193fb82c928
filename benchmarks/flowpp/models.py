"""Flow++ and its bare networks as tasks on the same batch, and Flow++ with the released way to invert a mixture.

Each function builds one subject in the process that it is called in, and returns `(tasks, facts)` for `harness.workers`;
the tasks are those of `harness.tasks`.
"""

import dataclasses
import functools
from typing import TYPE_CHECKING

from benchmarks.harness.environment import THREADS, limit_tensorflow
from benchmarks.harness.images import noise
from benchmarks.harness.tasks import LEARNING_RATE, SAMPLE, flow_tasks, network_tasks
from benchmarks.harness.workers import Subject

if TYPE_CHECKING:
    from reproductions.flowpp.experiments import FlowPPExperiment

# At init a network's outputs have a deviation of 0.1 and all mixtures look alike; brought to 1 they differ as trained ones do.
_SPREAD = 10.0
# Actnorm has two parameters for every activation and takes them from this batch alone.
_INIT_IMAGES = 16


@dataclasses.dataclass(frozen=True)
class Case:
    """The CIFAR-10 model with so many blocks a conditioner of the flow, on so many 32x32 images."""

    num_blocks: int
    batch_size: int

    def __str__(self):
        return f"width 96, {self.num_blocks} blocks, K=32, 32x32x3, batch {self.batch_size}"

    @property
    def experiment(self) -> "FlowPPExperiment":
        """The `FlowPPExperiment`."""
        from reproductions.flowpp.experiments import EXPERIMENTS

        return dataclasses.replace(EXPERIMENTS["cifar10"], num_blocks=self.num_blocks)


IMAGE_SHAPE = [32, 32, 3]


def tfflows_flowpp(
    case: Case, jit_compile: bool = False, released_inverse: bool = False, num_side_by_side: int = 1
) -> Subject:
    """Ours, with dropout and the variational dequantizer.

    `released_inverse`: bisection as in the released code; `num_side_by_side`: as --side_by_side, of the training step.
    """
    limit_tensorflow(1 if num_side_by_side > 1 else THREADS)
    import tensorflow as tf

    from benchmarks.flowpp.released_inverse import bisect
    from reproductions.flowpp import model as flowpp
    from tfflows.devices.strategies import make_strategy
    from tfflows.math import logistic_mixture
    from tfflows.math.random import row_keys
    from tfflows.tracing.named_variables import count_parameters

    if released_inverse:
        logistic_mixture.solve = bisect
    strategy = make_strategy()
    with strategy.scope():
        model = flowpp.build(case.experiment, IMAGE_SHAPE, 0, seed=0)
    model.initialize(tf.constant(noise(_INIT_IMAGES, *IMAGE_SHAPE)), tf.zeros([_INIT_IMAGES], tf.int32), row_keys(0))
    for network in _conditioners(model.flow.bijector):
        kernel = network.last.kernel
        kernel.assign(_SPREAD * kernel)
    make_optimizer = functools.partial(flowpp.optimizer, case.experiment, LEARNING_RATE)
    values = tf.random.stateless_uniform([case.batch_size, *IMAGE_SHAPE], [0, 0], -0.5, 0.5)
    images = noise(case.batch_size, *IMAGE_SHAPE)
    tasks = flow_tasks(strategy, model, make_optimizer, images, values, jit_compile, num_side_by_side)
    return tasks, {"parameters": count_parameters(model)}


def sampler(case: Case, jit_compile: bool = False, released_inverse: bool = False) -> Subject:
    """As `tfflows_flowpp`, the task `sample` alone."""
    tasks, facts = tfflows_flowpp(case, jit_compile, released_inverse)
    return {SAMPLE: tasks[SAMPLE]}, facts


def bare_networks(case: Case, in_turn: bool = False, threads_an_operation: int = THREADS) -> Subject:
    """The networks of our Flow++ alone, those of the dequantizer too: the same layers, dropout and all, on the same shapes.

    With `in_turn` each waits for the one before, as in a flow.
    """
    limit_tensorflow(threads_an_operation)
    import tensorflow as tf

    from reproductions.flowpp import model as flowpp
    from tfflows.math.random import row_keys

    model = flowpp.build(case.experiment, IMAGE_SHAPE, 0, seed=0)
    keys = row_keys(0)

    def normal(number, shape):
        return tf.random.stateless_normal([case.batch_size, *shape], [0, number])

    height, width, channels = IMAGE_SHAPE
    calls = [(model.dequantizer.context_network, (normal(0, [height, width // 2, 2 * channels]), keys))]
    for chain, context in ((model.dequantizer.bijector, True), (model.flow.bijector, False)):
        for network in _conditioners(chain):
            *sides, _ = network.position.shape
            condition = {"dropout": keys} | ({"context": normal(1, [*sides, 32])} if context else {})
            inputs = network.first.kernel.shape[2]
            calls.append((network, (normal(len(calls) + 1, [*sides, inputs]), condition)))
    tasks = network_tasks(calls, flowpp.optimizer(case.experiment, LEARNING_RATE), in_turn=in_turn)
    return tasks, {"parameters": sum(network.count_params() for network, _ in calls)}


def _conditioners(chain):
    from tfflows.bijectors import Chain, LogisticMixtureCoupling

    steps = [step for step in chain.bijectors if isinstance(step, Chain)]
    return [layer.network for step in steps for layer in step.bijectors if isinstance(layer, LogisticMixtureCoupling)]
