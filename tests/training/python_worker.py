"""One of several workers that train from Python with the Trainer alone; test_multi_worker.py starts it in processes of its own.

TF_CONFIG=... python python_worker.py WORKDIR SEED BATCH_SIZE GREY_LEVEL
"""

import sys

import numpy as np
import tensorflow_probability as tfp

from tfflows.bijectors import ActNorm
from tfflows.devices.strategies import make_strategy
from tfflows.distributions.dequantized_flow import DequantizedFlow
from tfflows.training import Trainer
from tfflows.training.optimizers import Adam


def main(workdir, seed, batch_size, level):
    images = np.random.default_rng(0).integers(0, 256, [16, 4, 4, 1], np.uint8)
    images[-1] = level
    strategy = make_strategy("multi_worker")
    with strategy.scope():
        base = tfp.distributions.Sample(tfp.distributions.Normal(0.0, 1.0), [4, 4, 1])
        model = DequantizedFlow(tfp.distributions.TransformedDistribution(base, ActNorm([1])))
        trainer = Trainer(model, Adam(0.01), seed=seed, workdir=workdir)
    trainer.fit(images, 3, batch_size=batch_size, init_batch_size=8)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
