"""The network of an inverse autoregressive flow: what each number sees, and its errors."""

import numpy as np
import pytest
import tensorflow as tf

from tfflows.bijectors import InverseAutoregressive
from tfflows.networks import AutoregressiveConv2D, AutoregressiveNetwork, ExponentialGainConv2D, ImageHead


@pytest.mark.parametrize("width", [4, 2, 1])
def test_each_number_sees_those_before_it_in_reverse_raster_order(width):
    channels, side = 2, 3
    network = AutoregressiveNetwork(channels, width, dtype="float64")
    for index, variable in enumerate(network.trainable_variables):
        variable.assign(variable + tf.random.stateless_normal(variable.shape, [index, 3], dtype=tf.float64))
    flow = InverseAutoregressive(network, dtype=tf.float64)
    size = channels * side**2
    # Of each copy one number counts.
    x = tf.repeat(tf.random.stateless_normal([1, side, side, channels], [0, 1], dtype=tf.float64), size, axis=0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        z, log_det = flow.inverse_and_log_det(x)
        total = tf.linalg.trace(tf.reshape(z, [size, size]))
    jacobian = tf.reshape(tape.gradient(total, x), [side**2, channels, side**2, channels]).numpy()
    # Pixels from the last to the first, channels from the first to the last.
    ordered = jacobian[::-1, :, ::-1].reshape([size, size])
    assert (np.triu(ordered, 1) == 0).all() and (np.tril(ordered, -1) != 0).any()
    np.testing.assert_allclose(np.log(np.diag(ordered)).sum(), log_det[0], rtol=1e-9)


@pytest.mark.parametrize(("compatibility", "agrees"), [("released", False), ("fixed", True)])
def test_latents_of_the_initialization(compatibility, agrees):
    """The released code passes on outputs of the gain that it intends, and keeps the third root of the gain."""
    flow = InverseAutoregressive(AutoregressiveNetwork(2, 4, compatibility, dtype="float64"), dtype=tf.float64)
    y = 3 * tf.random.stateless_normal([16, 4, 4, 2], [0, 1], dtype=tf.float64)
    difference = np.abs(flow.initialize(y) - flow.inverse(y)).max()
    assert difference < 1e-6 if agrees else difference > 0.01


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AutoregressiveNetwork(4, 6), "must divide the other, got 4 and 6"),
        (lambda: ExponentialGainConv2D(4, compatibility="theano"), "compatibility must be one of"),
        (lambda: AutoregressiveConv2D(4, compatibility="theano"), "compatibility must be one of"),
        (lambda: ImageHead(4, scale=3), "2, 1 or 0.5 times as wide"),
    ],
)
def test_what_cannot_be_says_why(make, message):
    with pytest.raises(ValueError, match=message):
        make()
