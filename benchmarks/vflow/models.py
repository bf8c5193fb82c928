"""VFlow and a Flow++ of equal width, as tasks on the same batch.

Each function builds one subject in the process that calls it, and returns `(tasks, facts)` for `harness.workers`.
"""

import dataclasses
import functools

from benchmarks.harness.environment import limit_tensorflow
from benchmarks.harness.images import noise
from benchmarks.harness.tasks import LEARNING_RATE, SAMPLE, TRAINING_STEP, training_step
from benchmarks.harness.workers import Subject

VFLOW, FLOWPP = "VFlow, 6 channels", "Flow++"

IMAGE_SHAPE = [32, 32, 3]
# Actnorm estimates two parameters per activation from this batch alone.
_INIT_IMAGES = 16
# Without z the stages are Flow++'s, because three channels cannot be split into halves.
_FLOWPP_STAGES = "checkerboard 4, squeeze, channel 2, checkerboard 3"


@dataclasses.dataclass(frozen=True)
class Case:
    """The CIFAR-10 model with 32 components.

    Attributes:
      augment_channels: Channels of z; 0 for Flow++.
      batch_size: Images per batch.
      width: Hidden channels, D_H.
      num_blocks: Blocks per conditioner.
    """

    augment_channels: int
    batch_size: int
    width: int = 96
    num_blocks: int = 10

    def __str__(self):
        return f"width {self.width}, {self.num_blocks} blocks, K=32, 32x32x3, batch {self.batch_size}"

    @property
    def changes(self) -> dict[str, object]:
        """The fields in which it differs from VFlow's experiment `cifar10`."""
        without = {} if self.augment_channels else {"stages": _FLOWPP_STAGES}
        return {
            "augment_channels": self.augment_channels,
            "width": self.width,
            "num_blocks": self.num_blocks,
            **without,
        }


def model_tasks(case: Case) -> Subject:
    """Training step and sampling of a case, including dropout and the variational dequantizer."""
    limit_tensorflow()
    import tensorflow as tf

    from reproductions.flowpp.model import optimizer
    from reproductions.vflow import model as vflow
    from reproductions.vflow.experiments import EXPERIMENTS
    from tfflows.devices.strategies import make_strategy
    from tfflows.math.random import row_keys
    from tfflows.tracing.variables import count_parameters

    experiment = dataclasses.replace(EXPERIMENTS["cifar10"], **case.changes)
    strategy = make_strategy()
    with strategy.scope():
        model = vflow.build(experiment, IMAGE_SHAPE, 0, seed=0)
    model.initialize(tf.constant(noise(_INIT_IMAGES, *IMAGE_SHAPE)), tf.zeros([_INIT_IMAGES], tf.int32), row_keys(0))
    make_optimizer = functools.partial(optimizer, experiment, LEARNING_RATE)
    sample = tf.function(lambda: model.sample(case.batch_size, row_keys(1)))
    tasks = {
        TRAINING_STEP: training_step(strategy, model, make_optimizer, noise(case.batch_size, *IMAGE_SHAPE)),
        SAMPLE: lambda: sample().numpy(),
    }
    return tasks, {"parameters": count_parameters(model)}
