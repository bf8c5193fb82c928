"""Names of variables without those of the layers around them."""

import tensorflow as tf


def short_variable_names():
    """A context in which variables are named `kernel` and not `layer_7/kernel`; thousands are made a third faster.

    TensorFlow makes a kernel of its own for each variable whose name is new. Nothing here finds a variable by its
    `tf.Variable.name`; see `named_variables`.
    """
    return tf.variable_creator_scope(_without_scopes)


def _without_scopes(next_creator, **kwargs):
    name = kwargs.get("name")
    # In a graph the names tell variables apart.
    if name and tf.executing_eagerly():
        kwargs["name"] = f"{name.rstrip('/')}/"  # the slash at the end leaves all scopes
    return next_creator(**kwargs)
