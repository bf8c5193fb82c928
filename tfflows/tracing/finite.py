"""Values that are not finite, and the part of a model that gave them first."""

import contextlib
import contextvars
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.tracing.variables import own_children, walk

tfb, tfd = tfp.bijectors, tfp.distributions

# What TensorFlow raises for a singular matrix, without its name.
SINGULAR = "not invertible"

# In `find_not_finite`: the first part whose output is not finite, at most one.
_found = contextvars.ContextVar("found_not_finite", default=None)


class NotFiniteError(ValueError):
    """From finite input, a part of a model gave values that are not finite; the message names the part.

    Attributes:
      part: The bijector, distribution or layer; None if Keras has raised the error anew.
    """

    part = None

    def locate(self, owner: Any) -> None:
        """Adds to the message where `owner` holds the part, in place of what an inner owner has added."""
        path = "" if self.part is None else _path(owner, self.part)
        if path:
            self.args = (f"{self._message} It is {path} of {described(owner)}.",)

    def of(self, part: Any) -> "NotFiniteError":
        """Sets the part, and returns the error itself."""
        self.part, self._message = part, str(self)
        return self


def is_finite(structure: Any) -> bool:
    """Tells, in eager mode, whether all floating-point tensors of a structure are finite."""
    tensors = [tensor for tensor in tf.nest.flatten(structure) if tf.is_tensor(tensor) and tensor.dtype.is_floating]
    return all(bool(tf.reduce_all(tf.math.is_finite(tensor))) for tensor in tensors)


def check_finite(part: Any, output: Any, inputs: Any, what: str) -> None:
    """Checks in eager mode that a part of a model gives finite output from finite input. In graphs nothing is checked.

    Args:
      part: A bijector, distribution or layer.
      output: Structure of tensors.
      inputs: What it was computed from. If that is not finite, nothing is checked.
      what: What was computed, such as "inverse".

    Raises:
      NotFiniteError: If the output is not finite.
    """
    if not tf.executing_eagerly() or is_finite(output):
        return
    if _found.get() is not None or is_finite(inputs):
        refuse(
            part,
            f"The {what} of {described(part)} is not finite, although its input is: the input is too large or out of the domain, "
            "or parameters are not finite or have no inverse.",
        )


def refuse(part: Any, message: str) -> None:
    """Raises an error about a part that cannot give finite values; within `find_not_finite`, the part is noted instead.

    Raises:
      NotFiniteError: With the message.
    """
    found = _found.get()
    if found is None:
        raise NotFiniteError(message).of(part)
    if not found:
        found.append(part)


def find_not_finite(module: Any, run: Callable[[], Any]) -> str | None:
    """Runs a computation with a module eagerly, and names the first part whose output is not finite.

    Parts are bijectors, distributions, Keras layers, and the public methods of `tf.Module`s. For the time of the run, the calls
    of these classes are watched, so that no other thread should use them. Where a bijector compiles its own loop, the output of
    the loop is what is seen.

    Args:
      module: Holds the parts, such as a model; the name says where it holds them.
      run: Called without arguments, outside of `tf.function`; must not raise.

    Returns:
      The kind of the part, its name, and its path below the module; None if all outputs are finite.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import ActNorm, Chain
      >>> from tfflows.tracing.finite import find_not_finite
      >>> flow = Chain([ActNorm([2], event_ndims=1, name="first"), ActNorm([2], event_ndims=1, name="second")])
      >>> find_not_finite(flow, lambda: flow.inverse_and_log_det(tf.ones([1, 2])))
      >>> _ = flow.bijectors[1].bias.assign([0.0, float("nan")])
      >>> find_not_finite(flow, lambda: flow.inverse_and_log_det(tf.ones([1, 2])))
      "ActNorm 'second' (bijectors/1)"
    """
    found = []
    token = _found.set(found)
    try:
        with _watched({type(value) for value, _ in _parts(module)}):
            run()
    finally:
        _found.reset(token)
    if not found:
        return None
    path = _path(module, found[0])
    return described(found[0]) + (f" ({path})" if path else "")


@contextlib.contextmanager
def naming_singular(run_eagerly: Callable[[], Any]) -> Iterator[None]:
    """A context in which a graph's error about a singular matrix, which does not say whose it is, becomes that of eager mode.

    Args:
      run_eagerly: Computes in eager mode what failed in the graph.

    Raises:
      NotFiniteError: If a matrix is singular.
    """
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        if SINGULAR in str(error):
            try:
                run_eagerly()
            except NotFiniteError as named:
                raise named from None
        raise


def described(part: Any) -> str:
    """The kind and the name of a part of a model."""
    return f"{type(part).__name__} {getattr(part, 'name', '')!r}"


def _parts(module):
    """All values below a module, each with its path."""
    parts = []

    def visit(value, path, place, number):
        del place
        if number is None:
            parts.append((value, path))
        return True

    walk(module, own_children, visit)
    return parts


def _path(module, part):
    """Where a module holds a part: attributes, keys and positions as in `named_variables`; empty if it does not."""
    path = next((path for value, path in _parts(module) if value is part), ())
    return "/".join(str(name).removeprefix("_") for name in path)


@contextlib.contextmanager
def _watched(kinds) -> Iterator[None]:
    """Notes the first part of these classes whose output is not finite."""
    places = {(keras.layers.Layer, "__call__"), (tfd.Distribution, "log_prob")}
    for kind in kinds:
        if issubclass(kind, tf.Module) and not issubclass(kind, tfb.Bijector | tfd.Distribution):
            places |= {(owner, name) for owner in kind.__mro__ for name in _methods(owner)}
    originals = {place: vars(place[0])[place[1]] for place in places}
    try:
        for (owner, name), original in originals.items():
            setattr(owner, name, _noting(original))
        yield
    finally:
        for (owner, name), original in originals.items():
            setattr(owner, name, original)


def _methods(owner):
    """The public methods of a class of modules, if it is not TensorFlow's."""
    if not issubclass(owner, tf.Module) or owner.__module__.startswith("tensorflow."):
        return []
    return [
        name
        for name, value in vars(owner).items()
        if inspect.isfunction(value) and (name == "__call__" or not name.startswith("_"))
    ]


def _noting(method):
    def noting(self, *args, **kwargs):
        output = method(self, *args, **kwargs)
        check_finite(self, output, (), "output")
        return output

    return noting
