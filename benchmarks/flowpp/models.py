"""Flow++ and its bare networks as tasks on the same batch, and Flow++ with the released code's inverse of a mixture.

Each function builds one subject in the process that calls it, and returns `(tasks, facts)` for `harness.workers`;
the tasks are those of `harness.tasks`.
"""

import dataclasses
import functools
from typing import TYPE_CHECKING

from benchmarks.harness.environment import THREADS, limit_tensorflow, limit_to_parts
from benchmarks.harness.images import noise
from benchmarks.harness.tasks import LEARNING_RATE, SAMPLE, flow_tasks, network_tasks
from benchmarks.harness.workers import Subject

if TYPE_CHECKING:
    from reproductions.flowpp.experiments import FlowPPExperiment

# After init a network's outputs deviate by 0.1 and all mixtures look alike; scaled to 1 they differ as trained ones do.
_SPREAD = 10.0
# Actnorm estimates two parameters per activation from this batch alone.
_INIT_IMAGES = 16


@dataclasses.dataclass(frozen=True)
class Case:
    """The CIFAR-10 model with a given number of blocks per conditioner, on 32x32 images.

    Attributes:
      num_blocks: Blocks per conditioner of the flow.
      batch_size: Images per batch.
    """

    num_blocks: int
    batch_size: int

    def __str__(self):
        return f"width 96, {self.num_blocks} blocks, K=32, 32x32x3, batch {self.batch_size}"

    @property
    def experiment(self) -> "FlowPPExperiment":
        """The `FlowPPExperiment` of this case."""
        from reproductions.flowpp.experiments import EXPERIMENTS

        return dataclasses.replace(EXPERIMENTS["cifar10"], num_blocks=self.num_blocks)


IMAGE_SHAPE = [32, 32, 3]


def tfflows_flowpp(
    case: Case, jit_compile: bool = False, released_inverse: bool = False, num_side_by_side: int | None = None
) -> Subject:
    """Flow++ in tfflows, with dropout and the variational dequantizer.

    Args:
      case: Architecture and batch.
      jit_compile: Whether to compile with XLA.
      released_inverse: Whether to invert mixtures by bisection, as the released code does.
      num_side_by_side: As the flag --side_by_side; None: auto.
    """
    num_parts = limit_to_parts(case.batch_size, 1 if jit_compile else num_side_by_side)
    import tensorflow as tf

    from benchmarks.flowpp.released_inverse import bisect
    from reproductions.flowpp import model as flowpp
    from tfflows.devices.strategies import make_strategy
    from tfflows.math import logistic_mixture
    from tfflows.math.random import row_keys
    from tfflows.tracing.variables import count_parameters

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
    tasks = flow_tasks(strategy, model, make_optimizer, images, values, jit_compile, num_parts)
    return tasks, {"parameters": count_parameters(model), "side_by_side": num_parts}


def sampler(case: Case, jit_compile: bool = False, released_inverse: bool = False) -> Subject:
    """As `tfflows_flowpp`, but only the task `sample`."""
    tasks, facts = tfflows_flowpp(case, jit_compile, released_inverse)
    return {SAMPLE: tasks[SAMPLE]}, facts


def bare_networks(case: Case, in_turn: bool = False, threads_an_operation: int = THREADS) -> Subject:
    """The networks of our Flow++ alone, including those of the dequantizer: the same layers and dropout, on the same shapes.

    Args:
      case: Architecture and batch.
      in_turn: Whether each network waits for the one before, as in a flow.
      threads_an_operation: Threads that TensorFlow gives to one operation.
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
