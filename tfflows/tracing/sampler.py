"""How flows without an inverse in closed form are inverted."""

import contextlib
import contextvars
from collections.abc import Iterator

from tfflows.choices import EXACT, SAMPLERS

_sampler = contextvars.ContextVar("sampler", default=EXACT)


@contextlib.contextmanager
def sampler_scope(name: str) -> Iterator[None]:
    """Opens a context that chooses how masked convolutions are inverted, from latents to data.

    - `exact`: one loop over the pixels, in which those that do not see each other are found together. On a CPU, XLA compiles it.
    - `jacobi`: passes over the whole image, each of which corrects all pixels, until none changes by more than
      `1e-5 max(1, |y|)`. A few large passes can take less time than many small steps, above all on a GPU. A flow that expands
      much takes as many of them as `exact` takes steps.

    A function that TensorFlow has traced keeps what was chosen when it was traced.

    Args:
      name: `exact` or `jacobi`.

    Yields:
      None.

    Raises:
      ValueError: If the name is unknown.

    Example:
      >>> import tensorflow as tf
      >>> from tfflows.bijectors import MaskedConv
      >>> from tfflows.networks import MaskedNetwork
      >>> from tfflows.tracing.sampler import sampler_scope
      >>> network = MaskedNetwork(filters=4, kind="shifted")
      >>> network.build([None, 8, 8, 2])
      >>> flow = MaskedConv(network)
      >>> latents = tf.random.stateless_normal([3, 8, 8, 2], seed=[0, 0])
      >>> with sampler_scope("jacobi"):
      ...     images = flow.forward(latents)
      >>> print(float(tf.reduce_max(tf.abs(flow.inverse(tf.identity(images)) - latents))) < 1e-4)
      True

    References:
      Song et al. 2021, https://arxiv.org/abs/2002.03629.
    """
    if name not in SAMPLERS:
        raise ValueError(f"The sampler must be one of {', '.join(SAMPLERS)}, got {name!r}.")
    token = _sampler.set(name)
    try:
        yield
    finally:
        _sampler.reset(token)


def current_sampler() -> str:
    """Returns the name of the innermost `sampler_scope`, or `exact` outside of any."""
    return _sampler.get()
