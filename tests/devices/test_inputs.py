"""Batches of a strategy: what reaches one replica, and several."""

import numpy as np
import pytest
import tensorflow as tf

from tests.evaluation.tiny_models import random_source
from tfflows.devices.strategies import distributed_evaluation_batches, distributed_training_batches, make_strategy

EVALUATION = (distributed_evaluation_batches, {"seed": 1})
TRAINING = (distributed_training_batches, {"seed": 1, "start_step": 3, "augmentation": "none"})


@pytest.mark.parametrize(("make", "arguments"), [EVALUATION, TRAINING], ids=["evaluation", "training"])
def test_replicas_share_what_one_gets(make, arguments):
    strategies = make_strategy("one_device"), make_strategy("mirrored", 2)
    source = random_source(11)
    one, two = (iter(make(strategy, source, global_batch_size=4, **arguments)) for strategy in strategies)
    for _ in range(3):
        whole, parts = next(one), strategies[1].experimental_local_results(next(two))
        for key, values in whole.items():
            np.testing.assert_array_equal(values, np.concatenate([part[key] for part in parts]))


@pytest.mark.parametrize(("make", "arguments"), [EVALUATION, TRAINING], ids=["evaluation", "training"])
def test_one_replica_gets_the_data_set_itself(make, arguments):
    batches = make(make_strategy("one_device"), random_source(11), global_batch_size=4, **arguments)
    assert isinstance(batches, tf.data.Dataset)
