"""What the tests of all papers share."""

import pytest
import tensorflow as tf


@pytest.fixture
def without_graph_optimization():
    """A graph that runs once is not worth optimizing."""
    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    yield
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False, **before})
