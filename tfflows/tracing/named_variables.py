"""Names of variables: the path of public attributes that leads to each one, and shorter ones for TensorFlow."""

import keras
import tensorflow as tf

from tfflows.tracing.walk import as_variable, is_module, public_children, walk


def named_variables(module) -> dict[str, tf.Variable]:
    """Maps the path of each variable below `module` to the variable.

    A path joins attribute names, dictionary keys and list positions with '/', such as
    `levels/0/steps/3/actnorm/bias`. Followed are public attributes in the order in which they were
    first set, and a private attribute `_name` whose class has a property `name` (TFP keeps the
    parts of `tfb.Chain` and `tfd.TransformedDistribution`, and Keras the kernel of a layer, so).
    Properties are never evaluated. A variable reached twice keeps its first path.

    The names depend on attribute names alone, not on `variable.name`, the strategy or the number
    of devices, so they can serve as the names of a checkpoint.

    Args:
      module: a `tf.Module` (TFP bijectors and distributions are), a `keras.Layer`, a variable, or
        lists, tuples and dictionaries of these.

    Returns:
      A dictionary from path to `tf.Variable`; Keras variables are represented by their `.value`.

    Raises:
      ValueError: if a variable below `module` has no public path, two variables share a path, or
        a dictionary key contains '/'.
    """
    return _Names(module).found


def count_parameters(module) -> int:
    """The number of trainable scalars below `module`; works under `tf.Graph`, without memory."""
    names = _Names(module)
    return sum(v.shape.num_elements() for name, v in names.found.items() if name in names.trainable)


def parameter_table(module) -> str:
    """A text table with path, shape, dtype and size of each variable, and the trainable total."""
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
    """The variables below a module by their paths, and which of them are trained."""

    def __init__(self, module):
        self.found: dict[str, tf.Variable] = {}
        self.trainable: set[str] = set()  # a frozen Keras layer says so on its own variables only
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
                f"{len(hidden)} of the variables of {type(module).__name__} have no path of public "
                f"attributes: {listed}. Keep the module or variable that holds them in an "
                "attribute whose name does not start with '_'."
            )

    def _add(self, variable, name, trainable):
        if id(variable) in self._named_ids:
            return
        if name in self.found:
            raise ValueError(f"Two variables have the path {name!r}; give one another name.")
        self._named_ids.add(id(variable))
        self.found[name] = variable
        if trainable:
            self.trainable.add(name)


def _joined(path):
    return "/".join(map(str, path))


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
