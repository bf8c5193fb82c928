"""Checks that foreign weights fit, before anything is changed."""

import numpy as np


def check_names(expected, weights):
    """Raises `ValueError` that lists what is missing from `weights` and what is too much; both by the authors' names."""
    missing = [name for name in expected if name not in weights]
    extra = [name for name in weights if name not in expected]
    problems = [f"{kind} {_listed(names)}" for kind, names in (("missing:", missing), ("extra:", extra)) if names]
    if problems:
        raise ValueError(
            f"The weights do not fit this model ({len(expected)} names): {'; '.join(problems)}. Build the model with the "
            "settings that the weights were trained with (its depth, widths and kinds of layers)."
        )


def _listed(names, most=5):
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(sorted(names)[:most]) + more


def fitted(name, value, shape, dtype):
    """`value` as an array of a shape and dtype; leading axes of size 1, which the authors' vectors have, are dropped.

    Raises:
      ValueError: if it has another shape or is not finite.
    """
    value, shape = np.asarray(value), tuple(shape)
    leading = value.shape[: max(value.ndim - len(shape), 0)]
    squeezed = value.reshape(value.shape[len(leading) :]) if all(size == 1 for size in leading) else value
    if squeezed.shape != shape:
        raise ValueError(f"{name} has shape {value.shape}; this model needs {shape}.")
    if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
        raise ValueError(f"{name} holds values that are not finite.")
    return squeezed.astype(dtype)
