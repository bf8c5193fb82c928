"""TFP's cache of values and log-determinants, made safe for eager mode."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.python.ops import gradients_util
from tensorflow_probability.python.internal import cache_util

from tfflows.tracing.batch_statistics import in_training_pass

_STATE = "state"
_TRAINING = "training"


class _State(NamedTuple):
    """What an entry was made of, besides the input and the condition.

    Attributes:
      variables: Those of the bijector.
      values: Theirs.
      log_dets: Those of both directions.
    """

    variables: list[tf.Variable]
    values: list[tf.Tensor]
    log_dets: list[tf.Tensor]


class OnePassCache(cache_util.BijectorCacheWithGreedyAttrs):
    """Serves an entry as long as a new call would give the same values and the same gradients.

    TFP keeps an entry while its output is alive. In a graph that is right: tensors are those of one trace; only entries of a
    training pass (`tfflows.tracing.batch_statistics`) are not served outside of one, nor the other way round. In eager mode, a
    variable may have been assigned since, or another `tf.GradientTape` may watch. There, an entry is served only if

    - every variable of the bijector has the value that it had then; and
    - the tapes that record what the input and the variables become are those that recorded the entry.

    As in TFP, an entry serves both directions: `forward(inverse(x))` is `x` itself while the latent lives. To see how exact an
    inverse is, call `forward_and_log_det`, which has no cache.

    What cannot be seen: variables that the bijector does not own; and one more tape, if a persistent tape, or two tapes, have
    recorded the entry and still record. TFP's own bijectors, `tfb.Chain` and `tfb.Invert` among them, keep entries of their
    own without any check: in eager mode, do not keep their outputs over an assignment, or use `tfflows.bijectors.Chain`.
    """

    def _attributes(self, input, fn_name, **kwargs):
        self._drop_if_stale(input, fn_name, kwargs)
        return super()._attributes(input, fn_name, **kwargs)

    def _lookup(self, input, forward_name, inverse_name, **kwargs):
        self._drop_if_stale(input, forward_name, kwargs)
        return super()._lookup(input, forward_name, inverse_name, **kwargs)

    def _invoke(self, input, fn_name, kwargs, attributes):
        output = super()._invoke(input, fn_name, kwargs, attributes)
        attributes[_TRAINING] = in_training_pass()
        if tf.executing_eagerly():
            # Not the output: an entry must not keep itself alive.
            variables = self.bijector.variables
            attributes[_STATE] = _State(variables, _values(variables), [attributes["ildj"], attributes["fldj"]])
        return output

    def _drop_if_stale(self, input, fn_name, kwargs):
        if input is None:
            return
        entry = self._get_or_create_edge(input, fn_name, kwargs)
        state = entry.attributes.get(_STATE) if tf.executing_eagerly() else None
        same_pass = entry.attributes.get(_TRAINING, in_training_pass()) == in_training_pass()
        if same_pass and (state is None or self._is_current(state, entry, (input, kwargs))):
            return
        for reference in (entry.input_ref, entry.output_ref):
            if reference is not None:
                reference.cancel()
                self.storage.pop(reference, None)

    def _is_current(self, state, entry, inputs):
        values = _values(state.variables)
        recorded = [entry.output_ref() if entry.output_ref else [], *state.log_dets]
        return _equal(values, state.values) and _tapes(recorded) == _tapes([inputs, values])


def _values(variables) -> list[tf.Tensor]:
    """The values of variables, read so that every tape that watches a variable records the tensor."""
    return [variable.value() for variable in variables]


def _equal(values, others) -> bool:
    return len(values) == len(others) and all(map(_same, values, others))


def _same(value, other) -> bool:
    # An assignment leaves the memory of a tensor that was read before as it is, and takes new memory for the variable.
    if _address(value) is not None and _address(value) == _address(other):
        return True
    return value.shape == other.shape and bool(tf.reduce_all(tf.equal(value, other)))


def _address(tensor) -> int | None:
    """Where the numbers of a tensor lie; None if it cannot be told without a copy: on a GPU, or as bfloat16."""
    if "CPU" not in tensor.backing_device:
        return None
    try:
        return np.asarray(memoryview(tensor)).ctypes.data
    except (TypeError, ValueError):
        return None


def _tapes(structure: Any) -> int:
    """How many tapes record what is computed from tensors: 0, 1, or 2 for more of them and for a persistent one."""
    tensors = [tensor for tensor in tf.nest.flatten(structure) if tf.is_tensor(tensor)]
    return int(gradients_util.PossibleTapeGradientTypes(tensors))
