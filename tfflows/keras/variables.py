"""What Keras sees of the variables of bijectors and distributions.

Keras trains and saves only the `keras.Variable`s that it knows of, and the variables of bijectors and distributions are
`tf.Variable`s. Each gets a `keras.Variable` that shares its memory.
"""

import weakref
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfflows.tracing.variables import as_variable, named_variables, own_children, walk

# So many variables are named in a message.
NUM_NAMED = 5

# Keras' views of tf.Variables by the variables' ids, so that two layers that share a bijector share its `keras.Variable`s too. A
# view holds its variable, so no id is used again while its entry is there.
_VIEWS: "weakref.WeakValueDictionary[int, keras.Variable]" = weakref.WeakValueDictionary()


class _View(keras.Variable):
    """A `keras.Variable` that shares the memory of a `tf.Variable`."""

    def __init__(self, variable, path):
        super().__init__(
            variable,
            dtype=variable.dtype.name,
            trainable=variable.trainable,
            autocast=False,
            name=path.rpartition("/")[2],
        )
        self._path = path


def keras_variables(module: Any) -> dict[str, keras.Variable]:
    """The variables below a module by their paths, as in `named_variables`; those of Keras layers are the layers' own.

    Example:
      >>> from tfflows.bijectors import ActNorm, Chain
      >>> from tfflows.keras.variables import keras_variables
      >>> flow = Chain([ActNorm([2])])
      >>> variables = keras_variables(flow)
      >>> variables["bijectors/0/bias"].assign([1.0, 2.0]).numpy().tolist()
      [1.0, 2.0]
      >>> flow.bijectors[0].bias.numpy().tolist()
      [1.0, 2.0]
    """
    of_layers = {}

    def visit(value, path, place, number):
        del path, place, number
        if isinstance(value, keras.Variable):
            of_layers[id(as_variable(value))] = value
        return True

    walk(module, own_children, visit)
    found = {}
    for path, variable in named_variables(module).items():
        view = of_layers.get(id(variable))
        if view is None:
            view = _VIEWS.get(id(variable))
        if view is None:
            view = _VIEWS[id(variable)] = _View(variable, path)
        found[path] = view
    return found


def strategy_of(module: Any) -> tf.distribute.Strategy:
    """The strategy in whose scope the variables of a module were made."""
    first = next(iter(named_variables(module).values()), None)
    return getattr(first, "distribute_strategy", None) or tf.distribute.get_strategy()


class HoldsVariables:
    """What the model and the layer have in common: Keras sees the variables of a module, and saves them under their paths."""

    def _hold(self, module):
        found = keras_variables(module)
        self._paths = tuple(found)
        self._held = list(found.values())  # Keras tracks what is in a list

    def save_own_variables(self, store: Any) -> None:
        """Saves the variables under their paths in the module, with '.' for '/'; called by Keras."""
        for name, variable in self._stored().items():
            store[name] = variable

    def load_own_variables(self, store: Any) -> None:
        """Loads what `save_own_variables` saved; called by Keras.

        Raises:
          ValueError: If names or shapes differ; nothing is changed then.
        """
        own, found = self._stored(), set(store.keys())
        unlike = [*(f"{name} is not in the file" for name in own if name not in found)]
        unlike += [f"{name} is only in the file" for name in sorted(found - set(own))]
        values = {name: np.asarray(store[name]) for name in own if name in found}
        unlike += [
            f"{name} has the shape {tuple(own[name].shape)}, in the file {value.shape}"
            for name, value in values.items()
            if tuple(own[name].shape) != value.shape
        ]
        if unlike:
            raise ValueError(
                f"The weights belong to another model than {self.name!r}: {'; '.join(unlike[:NUM_NAMED])} "
                f"({len(unlike)} differences)."
            )
        for name, value in values.items():
            own[name].assign(value)

    def get_config(self) -> dict[str, Any]:
        """Refuses to describe bijectors and distributions, which Keras cannot make again.

        Raises:
          TypeError: Always.
        """
        raise TypeError(
            f"{self.name!r} cannot be saved or copied as a whole, since Keras cannot make its {self._what} again: use "
            "save_weights('NAME.weights.h5') (in ModelCheckpoint save_weights_only=True), build the model by the same code, and "
            "use load_weights."
        )

    def _stored(self):
        return {path.replace("/", "."): variable for path, variable in zip(self._paths, self._held, strict=True)}
