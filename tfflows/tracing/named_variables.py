"""Names of variables: the path of public attributes that leads to each one, and shorter names for TensorFlow."""

from contextlib import AbstractContextManager
from typing import Any

import keras
import tensorflow as tf

from tfflows.tracing.walk import as_variable, is_module, public_children, walk


def named_variables(module: Any) -> dict[str, tf.Variable]:
    """Maps the path of each variable below `module` to the variable.

    A path joins attribute names, dictionary keys and list positions with '/', such as `levels/0/steps/3/actnorm/bias`. It
    follows public attributes in the order in which they were first set, and a private attribute `_name` if the class has a
    property `name` (TFP keeps the parts of `tfb.Chain` and `tfd.TransformedDistribution` this way, and Keras the kernel of a
    layer). Properties are never evaluated. A variable that is reached twice keeps its first path.

    The names depend on attribute names alone, not on `variable.name`, the strategy or the number of devices, so they can serve
    as the names in a checkpoint.

    Args:
      module: A `tf.Module` (such as a TFP bijector or distribution), a `keras.Layer`, a variable, or lists, tuples and
        dictionaries of these.

    Returns:
      The variables by their paths; a Keras variable is represented by its `.value`.

    Raises:
      ValueError: If a variable below `module` has no public path, two variables share a path, or a dictionary key contains
        '/'.

    Example:
      >>> from tfflows.bijectors import ActNorm, Chain, InvertibleConv
      >>> from tfflows.tracing.named_variables import named_variables
      >>> flow = Chain([ActNorm([3]), InvertibleConv(3)])
      >>> for name, variable in named_variables(flow).items():
      ...     print(name, variable.shape)
      bijectors/0/bias (3,)
      bijectors/0/log_scale (3,)
      bijectors/1/weight (3, 3)
    """
    return _Names(module).found


def count_parameters(module: Any) -> int:
    """Counts the trainable scalars below `module`; under `tf.Graph` the variables need no memory.

    Example:
      >>> from tfflows.bijectors import InvertibleConv
      >>> from tfflows.tracing.named_variables import count_parameters
      >>> count_parameters([InvertibleConv(3), InvertibleConv(4)])
      25
    """
    names = _Names(module)
    return sum(v.shape.num_elements() for name, v in names.found.items() if name in names.trainable)


def parameter_table(module: Any) -> str:
    """Makes a text table with the path, shape, dtype and size of each variable, and the trainable total.

    Example:
      >>> from tfflows.bijectors import ActNorm, Chain, InvertibleConv
      >>> from tfflows.tracing.named_variables import parameter_table
      >>> print(parameter_table(Chain([ActNorm([3]), InvertibleConv(3)])))
      variable               shape   dtype    parameters
      --------------------------------------------------
      bijectors/0/bias       (3,)    float32           3
      bijectors/0/log_scale  (3,)    float32           3
      bijectors/1/weight     (3, 3)  float32           9
      --------------------------------------------------
      total                                           15
    """
    rows = [("variable", "shape", "dtype", "parameters")]
    names = _Names(module)
    for path, variable in names.found.items():
        trained = path in names.trainable
        size = f"{variable.shape.num_elements():,}" if trained else "not trained"
        rows.append((path, str(tuple(variable.shape)), variable.dtype.name, size))
    rows.append(("total", "", "", f"{count_parameters(module):,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    last = max(len(row[3]) for row in rows)
    lines = [
        "  ".join([cell.ljust(width) for cell, width in zip(row, widths, strict=False)]) + "  " + row[3].rjust(last)
        for row in rows
    ]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


class _Names:
    """The variables below a module by their paths, and which of them are trainable."""

    def __init__(self, module):
        self.found: dict[str, tf.Variable] = {}
        self.trainable: set[str] = set()  # a frozen Keras layer marks only the Keras variables, not their values
        self._named_ids: set[int] = set()
        self._expected: list[tf.Variable] = []
        walk(module, public_children, self._visit)
        self._expect(module)
        self._check_complete(module)

    def _visit(self, value, path, place, number) -> bool:
        del place, number
        *above, name = path or ("",)
        if "/" in str(name):
            raise ValueError(
                f"The key {name!r} at {_joined(above) or 'the top'!r} contains '/', which separates the parts of a variable's "
                "path; use another key."
            )
        variable = as_variable(value)
        if variable is not None:
            self._add(variable, _joined(path) or "value", value.trainable)
        if isinstance(value, keras.Layer):
            self._expect(value)
        return True

    def _expect(self, module) -> None:
        """Notes the variables that `module` itself lists, to compare with those found."""
        variables = getattr(module, "variables", ()) if is_module(module) else ()
        self._expected.extend(v for v in map(as_variable, variables) if v is not None)

    def _check_complete(self, module) -> None:
        hidden = [v for v in self._expected if id(v) not in self._named_ids]
        if hidden:
            listed = ", ".join(f"{v.name} {tuple(v.shape)}" for v in hidden[:5])
            raise ValueError(
                f"{len(hidden)} of the variables of {type(module).__name__} have no path of public attributes: {listed}. Keep "
                "the module or variable that holds them in an attribute whose name does not start with '_'."
            )

    def _add(self, variable, name, trainable):
        if id(variable) in self._named_ids:
            return
        if name in self.found:
            raise ValueError(f"Two variables have the path {name!r}; rename one of them.")
        self._named_ids.add(id(variable))
        self.found[name] = variable
        if trainable:
            self.trainable.add(name)


def _joined(path):
    return "/".join(map(str, path))


def short_variable_names() -> AbstractContextManager:
    """Opens a context in which variables are named `kernel`, not `layer_7/kernel`; creating thousands takes a third less time.

    TensorFlow makes a new kernel for each variable with a new name. No code of this library finds a variable by its
    `tf.Variable.name`; see `named_variables`.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.tracing.named_variables import short_variable_names
      >>> with short_variable_names(), tf.name_scope("layer_7"):
      ...     print(tf.Variable(0.0, name="kernel").name)
      kernel:0
    """
    return tf.variable_creator_scope(_without_scopes)


def _without_scopes(next_creator, **kwargs):
    name = kwargs.get("name")
    # In a graph the names tell variables apart.
    if name and tf.executing_eagerly():
        kwargs["name"] = f"{name.rstrip('/')}/"  # a trailing slash leaves all scopes
    return next_creator(**kwargs)
