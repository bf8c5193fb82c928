"""Where samples of a trained MaCow cease to be finite: `python reproductions/macow/overflow.py WORKDIR`.

Standard normal latents times the temperature are decoded layer by layer. Printed are, for each temperature, how many samples are
not finite, and behind which layers their first value above `LARGE` appeared.
"""

import collections
import sys

from reproductions.driver.start_up import start_up

start_up()

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

import tfflows  # noqa: E402
from tfflows.bijectors import Chain, OnFirstChannels  # noqa: E402

NUM_SAMPLES = 64
TEMPERATURES = (0.7, 1.0)
LARGE = 1e3


def first_large(bijector: tf.Module, latents: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
    """Decodes latents.

    Args:
      bijector: Data from latents.
      latents: float32 `[N, H, W, C]`.

    Returns:
      Whether each sample is finite, bool `[N]`, and for each sample with a value above `LARGE` the layer that gave the first one.
    """
    found = {}

    def decode(layer, x, path):
        if isinstance(layer, Chain):
            for number, part in reversed(list(enumerate(layer.bijectors))):
                x = decode(part, x, f"{path}/{number}")
            return x
        if isinstance(layer, OnFirstChannels):
            kept = layer.parameters["num_channels"]
            return tf.concat([decode(layer.bijector, x[..., :kept], path), x[..., kept:]], axis=-1)
        # As a graph: in eager mode a layer refuses to give what is not finite.
        y = tf.function(layer.forward, autograph=False)(x)
        for number in np.flatnonzero(~(_largest(y) <= LARGE)):
            found.setdefault(int(number), f"{path} {type(layer).__name__}")
        return y

    return np.isfinite(_largest(decode(bijector, tf.constant(latents), ""))), found


def _largest(x):
    """The largest magnitude of each image."""
    return np.abs(x.numpy()).reshape([len(x), -1]).max(axis=1)


def main(workdir: str) -> None:
    """Prints the counts of a trained model.

    Args:
      workdir: Directory of a run, or the name of a trained model.
    """
    model = tfflows.load(workdir)
    for temperature in TEMPERATURES:
        noise = np.random.default_rng(0).standard_normal([NUM_SAMPLES, *model.distribution.latent_shape])
        finite, found = first_large(model.distribution.flow.bijector, (temperature * noise).astype(np.float32))
        print(f"temperature {temperature:g}: {np.sum(~finite)} of {NUM_SAMPLES} samples are not finite")
        for path, count in collections.Counter(found[number] for number in np.flatnonzero(~finite)).most_common():
            print(f"  {count:3d} behind {path}")


if __name__ == "__main__":
    main(sys.argv[1])
