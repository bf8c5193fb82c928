"""What bijectors do with a condition: any structure of tensors, random keys (`RowKeys`) among them."""

from tfflows.math.random import RowKeys, fold_in
from tfflows.math.shapes import flatten_batch


def map_condition(condition, on_tensor=None, on_keys=None):
    """A condition with functions applied to its tensors and to its random keys; None is left as it is.

    Args:
      condition: `Tensor`, `RowKeys`, None, or dictionaries, lists and tuples of them.
      on_tensor: Function of a tensor; default: the identity.
      on_keys: Function of `RowKeys`; default: the identity.
    """
    if condition is None:
        return None
    if isinstance(condition, RowKeys):
        return on_keys(condition) if on_keys else condition
    if isinstance(condition, dict):
        return {name: map_condition(value, on_tensor, on_keys) for name, value in condition.items()}
    if isinstance(condition, list | tuple):
        return type(condition)(map_condition(value, on_tensor, on_keys) for value in condition)
    return on_tensor(condition) if on_tensor else condition


def at_place(condition, place):
    """The condition for the bijector at a place (Python `int`) of a chain: its random keys are an independent stream.

    So equal bijectors draw different noise, dropout masks for example, without knowing where they stand.
    """
    return map_condition(condition, on_keys=lambda keys: fold_in(keys, place))


def flat_condition(condition, batch_ndims):
    """A condition whose tensors have their `batch_ndims` batch axes folded into one, as networks expect."""
    return map_condition(condition, on_tensor=lambda tensor: flatten_batch(tensor, tensor.shape.rank - batch_ndims))
