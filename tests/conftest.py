"""Set-up of the whole test session: eight logical CPUs, so that replication is tested anywhere."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# XLA's optimizations cost more here than they save: every compiled function of the tests runs once.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0".strip()

# Two processes of tests share two cores, and their kernels are small.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

import tensorflow as tf

NUM_LOGICAL_DEVICES = 8

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration() for _ in range(NUM_LOGICAL_DEVICES)],
)

# Started, TensorFlow keeps its threads: no test computes in as many parts as this machine has cores, unless it asks for it.
tf.config.list_logical_devices()

# As `process_options` does: nearly every graph of the tests runs once, which is not worth optimizing it.
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def pytest_collection_modifyitems(items):
    """Tests that start processes of their own first: begun last, one of them would keep one core waiting for the other."""
    items.sort(key=lambda item: "tests/training/" not in item.nodeid)
