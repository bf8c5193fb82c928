"""What several workers tell each other before they train: that they were started alike and see the same files."""

import contextlib
import hashlib
import json
import warnings
import weakref
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from tfflows.data import ArraySource, ImageSource, evaluation_batches
from tfflows.devices.strategies import LOST_WORKER, num_local_replicas, num_workers, worker_index

_FINGERPRINT_IMAGES = 64

# What is known of sources that still exist: a command and the Trainer that it calls both ask, and reading takes time.
_fingerprints = weakref.WeakKeyDictionary()


class WorkersDisagree(ValueError):
    """The workers were started with different settings; the message names them."""


def check_workers_agree(
    strategy: tf.distribute.Strategy, settings: Mapping[str, object], advice: str = "", limit: int | None = None
) -> None:
    """Compares the settings of all workers; does nothing without a cluster.

    All workers must call this at the same place, and all of them raise the same error.

    Args:
      strategy: The strategy of the cluster.
      settings: JSON values by name.
      advice: What to do, for the message; default: start all workers with the same command.
      limit: Number of settings that the message names at most; default: all.

    Raises:
      WorkersDisagree: If a setting is not the same everywhere. The message names each one and its values.
    """
    texts = gather_texts(strategy, json.dumps(dict(settings), sort_keys=True, default=str))
    if len(set(texts)) == 1:
        return
    raise WorkersDisagree(
        f"The workers do not agree: {differences([json.loads(text) for text in texts], limit)}. "
        f"{advice or 'Start all workers with the same command and the same data.'}"
    )


def differences(settings: list[Mapping[str, object]], limit: int | None = None) -> str:
    """Names the settings that are not the same in all mappings, one mapping per worker; at most `limit`, and counts the rest.

    Example:
      >>> from tfflows.devices.agreement import differences
      >>> differences([{"seed": 0, "width": 4}, {"seed": 1, "width": 4}])
      'seed is 0 on worker 0 and 1 on worker 1'
    """
    names = sorted({name for own in settings for name in own})
    parts = []
    for name in names:
        values = [json.dumps(own[name]) if name in own else "absent" for own in settings]
        if len(set(values)) > 1:
            each = [f"{value} on worker {index}" for index, value in enumerate(values)]
            parts.append(f"{name} is {', '.join(each[:-1])} and {each[-1]}")
    if limit is not None and len(parts) > limit:
        parts = [*parts[:limit], f"and {len(parts) - limit} more"]
    return "; ".join(parts)


def settings_of_optimizer(optimizer: keras.optimizers.Optimizer) -> dict[str, object]:
    """The class and the configuration of an optimizer as JSON values, for `check_workers_agree`.

    Of what is no JSON value, such as a function, only the class is told: its text would differ between processes.
    A rate that is a number is a variable, and under a strategy of several workers TensorFlow has given all of them that of the
    first when the optimizer was made.

    Example:
      >>> import keras
      >>> from tfflows.devices.agreement import settings_of_optimizer
      >>> settings = settings_of_optimizer(keras.optimizers.SGD(0.1))
      >>> print(settings["optimizer"], round(settings["optimizer.learning_rate"], 3))
      SGD 0.1
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras warns of functions
        config = optimizer.get_config()
    own = {f"optimizer.{name}": _as_json(value) for name, value in config.items() if name != "name"}
    return {"optimizer": type(optimizer).__name__, **own}


def _as_json(value):
    if isinstance(value, Mapping) and {"class_name", "config"} <= set(value):  # as Keras serializes objects
        if value["class_name"] == "__lambda__":
            return "function"
        config = value["config"] if isinstance(value["config"], Mapping) else {"name": value["config"]}
        return {"class": value["class_name"], **_as_json(config)}
    if isinstance(value, Mapping):
        return {str(key): _as_json(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(part) for part in value]
    if isinstance(value, keras.optimizers.schedules.LearningRateSchedule):  # within another one
        return {"class": type(value).__name__, **_as_json(value.get_config())}
    if value is None or isinstance(value, str | int | float):
        return value
    return float(value) if isinstance(value, np.number) else type(value).__name__


def settings_of_variables(variables: Mapping[str, tf.Variable]) -> dict[str, str]:
    """Shape and dtype of variables by name, for `check_workers_agree`.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.devices.agreement import settings_of_variables
      >>> settings_of_variables({"model/bias": tf.Variable([0.0, 0.0])})
      {'the variable model/bias': 'float32 (2,)'}
    """
    return {
        f"the variable {name}": f"{tf.as_dtype(variable.dtype).name} {tuple(variable.shape)}"
        for name, variable in variables.items()
    }


def source_fingerprint(source: ImageSource) -> str:
    """Hash of the form and the images of a split: all of them in memory and in folders, the first ones elsewhere.

    It is computed once a source.

    Example:
      >>> import numpy as np
      >>> from tfflows.data import array_source
      >>> from tfflows.devices.agreement import source_fingerprint
      >>> black, grey = (np.full([2, 4, 4, 1], level, np.uint8) for level in (0, 128))
      >>> source_fingerprint(array_source(black)) == source_fingerprint(array_source(grey))
      False
    """
    if source not in _fingerprints:
        _fingerprints[source] = _compute_fingerprint(source)
    return _fingerprints[source]


def _compute_fingerprint(source):
    digest = hashlib.sha256(f"{source.split} {source.num_images} {source.image_shape} {source.num_classes}".encode())
    if source.digest:
        digest.update(source.digest.encode() + source.labels.tobytes())
    elif isinstance(source, ArraySource):
        digest.update(np.ascontiguousarray(source.images))
        digest.update(source.labels.tobytes())
    else:
        batches = evaluation_batches(source, global_batch_size=min(_FINGERPRINT_IMAGES, source.num_images))
        first = next(iter(batches))
        digest.update(first["image"].numpy().tobytes() + first["label"].numpy().tobytes())
    return digest.hexdigest()[:12]


def wait_for_all(strategy: tf.distribute.Strategy) -> None:
    """Returns when all workers have called it; a process may end then, and does not take from another one what that still reads.

    To be called last, so that no worker has ended well while one that still writes may fail: schedulers start only those that
    failed again.

    Args:
      strategy: The strategy of the cluster; does nothing without one.
    """
    gather_texts(strategy, "")
    # Who has the sum may end before others have read its part. All have passed the line above, so that nothing is lost by it.
    with contextlib.suppress(*LOST_WORKER):
        gather_texts(strategy, "")


def gather_texts(strategy: tf.distribute.Strategy, text: str) -> list[str]:
    """Returns the text of each worker, in the order of `worker_index`; all workers must call this at the same place."""
    count, index = num_workers(strategy), worker_index(strategy)
    if count == 1:
        return [text]
    data = np.frombuffer(text.encode(), np.uint8)
    lengths = np.zeros([count], np.float32)
    lengths[index] = len(data)
    lengths = _sum_over_workers(strategy, lengths)
    # At least one column: TensorFlow 2.21 crashes where workers sum nothing. Exact: no number is more than 255.
    rows = np.zeros([count, max(1, int(lengths.max()))], np.float32)
    rows[index, : len(data)] = data
    rows = _sum_over_workers(strategy, rows).astype(np.uint8)
    return [row[: int(length)].tobytes().decode() for row, length in zip(rows, lengths, strict=True)]


def _sum_over_workers(strategy, value):
    @tf.function(autograph=False)
    def total(value):
        def replica(value):
            # An argument is on no device, and the sum goes where its summand is.
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(value))

        return strategy.experimental_local_results(strategy.run(replica, args=(value,)))[0]

    return total(tf.constant(value)).numpy() / num_local_replicas(strategy)
