"""What depends on a layer's parameters alone, such as a determinant or a normalized kernel: computed elsewhere and handed in."""

import contextlib
import contextvars
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

# What was computed for each layer, `{id: tensors}`. Replicas are traced in threads of their own, each with its own value.
_given = contextvars.ContextVar("given", default=None)


class ComputedTogether:
    """Mix-in of bijectors and layers that say what of them depends on their parameters alone.

    Where a model is trained, measured or sampled from, `tfflows.tracing.together` computes it for all equal layers by a few
    kernels, and hands it in: a layer takes it from `given_to(self)`. Used in any other way, a layer is given nothing, and
    computes what it needs itself.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.tracing.of_parameters import ComputedTogether, given_to, giving
      >>> class Scaled(ComputedTogether, tf.Module):
      ...     def __init__(self):
      ...         self.log_scale = tf.Variable(0.0)
      ...
      ...     def of_parameters(self):
      ...         return (tf.exp(self.log_scale),)
      ...
      ...     def __call__(self, x):
      ...         (scale,) = given_to(self) or self.of_parameters()
      ...         return scale * x
      >>> scaled = Scaled()
      >>> scaled(2.0).numpy().item()
      2.0
      >>> with giving([scaled], [tf.constant(3.0)]):
      ...     scaled(2.0).numpy().item()
      6.0
    """

    # Length of what `of_parameters` returns; 0 if a layer has nothing to compute together.
    num_of_parameters = 1

    def of_parameters(self) -> tuple[tf.Tensor, ...]:
        """Computes what depends on the parameters alone; also for the parameters of several layers, stacked on a first axis."""
        raise TypeError(f"{type(self).__name__} does not say what depends on its parameters alone.")


def is_computed_together(value: Any) -> bool:
    """Tells whether a value is a layer, not one that was never built, with something to compute together with others."""
    return isinstance(value, ComputedTogether) and getattr(value, "built", True) and value.num_of_parameters > 0


def given_to(layer: ComputedTogether) -> tuple[tf.Tensor, ...] | None:
    """Returns what `of_parameters` of a layer gives, if it was handed in; otherwise None."""
    return (_given.get() or {}).get(id(layer))


def given_tensors(layers: Sequence[ComputedTogether]) -> list[tf.Tensor]:
    """Returns what is handed in for layers, end to end; nothing unless it is handed in for all of them."""
    given = [given_to(layer) for layer in layers]
    return [] if None in given else [tensor for own in given for tensor in own]


@contextlib.contextmanager
def giving(layers: Sequence[ComputedTogether], tensors: Sequence[tf.Tensor]) -> Iterator[None]:
    """Opens a context in which tensors are handed in for layers, and for no others.

    Args:
      layers: The layers.
      tensors: What `of_parameters` gives for each, end to end as in `given_tensors`; or nothing.

    Yields:
      None.
    """
    rest = iter(tensors)
    given = {id(layer): tuple(next(rest) for _ in range(layer.num_of_parameters)) for layer in layers if tensors}
    token = _given.set(given)
    try:
        yield
    finally:
        _given.reset(token)
