"""A short run in bfloat16 goes as the one in float32 does."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.training.tiny_runs import EXPERIMENT, TinyTrainer, digits
from tfflows.training.logs import METRICS_FILE, read_metrics

LEARNER = dataclasses.replace(EXPERIMENT, levels=2, depth=2, width=32, batch_size=32, learning_rate=1e-3)


@pytest.mark.slow
def test_bits_per_dim_in_bfloat16_are_those_in_float32(tmp_path):
    curves = {}
    for precision in ("float32", "mixed_bfloat16"):
        trainer = TinyTrainer(experiment=dataclasses.replace(LEARNER, precision=precision), source=digits(1000))
        assert {variable.dtype for variable in trainer.model.trainable_variables} == {tf.float32}
        workdir = tmp_path / precision
        trainer.run(workdir, 400, log_every=100, checkpoint_every=1000, steps_per_execution=100)
        curves[precision] = [line["bits_per_dim"] for line in read_metrics(workdir / METRICS_FILE)]
    print(curves)
    whole, half = curves.values()
    assert whole[-1] < whole[0] - 1.0  # it has learned
    assert whole != half
    np.testing.assert_allclose(half, whole, rtol=0, atol=0.01)
