"""Tasks for `harness.workers` that time the flows and networks of any paper.

A task is a function without arguments that takes one batch and returns when its work is done.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from tfflows.distributions.dequantized_flow import DequantizedFlow

Task = Callable[[], object]

TRAINING_STEP, LOG_PROB, SAMPLE = "training step", "log_prob", "sample"

LEARNING_RATE = 1e-3


def flow_tasks(
    strategy: "tf.distribute.Strategy",
    model: "DequantizedFlow",
    make_optimizer: Callable[[], "keras.optimizers.Optimizer"],
    images: np.ndarray,
    values: "tf.Tensor",
    jit_compile: bool = False,
    num_side_by_side: int = 1,
) -> dict[str, Task]:
    """Tasks of a flow: a training step (noise, bound, gradients, update), `log_prob`, and sampling a batch of the same size.

    Args:
      strategy: Strategy in whose scope the model was made.
      model: The model, already initialized.
      make_optimizer: Function that makes the optimizer in the strategy's scope.
      images: Training images, uint8, shape `[B, H, W, C]`.
      values: Argument of `log_prob`, float32 in [-1/2, 1/2), shape `[B, H, W, C]`.
      jit_compile: Whether to compile with XLA.
      num_side_by_side: Number of parts of a batch that are computed side by side, by all tasks.
    """
    import tensorflow as tf

    from tfflows.devices.strategies import side_by_side

    def in_parts(function):
        return tf.function(lambda rows: side_by_side(function, [rows], num_side_by_side), jit_compile=jit_compile)

    count = len(images)
    log_prob = in_parts(model.flow.log_prob)
    latents = tf.function(lambda: tf.random.normal([count, *model.flow.distribution.event_shape]))
    forward = in_parts(model.flow.bijector.forward)
    return {
        TRAINING_STEP: training_step(strategy, model, make_optimizer, images, jit_compile, num_side_by_side),
        LOG_PROB: lambda: log_prob(values).numpy(),
        SAMPLE: lambda: forward(latents()).numpy(),
    }


def training_step(
    strategy: "tf.distribute.Strategy",
    model: object,
    make_optimizer: Callable[[], "keras.optimizers.Optimizer"],
    images: np.ndarray,
    jit_compile: bool = False,
    num_side_by_side: int = 1,
) -> Task:
    """The task `training step` of any model that the driver can train; the arguments are as for `flow_tasks`."""
    import tensorflow as tf

    from tfflows.tracing.variables import named_variables
    from tfflows.training.parameters import build_flat
    from tfflows.training.train_step import make_train_step

    count = len(images)
    variables = {name: variable for name, variable in named_variables(model).items() if variable.trainable}
    with strategy.scope():
        optimizer = make_optimizer()
        flat = build_flat(optimizer, variables)
    step = make_train_step(
        strategy,
        model,
        optimizer,
        variables,
        global_batch_size=count,
        seed=0,
        jit_compile=jit_compile,
        num_side_by_side=num_side_by_side,
        flat_parameters=flat,
    )
    batch = {
        "image": tf.constant(images),
        "label": tf.zeros([count], tf.int32),
        "index": tf.range(count, dtype=tf.int64),
        "step": tf.zeros([count], tf.int64),
    }
    return lambda: float(step(batch)["loss"])


# Factor of a network's output in the next one's input: without effect in float32, but the graph has to wait for it.
_LINK = 1e-30


def network_tasks(
    calls: Sequence[tuple[Callable, tuple]],
    optimizer: "keras.optimizers.Optimizer",
    jit_compile: bool = False,
    in_turn: bool = False,
) -> dict[str, Task]:
    """Tasks of networks alone: a step (forward, backward to weights and inputs as in a flow, update), and the forward pass.

    Args:
      calls: Pairs `(network, arguments)`: built Keras layers and the tuples of structures of tensors that they are called with.
      optimizer: An optimizer that is not built yet.
      jit_compile: Whether to compile with XLA.
      in_turn: Whether each network waits for the one before, in both directions, as in a flow. If so, the first argument of each
        must be a float tensor. Otherwise TensorFlow may run several at a time.
    """
    import tensorflow as tf

    networks, arguments = zip(*calls, strict=True)
    variables = [variable.value for network in networks for variable in network.trainable_variables]
    optimizer.build(variables)

    def run_all(arguments):
        outputs = []
        for network, (first, *rest) in zip(networks, arguments, strict=True):
            if in_turn and outputs:
                first += _LINK * tf.reduce_mean(outputs[-1])
            outputs.append(network(first, *rest))
        return outputs

    # Gradients that would come from the rest of a flow.
    shapes = [output.shape for output in tf.function(run_all).get_concrete_function(arguments).structured_outputs]
    outer = [tf.random.stateless_normal(shape, [1, number]) for number, shape in enumerate(shapes)]

    @tf.function(jit_compile=jit_compile)
    def gradients_of(arguments, outer):
        inputs = [value for value in tf.nest.flatten(arguments) if value.dtype.is_floating]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = run_all(arguments)
        gradients, input_gradients = tape.gradient(outputs, (variables, inputs), outer)
        return gradients, tf.add_n([tf.reduce_sum(gradient) for gradient in input_gradients])

    @tf.function
    def step():
        gradients, input_sum = gradients_of(arguments, outer)
        optimizer.apply(gradients, variables)
        return input_sum

    forward = tf.function(run_all, jit_compile=jit_compile)

    def run_forward():
        for output in forward(arguments):
            output.numpy()

    # As in a flow, a pass in either direction runs each network once.
    return {TRAINING_STEP: lambda: float(step()), LOG_PROB: run_forward}
