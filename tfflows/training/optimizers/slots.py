"""Names for the variables of a Keras optimizer, made of those of the variables that they belong to."""

from collections.abc import Sequence

import keras
import tensorflow as tf


def optimizer_variables(optimizer: keras.optimizers.Optimizer, names: Sequence[str]) -> dict[str, tf.Variable]:
    """`{optimizer/SLOT/NAME: tf.Variable}` of a built optimizer, and `optimizer/iterations`.

    Args:
      optimizer: Built, with as many variables as there are names.
      names: Names of these variables, in the order of `build`.

    Raises:
      ValueError: If one of the optimizer's variables is not a slot of any of them.
    """
    named, seen = {}, set()

    def add(name, variable):
        named[f"optimizer/{name}"] = variable.value
        seen.add(id(variable))

    add("iterations", optimizer.iterations)
    for attribute, slots in vars(optimizer).items():
        if not _is_slot_list(slots, optimizer, len(names)):
            continue
        for name, variable in zip(names, slots, strict=True):
            if id(variable) not in seen:
                add(f"{attribute.strip('_')}/{name}", variable)
    for variable in optimizer.variables:
        if id(variable) not in seen and variable.name == "learning_rate":
            add("learning_rate", variable)
    missing = [variable.path for variable in optimizer.variables if id(variable) not in seen]
    if missing:
        raise ValueError(f"{type(optimizer).__name__} has variables that belong to no parameter: {missing[:5]}.")
    return named


def _is_slot_list(slots, optimizer, length):
    own = {id(variable) for variable in optimizer.variables}
    return (
        isinstance(slots, (list, tuple))
        and len(slots) == length
        and all(isinstance(slot, keras.Variable) and id(slot) in own for slot in slots)
    )
