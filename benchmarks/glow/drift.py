"""The effect of rebuilding inputs on float32 gradients, against depth."""

from benchmarks.harness.environment import limit_tensorflow
from benchmarks.harness.images import noise
from benchmarks.harness.timing import summary
from benchmarks.harness.topic import Findings, Topic
from reproductions.reporting.benchmarks import Measurement

DEPTHS = (4, 8, 16, 32, 64)
SIZE, BATCH = 16, 16

NOTES = (
    "Difference of the gradients of a memory mode from the plain mode's, in float32: norm of the difference over all parameters, "
    "divided by the norm of the gradients. L=1, width 64, 16x16x3, batch 16, after data-dependent init, kernels disturbed by "
    "N(0, 0.01^2). In float64 they are equal to 1e-9 (tests/tracing/test_memory.py).",
)


def measure(findings: Findings) -> None:
    """Measures and adds the rows."""
    limit_tensorflow()
    for depth in findings.choose(DEPTHS, DEPTHS[:1]):
        for mode, difference in differences(depth).items():
            row = Measurement(
                f"K={depth}", "relative difference", mode, "parts in a million", **summary([1e6 * difference])
            )
            findings.measurements.append(row)


def differences(depth: int) -> dict[str, float]:
    """Relative differences of the gradients, `{mode: norm(gradients - plain) / norm(plain)}`."""
    import dataclasses

    import tensorflow as tf

    from reproductions.glow import model as glow_model
    from reproductions.glow.experiments import EXPERIMENTS
    from tfflows.tracing.memory import memory_scope

    experiment = dataclasses.replace(EXPERIMENTS["cifar10"], depth=depth, levels=1, width=64, image_size=SIZE)
    flow = glow_model.build(experiment, [SIZE, SIZE, 3], 0, seed=0).flow
    values = tf.constant(noise(BATCH, SIZE, SIZE, 3) / 256 - 0.5, tf.float32)
    flow.bijector.initialize(values)
    variables = flow.trainable_variables
    for index, variable in enumerate(variables):
        if variable.shape.rank == 4:
            variable.assign_add(0.01 * tf.random.stateless_normal(variable.shape, [index, 1]))

    def gradients(mode):
        @tf.function(autograph=False)
        def run():
            with tf.GradientTape() as tape, memory_scope(mode):
                loss = -tf.reduce_mean(flow.log_prob(values)) / values.shape[1:].num_elements()
            return tf.concat([tf.reshape(gradient, [-1]) for gradient in tape.gradient(loss, variables)], axis=0)

        return run()

    plain = gradients("plain")
    return {mode: float(tf.norm(gradients(mode) - plain) / tf.norm(plain)) for mode in ("recompute", "reversible")}


TOPIC = Topic("drift", "Drift of reversible gradients", NOTES, measure)
