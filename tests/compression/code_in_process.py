"""Compresses or decompresses images with a shipped model, in a process of its own whose threads and kernels can be chosen.

python -m tests.compression.code_in_process compress|decompress FILE [--xla] [--threads=N]
"""

import argparse
import pathlib

import numpy as np
import tensorflow as tf

import tfflows
from tests.compression.small_flows import images
from tfflows.compression import Container, FlowCodec, compress, decompress
from tfflows.compression.network import Networks

MODEL = "glow_cifar10"
COUNT = 24


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("action", choices=["compress", "decompress"])
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--xla", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    model = tfflows.load(MODEL)
    given, networks = images(COUNT, model.image_shape), Networks(options.xla)
    if options.action == "compress":
        codec = FlowCodec(model.distribution, images=given[:8], networks=networks)
        compressed = compress(
            list(given), model.distribution, experiment=model.settings, codec=codec, verify=False, max_batch=4
        )
        assert not compressed.num_raw
        options.file.write_bytes(compressed.data)
        return
    data = options.file.read_bytes()
    settings = Container.from_bytes(data).header["codec"]
    codec = FlowCodec(model.distribution, settings["noise_ramp"], settings["regrids"], networks=networks)
    assert codec.fingerprint.hex()[:32] == Container.from_bytes(data).header["tables"]
    decoded = [image for _, image in decompress(data, model.distribution, experiment=model.settings, codec=codec)]
    np.testing.assert_array_equal(decoded, given)
    print(f"{len(decoded)} exact")


if __name__ == "__main__":
    main()
