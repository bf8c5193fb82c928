"""What training keeps for the backward pass: everything, the inputs of the blocks, or only the last output."""

import contextlib
import contextvars

PLAIN, RECOMPUTE, REVERSIBLE = MODES = ("plain", "recompute", "reversible")

_mode = contextvars.ContextVar("memory_mode", default=PLAIN)


@contextlib.contextmanager
def memory_scope(mode):
    """Bijectors that are called inside differentiate in the given way; the gradients are the same.

    - `plain`: every intermediate tensor is kept.
    - `recompute`: of each block of a `Chain` its input is kept; the backward pass runs the block's network once more.
    - `reversible`: only the latent is kept; the backward pass rebuilds each block's input from its output through the
      inverse. Memory does not grow with depth, and rounding errors of the inverse reach the gradients.

    Args:
      mode: One of these.

    Raises:
      ValueError: if the mode is unknown.

    #### Examples

    ```python
    with tf.GradientTape() as tape, memory_scope("reversible"):
        loss = -tf.reduce_mean(distribution.log_prob(images))
    gradients = tape.gradient(loss, distribution.trainable_variables)
    ```

    #### References

    Chen et al. 2016 (recomputation); Gomez et al. 2017 (reversible networks).
    """
    if mode not in MODES:
        raise ValueError(f"The memory mode must be one of {', '.join(MODES)}, got {mode!r}.")
    token = _mode.set(mode)
    try:
        yield
    finally:
        _mode.reset(token)


def memory_mode():
    """The mode of the innermost `memory_scope`; `plain` outside."""
    return _mode.get()
