"""How images are made one pixel after another: by flows without an inverse in closed form, and by autoregressive models."""

import contextlib
import contextvars
from collections.abc import Iterator

from tfflows.choices import EXACT, SAMPLERS

_sampler = contextvars.ContextVar("sampler", default=EXACT)
_compiles_pixels = contextvars.ContextVar("compiles_pixels", default=False)


@contextlib.contextmanager
def sampler_scope(name: str) -> Iterator[None]:
    """Opens a context that chooses how autoregressive flows are inverted: masked convolutions, from latents to data, and IAF.

    - `exact`: one loop over the pixels, in which those that do not see each other are found together. On a CPU, XLA compiles it.
    - `jacobi`: passes over the whole image, each of which corrects all pixels, until none changes by more than
      `1e-5 max(1, |y|)`. A few large passes can take less time than many small steps, above all on a GPU. A flow that expands
      much takes as many of them as `exact` takes steps.

    An inverse autoregressive flow always takes such passes; under `exact` until nothing changes at all.

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


@contextlib.contextmanager
def compiled_pixels(jit_compile: bool = True) -> Iterator[None]:
    """Opens a context in which XLA compiles the loop over pixels that samples a PixelCNN++.

    A compiled loop does not report its progress. Its sums round differently, so that rarely a pixel has another level, and with
    it those after it.

    A function that TensorFlow has traced keeps what was chosen when it was traced.

    Args:
      jit_compile: Whether XLA compiles the loop.

    Yields:
      None.

    Example:
      >>> from tfflows.tracing.sampler import compiled_pixels, compiles_pixels
      >>> with compiled_pixels():
      ...     print(compiles_pixels())
      True
    """
    token = _compiles_pixels.set(jit_compile)
    try:
        yield
    finally:
        _compiles_pixels.reset(token)


def compiles_pixels() -> bool:
    """Returns whether the innermost `compiled_pixels` lets XLA compile; outside of any it does not."""
    return _compiles_pixels.get()
