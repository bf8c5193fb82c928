"""The walk over the variables of a module, and the names that it gives them."""

import copyreg
import functools
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfflows import progress


def walk(
    value: Any,
    children_of: Callable[[Any], Iterable[tuple[str, str, Any]]],
    visit: Callable[[Any, tuple, tuple[dict, str] | None, int | None], bool],
) -> None:
    """Walks depth-first over modules and over the lists, tuples and dictionaries below them.

    Args:
      value: Value to begin with.
      children_of: Function of a module that gives `(name, attribute, child)` for each child: `public_children` or
        `own_children`.
      visit: Function `(value, path, place, number) -> bool`, called with every value on the way, including variables, before
        the values below it. If it returns false, nothing below the value is visited. `path` is the tuple of names, keys and
        positions that leads to the value. `place` is `(attributes of the module, attribute)` if a module holds the value
        itself, otherwise None. `number` is the number of an earlier visit to the same module, list, tuple or dictionary, whose
        parts are then not visited again, otherwise None.
    """
    visited = {}  # by id; holds the values too, so that no id is reused

    def go(value, path, place):
        if as_variable(value) is not None or not _is_container(value):
            visit(value, path, place, None)
            return
        if id(value) in visited:
            visit(value, path, place, visited[id(value)][0])
            return
        visited[id(value)] = len(visited), value
        if not visit(value, path, place, None):
            return
        if is_module(value):
            attributes = vars(value)
            for name, attribute, child in children_of(value):
                go(child, (*path, name), (attributes, attribute))
        else:
            for name, child in _parts(value):
                go(child, (*path, name), None)

    go(value, (), None)


def as_variable(value: Any) -> tf.Variable | None:
    """Returns a `tf.Variable` itself, the one that a Keras variable wraps, or None for any other value."""
    if isinstance(value, keras.Variable):
        return value.value
    return value if isinstance(value, tf.Variable) else None


def variables_of_layers(*layers: Any) -> list[tf.Variable]:
    """Lists the `tf.Variable`s of Keras layers, for a `tf.Module` to hold; other callables have none.

    A Keras 3 layer is not a `tf.Module`. A module that holds a layer keeps these variables in an attribute `_layer_variables`;
    otherwise its `trainable_variables` would lack them.

    Args:
      *layers: Keras layers, `tf.Module`s, which may hold Keras layers, and functions without variables.

    Returns:
      The variables of the Keras layers, in order.

    Raises:
      TypeError: If something cannot be called, such as a list of layers.
      ValueError: If a layer has not been built, or a function (a partial one, a method, a lambda) reads variables that the module
        would not own.

    Example:
      >>> import keras
      >>> from tfflows.tracing.variables import variables_of_layers
      >>> layer = keras.layers.Dense(2)
      >>> layer.build([None, 3])
      >>> print([tuple(variable.shape) for variable in variables_of_layers(layer, abs)])
      [(3, 2), (2,)]
    """
    for layer in layers:
        if not callable(layer):
            raise TypeError(
                f"A network must be a Keras layer or another callable, got {layer!r}, a {type(layer).__name__}; layers that run "
                "one after another make one network as keras.Sequential(layers)."
            )
    found = [keras_layer for layer in layers for keras_layer in _keras_layers(layer)]
    for layer in found:
        check_built(layer, "handing it to a bijector or distribution")
    return list({id(v): v for layer in found for v in map(as_variable, layer.variables)}.values())


def unlisted_variables(*parts: Any) -> list[tf.Variable]:
    """Lists the variables of Keras layers below parts of a module that the parts' own `variables` lack.

    A part from elsewhere may hold a Keras layer without `variables_of_layers`. Those of this library list all of theirs.

    Args:
      *parts: `tf.Module`s, and objects without variables.

    Raises:
      ValueError: If a layer has not been built, or an object that is no `tf.Module` holds variables.
    """
    modules = [part for part in parts if isinstance(part, tf.Module)]
    for part in parts:
        holder = None if isinstance(part, tf.Module) else _holder_of_variables(part)
        if holder is not None:
            raise ValueError(
                f"{part!r} holds the variables of {holder!r}, which nothing would train or save, since its class "
                f"{type(part).__name__} is no tf.Module: make it one."
            )
    found = [layer for module in modules for layer in _keras_layers(module)]
    for layer in found:
        check_built(layer, "handing its owner to a distribution")
    listed = {id(variable) for module in modules for variable in module.variables}
    variables = {id(v): v for layer in found for v in map(as_variable, layer.variables)}
    return [variable for key, variable in variables.items() if key not in listed]


def _keras_layers(network):
    """The outermost Keras layers of a network."""
    if isinstance(network, keras.layers.Layer):
        return [network]
    if not isinstance(network, tf.Module):
        _refuse_captured_variables(network)
        return []
    found = []

    def visit(value, path, place, number):
        del path, place, number
        if isinstance(value, keras.layers.Layer):
            found.append(value)
        return not isinstance(value, keras.layers.Layer)

    walk(network, own_children, visit)
    return found


def _refuse_captured_variables(function):
    """Refuses a function that reads variables: no module would own them, so nothing would train or save them."""
    holder = _holder_of_variables(function)
    if holder is not None:
        raise ValueError(
            f"The network {function!r} reads the variables of {holder!r}, which nothing would train or save: hand over the layer "
            "itself, or a tf.Module with a method __call__ that holds it."
        )


def _holder_of_variables(function):
    """The variable or module that a function or an object reads, as far as can be seen, or None."""
    visited = {}  # by id; holds the values too, so that no id is reused

    def holder_of_variables(value):
        if id(value) in visited:
            return None
        visited[id(value)] = value
        if as_variable(value) is not None or is_module(value):
            return value
        return next((holder for part in _reached_by(value) if (holder := holder_of_variables(part)) is not None), None)

    return holder_of_variables(function)


def _reached_by(value):
    """What a function or container reads when it runs, as far as can be seen without running it."""
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, types.MethodType):
        return [value.__self__, value.__func__]
    if callable(getattr(value, "python_function", None)):  # of tf.function
        return [value.python_function]
    if isinstance(value, types.FunctionType):
        if (value.__module__ or "").partition(".")[0] in _PACKAGES_WITHOUT_NETWORKS:
            return []
        cells = [cell.cell_contents for cell in value.__closure__ or () if not _is_empty(cell)]
        names = value.__globals__
        read = [names[name] for name in value.__code__.co_names if name in names]
        return [*cells, *(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values(), *read]
    if isinstance(value, list | tuple | set):
        return list(value)
    if isinstance(value, Mapping):
        return list(value.values())
    if (
        isinstance(value, types.ModuleType | type)
        or type(value).__module__.partition(".")[0] in _PACKAGES_WITHOUT_NETWORKS
    ):
        return []
    return list(getattr(value, "__dict__", {}).values())


_PACKAGES_WITHOUT_NETWORKS = ("builtins", "keras", "numpy", "tensorflow", "tensorflow_probability", "tf_keras")


def _is_empty(cell):
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return True
    return False


def check_built(layer: keras.layers.Layer, what: str) -> None:
    """Checks that a layer has its variables, before `what`, such as `initialize`.

    Raises:
      ValueError: If the layer has not been built.
    """
    if not layer.built:
        raise ValueError(
            f"The network {layer.name!r} has no variables yet: call its build(input_shape), or call it once, before {what}."
        )


class CopiedWithoutLayers:
    """Mix-in of modules: `copy.deepcopy` and `pickle` refuse one that holds a Keras layer; `copy.copy` shares all parts.

    Keras copies a layer without its variables.
    """

    def __copy__(self):
        made = type(self).__new__(type(self))
        vars(made).update(vars(self))
        return made

    def __reduce_ex__(self, protocol):
        _refuse_layers(self)
        return super().__reduce_ex__(protocol)


def copied_by_attributes(*values: Any) -> None:
    """Lets `copy.deepcopy` and `pickle` copy objects of those classes of TFP that ask for arguments when they are created.

    Without it they fail where they create an empty `tfd.Sample`, `tfd.TransformedDistribution` or `tfb.Invert` (TFP 0.25). As
    for modules of this library, one that holds a Keras layer is refused.

    Args:
      *values: Classes; other values, and classes that define no `__new__`, are passed over.
    """
    for value in values:
        if isinstance(value, type) and "__new__" in vars(value):
            copyreg.pickle(value, _reduced_to_attributes)


def _reduced_to_attributes(value):
    _refuse_layers(value)
    _, _, *state = object.__reduce_ex__(value, 4)
    return object.__new__, (type(value),), *state


def _refuse_layers(owner):
    def visit(value, path, place, number):
        del place, number
        if isinstance(value, keras.layers.Layer):
            raise TypeError(
                f"copy.deepcopy and pickle cannot copy the {type(owner).__name__} {owner.name!r}: it holds the Keras layer "
                f"{value.name!r} at {_joined(path)!r}. Build a second one with the same arguments, and assign it the variables "
                "of the first, or restore them from a tf.train.Checkpoint."
            )
        return True

    walk(owner, own_children, visit)


def is_module(value: Any) -> bool:
    """Tells whether a value is an object whose attributes may hold variables."""
    kinds = tf.Module | keras.layers.Layer | keras.random.SeedGenerator
    return isinstance(value, kinds) and not isinstance(value, type)


def public_children(module: Any) -> Iterator[tuple[str, str, Any]]:
    """Iterates over the public attributes of a module, in the order in which they were first set.

    A private attribute `_name` counts if the class has a property `name`: TFP keeps the parts of `tfb.Chain` and
    `tfd.TransformedDistribution` this way, and Keras the kernel of a layer. Properties are never evaluated. Bookkeeping is left
    out, except for the list `_layers`, which comes last, for layers that nothing else leads to (those of `keras.Sequential`).

    Yields:
      `(name, attribute, child)`.
    """
    attributes = vars(module)
    last = [_LAYERS] if _LAYERS in attributes else []
    for attribute in [*(name for name in attributes if not _is_bookkeeping(name)), *last]:
        name, child = attribute.removeprefix("_"), attributes[attribute]
        if name == attribute or isinstance(getattr(type(module), name, None), property):
            if attribute == _LAYERS:
                # As in the property `layers`: otherwise a name would depend on whether an input was declared.
                child = [layer for layer in child if not isinstance(layer, keras.layers.InputLayer)]
            yield name, attribute, child


def own_children(module: Any) -> Iterator[tuple[str, str, Any]]:
    """Iterates over all attributes of a module except bookkeeping.

    Yields:
      `(name, attribute, child)`, where the name is the attribute.
    """
    for attribute, child in list(vars(module).items()):
        if not _is_bookkeeping(attribute):
            yield attribute, attribute, child


_LAYERS = "_layers"


@functools.cache
def _is_bookkeeping(attribute):
    """Tells whether an attribute is not a part of a module.

    These are the attributes that TFP, Keras and `tf.Module` give every object, private lists of variables that other attributes
    hold too, and the seed of the initial parameters, which is no longer needed once the variables exist.
    """
    return (
        attribute == "_seed"
        or attribute in _common_attributes()
        or attribute.startswith("_self_")
        or (attribute.startswith("_") and attribute.endswith("_variables"))
    )


@functools.cache
def _common_attributes():
    return {*vars(tfp.bijectors.Identity()), *vars(keras.layers.Layer()), *vars(tf.Module())}


def _is_container(value):
    return isinstance(value, list | tuple | Mapping) or is_module(value)


def _parts(value):
    """Returns the names and children of a list, tuple or dictionary."""
    if isinstance(value, Mapping):
        return list(value.items())
    names = getattr(value, "_fields", None) or range(len(value))
    return list(zip(names, value, strict=True))


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
      >>> from tfflows.tracing.variables import named_variables
      >>> flow = Chain([ActNorm([3]), InvertibleConv(3)])
      >>> for name, variable in named_variables(flow).items():
      ...     print(name, variable.shape)
      bijectors/0/bias (3,)
      bijectors/0/log_scale (3,)
      bijectors/1/weight (3, 3)
    """
    return _Names(module).found


def share_variables(source: Any, target: Any) -> None:
    """Makes a module hold the variables of another one of the same structure in place of its own.

    Raises:
      ValueError: If the two differ in the paths, shapes or dtypes of their variables; nothing is changed then.
    """

    def places_of(module):
        found = {}

        def visit(value, path, place, number):
            del number
            if as_variable(value) is not None:
                found[path] = value, place
            return True

        walk(module, own_children, visit)
        return found

    def described(found):
        return {path: (tuple(value.shape), str(value.dtype)) for path, (value, _) in found.items()}

    own, others = places_of(source), places_of(target)
    if described(own) != described(others):
        raise ValueError(
            f"{target!r} has other variables than {source!r}, so it cannot share them: {sorted(described(others).items())} for "
            f"{sorted(described(own).items())}."
        )
    for path, (value, place) in others.items():
        if own[path][0] is not value and place is not None:
            attributes, attribute = place
            attributes[attribute] = own[path][0]


def count_as_done(module: Any) -> None:
    """Counts the variables of a module as done for the innermost task, if that is shown; see `tfflows.progress`."""
    progress.count(lambda: [id(variable) for variable in map(as_variable, module.variables) if variable is not None])


def count_parameters(module: Any) -> int:
    """Counts the trainable scalars below `module`; under `tf.Graph` the variables need no memory.

    Example:
      >>> from tfflows.bijectors import InvertibleConv
      >>> from tfflows.tracing.variables import count_parameters
      >>> count_parameters([InvertibleConv(3), InvertibleConv(4)])
      25
    """
    names = _Names(module)
    return sum(v.shape.num_elements() for name, v in names.found.items() if name in names.trainable)


def parameter_table(module: Any) -> str:
    """Makes a text table with the path, shape, dtype and size of each variable, and the trainable total.

    Example:
      >>> from tfflows.bijectors import ActNorm, Chain, InvertibleConv
      >>> from tfflows.tracing.variables import parameter_table
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
      >>> from tfflows.tracing.variables import short_variable_names
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
