"""Noise that is popped when images are coded and pushed back when they are decoded: of dequantization, and beside the data.

What the stack holds are the latents of other images, in part under the very distributions that noise is popped from: it would be
these latents again. So noise is masked by what looks random and follows from the data, which a decoder has by then.
"""

import abc
from typing import Any

import numpy as np
import tensorflow as tf

from tfflows.compression import exact
from tfflows.compression.bins import GAUSSIAN_NOISE, PRECISION
from tfflows.compression.coder import random_masks, seeds_of
from tfflows.compression.maps.base import Run
from tfflows.compression.maps.compositions import ChainMap, gaussian_bits
from tfflows.compression.maps.plan import Plan
from tfflows.compression.protocol import CannotCodeError
from tfflows.distributions.augmenters import GaussianAugmenter, NormalAugmenter
from tfflows.distributions.conditional_noise import ConditionalNoise
from tfflows.math.squeeze import split_colours


class Noise(abc.ABC):
    """Noise on a grid, given data.

    Attributes:
      grid: float64 of the shape of the noise.
    """

    grid: np.ndarray

    @abc.abstractmethod
    def draw(self, data: np.ndarray, run: Run) -> np.ndarray:
        """Pops noise, int64 `[B, ...]`, given real data `[B, ...]`."""
        ...

    @abc.abstractmethod
    def take_back(self, noise: np.ndarray, data: np.ndarray, run: Run) -> None:
        """Undoes `draw`."""
        ...


class UniformNoise(Noise):
    """Integers below a power of two."""

    def __init__(self, shape: tuple[int, ...], bits: int) -> None:
        """Creates noise of `bits` bits that fills the unit interval."""
        self.grid = np.full(shape, 2.0**-bits)
        self._bits = bits

    def draw(self, data: np.ndarray, run: Run) -> np.ndarray:
        """Pops noise."""
        if not self._bits:
            return np.zeros(data.shape, np.int64)
        run.takes(np.full(data.shape, -self._bits))
        return run.stack.pop_bits(self._bits, data.size).reshape(data.shape) ^ self._masks(data)

    def take_back(self, noise: np.ndarray, data: np.ndarray, run: Run) -> None:
        """Pushes it."""
        if self._bits:
            run.stack.push_bits(noise ^ self._masks(data), self._bits)

    def _masks(self, data):
        return random_masks(seeds_of(data), data.shape[1:], self._bits)


class _Normal(Noise):
    """Gaussians given data."""

    def draw(self, data: np.ndarray, run: Run) -> np.ndarray:
        """Pops noise."""
        mean, scale = self._mean_and_scale(data)
        noise = GAUSSIAN_NOISE.pop(run.stack, mean, scale, self._masks(data))
        run.takes(-gaussian_bits(noise, mean, scale))
        return noise

    def take_back(self, noise: np.ndarray, data: np.ndarray, run: Run) -> None:
        """Pushes it."""
        GAUSSIAN_NOISE.push(run.stack, noise, *self._mean_and_scale(data), self._masks(data))

    def _masks(self, data):
        return random_masks(seeds_of(data), self.grid.shape, PRECISION)

    @abc.abstractmethod
    def _mean_and_scale(self, data): ...


class NormalNoise(_Normal):
    """N(0, 1) whatever the data."""

    def __init__(self, shape: tuple[int, ...], spread: float) -> None:
        """Creates noise of a standard deviation of `spread` integers."""
        self.grid = np.full(shape, 1 / spread)

    def _mean_and_scale(self, data):
        shape = [len(data), *self.grid.shape]
        return np.zeros(shape), np.broadcast_to(1 / self.grid, shape)


class GaussianNoise(_Normal):
    """Gaussians that a network gives for the data."""

    def __init__(self, augmenter: GaussianAugmenter, shape: tuple[int, ...], plan: Plan) -> None:
        """Creates the noise of an augmenter."""
        self.grid = np.full(shape, 1 / plan.spread)
        self._network = plan.networks.runner(augmenter.network)

    def _mean_and_scale(self, data):
        mean, log_scale = np.split(self._network(data), 2, axis=-1)
        return mean / self.grid, exact.exp(log_scale) / self.grid


class FlowNoise(Noise):
    """What a conditional flow makes of N(0, 1): the integer map of the flow, run as the flow is."""

    def __init__(self, noise: ConditionalNoise, shape: tuple[int, ...], plan: Plan, data: np.ndarray | None) -> None:
        """Creates the noise.

        Args:
          noise: The flow and its context network.
          shape: Shape of the noise.
          plan: The plan; noise for the sample is drawn from its stack, and moved along.
          data: Data of the sample, or None.
        """
        self._normal = NormalNoise(shape, plan.spread)
        self._context = plan.networks.runner(noise.context_network)
        self._pattern = noise._pattern
        if data is not None:
            plan.sample = self._normal.draw(data, plan.run)
            plan.run.context = self._context_of(data)
        self._flow = ChainMap(plan.build(noise.bijector, self._normal.grid), self._normal.grid)
        self.grid = self._flow.grid
        if data is not None:
            plan.run.context = None

    def draw(self, data: np.ndarray, run: Run) -> np.ndarray:
        """Pops noise."""
        noise = self._normal.draw(data, run)
        run.context = self._context_of(data)
        noise = self._flow.encode(noise, run)
        run.context = None
        return noise

    def take_back(self, noise: np.ndarray, data: np.ndarray, run: Run) -> None:
        """Pushes it."""
        run.context = self._context_of(data)
        noise = self._flow.decode(noise, run)
        run.context = None
        self._normal.take_back(noise, data, run)

    def _context_of(self, data):
        seen = data if self._pattern is None else split_colours(tf.constant(data), self._pattern).numpy()
        return self._context(seen)


def augmenting_noise(augmenter: Any, shape: tuple[int, ...], plan: Plan, data: np.ndarray | None) -> Noise:
    """The noise of an augmenter; the arguments are those of `FlowNoise`.

    Raises:
      CannotCodeError: If it is of an unknown kind.
    """
    if isinstance(augmenter, NormalAugmenter):
        made = NormalNoise(shape, plan.spread)
    elif isinstance(augmenter, GaussianAugmenter):
        made = GaussianNoise(augmenter, shape, plan)
    elif isinstance(augmenter, ConditionalNoise):
        return FlowNoise(augmenter, shape, plan, data)
    else:
        raise CannotCodeError(f"There is no codec for a {type(augmenter).__name__}.")
    if data is not None:
        plan.sample = made.draw(data, plan.run)
    return made
