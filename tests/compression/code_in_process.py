"""Compresses or decompresses images with a model, in a process of its own whose threads and kernels can be chosen.

python -m tests.compression.code_in_process compress|decompress FILE [--model=NAME] [--xla] [--threads=N]
"""

import argparse
import pathlib

import numpy as np
import tensorflow as tf

import tfflows
from tests.compression.small_agave import agave_model, images_near_grey
from tests.compression.small_flows import images
from tfflows.compression import AGAVECodec, Container, FlowCodec, compress, decompress
from tfflows.compression.network import Networks

COUNT = 24


class Glow:
    """The shipped model."""

    images = staticmethod(images)

    def __init__(self, networks):
        model = tfflows.load("glow_cifar10")
        self.distribution, self.settings, self._networks = model.distribution, model.settings, networks

    def codec(self, settings, given):
        """The codec of settings, or one that chooses them."""
        if settings is None:
            return FlowCodec(self.distribution, images=given[:8], networks=self._networks)
        return FlowCodec(self.distribution, settings["noise_ramp"], settings["regrids"], networks=self._networks)


class Agave:
    """Untrained, of all kinds of networks that are coded with latents and pixel by pixel."""

    images = staticmethod(images_near_grey)

    def __init__(self, networks):
        self.distribution, self.settings, self._networks = agave_model("agave_small"), None, networks

    def codec(self, settings, given):
        """The codec, which has nothing to choose."""
        return AGAVECodec(self.distribution, networks=self._networks)


MODELS = {"glow": Glow, "agave": Agave}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("action", choices=["compress", "decompress"])
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--model", choices=MODELS, default="glow")
    parser.add_argument("--xla", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    model = MODELS[options.model](Networks(options.xla))
    given = model.images(COUNT, tuple(model.distribution.image_shape))
    if options.action == "compress":
        codec = model.codec(None, given)
        compressed = compress(
            list(given), model.distribution, experiment=model.settings, codec=codec, verify=False, max_batch=4
        )
        assert not compressed.num_raw
        options.file.write_bytes(compressed.data)
        return
    data = options.file.read_bytes()
    codec = model.codec(Container.from_bytes(data).header["codec"], given)
    assert codec.fingerprint.hex()[:32] == Container.from_bytes(data).header["tables"]
    decoded = [image for _, image in decompress(data, model.distribution, experiment=model.settings, codec=codec)]
    np.testing.assert_array_equal(decoded, given)
    print(f"{len(decoded)} exact")


if __name__ == "__main__":
    main()
