"""Networks as the codec runs them: in float64, and what they give is rounded."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfflows.compression import exact
from tfflows.compression.protocol import CannotCodeError
from tfflows.networks.layers import call_layer
from tfflows.tracing.stateless import Structure

# What is left of an output are multiples of 2**-12. The last bits of float64 depend on threads, batches and compilers: by NumPy
# and by TensorFlow, the 590,000 outputs an image of a small MaCow differ by 2e-17 on average, so that one is rounded otherwise
# once in 2e7 images. Coarser multiples, of 2**-10, cost that MaCow 0.09%, because its shifts act on pixels that are nearly known.
FRACTION_BITS = 12
# Beyond it a rounded output says nothing.
_LARGEST = 2.0**40


class Networks:
    """Runs networks; equal ones are traced once.

    Example:
      >>> import numpy as np
      >>> from tfflows.compression.network import Networks
      >>> from tfflows.networks import CouplingNetwork
      >>> network = CouplingNetwork(width=8, filters=2)
      >>> network.build([None, 4, 4, 3])
      >>> run = Networks().runner(network)
      >>> print(run(np.zeros([5, 4, 4, 3])).shape)
      (5, 4, 4, 2)
    """

    def __init__(self, jit_compile: bool = False) -> None:
        """Creates the runner.

        Args:
          jit_compile: Whether XLA compiles the networks.
        """
        self._jit_compile = jit_compile
        self._traced = {}
        self._runners = {}
        self._copies = {}

    def runner(self, network: Callable, function: Callable | None = None) -> Callable[..., np.ndarray]:
        """The network as a function of float64 arrays `[B, ...]`.

        Args:
          network: A built Keras layer, which is copied unless it computes in float64, or another callable of tensors. Its
            arguments may be None, arrays, or dictionaries of arrays.
          function: `function(layer, ...)`, which is run instead of `layer(...)`; None: the layer is called.

        Returns:
          A function that gives multiples of `2**-FRACTION_BITS`, float64.
        """
        key = id(network), function
        if key not in self._runners:
            self._runners[key] = network, self._make(network, function)
        return self._runners[key][1]

    def in_float64(self, network: keras.layers.Layer) -> keras.layers.Layer:
        """`in_float64` of a layer, made once; a layer that computes in float64 is taken as it is."""
        if id(network) not in self._copies:
            copied = network if network.dtype_policy.name == "float64" else in_float64(network)
            self._copies[id(network)] = network, copied
        return self._copies[id(network)][1]

    def _make(self, network, function):
        if not isinstance(network, keras.layers.Layer):
            return self._rounding(tf.function(network, autograph=False, reduce_retracing=True))
        copied = self.in_float64(network)
        structure = Structure(copied)
        values = structure.values()
        key = structure.signature, function
        if key not in self._traced:
            self._traced[key] = (structure, copied, {})
        structure, copied, functions = self._traced[key]

        def run(*inputs):
            kinds = tf.nest.map_structure(lambda tensor: _spec(tensor.shape), inputs)
            kind = repr(kinds)
            if kind not in functions:
                functions[kind] = self._trace(structure, copied, function or call_layer, values, kinds)
            return functions[kind](values, inputs)

        return self._rounding(run)

    def _trace(self, structure, network, function, values, kinds):
        def run(parameters, inputs):
            with structure.substituted(parameters):
                return function(network, *inputs)

        signature = ([_spec(value.shape, batch=False) for value in values], kinds)
        traced = tf.function(run, signature, autograph=False, jit_compile=self._jit_compile or None)
        return traced.get_concrete_function()

    def _rounding(self, run):
        def rounded(*inputs):
            tensors = tf.nest.map_structure(lambda array: tf.convert_to_tensor(array, tf.float64), inputs)
            return check_outputs(run(*tensors).numpy())

        return rounded


def check_outputs(outputs: np.ndarray) -> np.ndarray:
    """What a network gives, rounded to multiples of `2**-FRACTION_BITS`.

    Raises:
      CannotCodeError: If it is too large or not finite.
    """
    if not np.abs(outputs).max(initial=0.0) < _LARGEST:
        raise CannotCodeError("A network gives numbers that are too large or not finite.")
    return exact.round_to(outputs, FRACTION_BITS)


def in_float64(network: keras.layers.Layer) -> keras.layers.Layer:
    """A copy of a built layer that computes in float64, with the values that the variables have now."""
    made = type(network).from_config({**network.get_config(), "dtype": "float64"})
    config = network.get_build_config() or {}
    if made.built:  # by its constructor
        pass
    elif config.get("input_shape") is not None:
        made.build(config["input_shape"])
    elif config.get("shapes_dict"):
        made.build(**config["shapes_dict"])
    else:
        made.build()
    for variable, original in zip(made.variables, network.variables, strict=True):
        variable.assign(tf.cast(tf.convert_to_tensor(original), tf.float64))
    return made


def _spec(shape: Any, batch: bool = True) -> tf.TensorSpec:
    return tf.TensorSpec([None, *shape[1:]] if batch else shape, tf.float64)
