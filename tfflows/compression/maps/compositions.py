"""Chains, halves, levels: maps of several bijectors."""

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfflows.bijectors import Chain, GaussianPrior, MultiScale, OnData, OnFirstChannels, OnHalves
from tfflows.compression import exact
from tfflows.compression.bins import GAUSSIAN
from tfflows.compression.maps.base import LIMIT, IntegerMap, Run, integer_map
from tfflows.compression.maps.plan import Plan
from tfflows.compression.protocol import CannotCodeError

tfb = tfp.bijectors
_LOG2_E = 1.4426950408889634
_LOG2_NORMALIZER = 1.3257480647361592  # log2 sqrt(2 pi)


class ChainMap(IntegerMap):
    """Maps one after the other, each with the context as those before it leave it."""

    holds_maps = True

    def __init__(self, maps: list[IntegerMap], grid: np.ndarray) -> None:
        """Creates the map of maps, on whose output's grid the last one ends."""
        self.maps = maps
        self.grid = maps[-1].grid if maps else grid

    def encode(self, x: np.ndarray, run: Run) -> np.ndarray:
        """Data to latent."""
        context = run.context
        for each in self.maps:
            x = each.encode(x, run)
            run.context = each.context_after(run.context)
        run.context = context
        return x

    def decode(self, x: np.ndarray, run: Run) -> np.ndarray:
        """Undoes `encode`."""
        contexts = [run.context]
        for each in self.maps:
            contexts.append(each.context_after(contexts[-1]))
        for each, run.context in zip(reversed(self.maps), reversed(contexts[:-1]), strict=True):
            x = each.decode(x, run)
        run.context = contexts[0]
        return x

    def context_after(self, context: np.ndarray | None) -> np.ndarray | None:
        """The context as the last map leaves it."""
        for each in self.maps:
            context = each.context_after(context)
        return context


@integer_map.register(tfb.Chain)
@integer_map.register(Chain)
def _chain(bijector, grid: np.ndarray, plan: Plan) -> ChainMap:
    maps = []
    # TFP's own chains list their bijectors from latent to data too: both begin with what is nearest to the data.
    for each in bijector.bijectors:
        maps += plan.build(each, maps[-1].grid if maps else grid)
    return ChainMap(maps, grid)


class Parts(IntegerMap):
    """Groups of channels, each through maps of its own or none."""

    holds_maps = True

    def __init__(self, parts: list[tuple[slice, list[IntegerMap]]], grids: list[np.ndarray]) -> None:
        """Creates the map.

        Args:
          parts: The channels of each part, which keep their number, and its maps.
          grids: The grids of the parts of the output.
        """
        self.grid = np.concatenate(grids, axis=-1)
        self._parts = [(channels, ChainMap(maps, grid)) for (channels, maps), grid in zip(parts, grids, strict=True)]

    def encode(self, x: np.ndarray, run: Run) -> np.ndarray:
        """Data to latent."""
        return np.concatenate([each.encode(x[..., channels], run) for channels, each in self._parts], axis=-1)

    def decode(self, x: np.ndarray, run: Run) -> np.ndarray:
        """Undoes `encode`."""
        decoded = [each.decode(x[..., channels], run) for channels, each in reversed(self._parts)]
        return np.concatenate(decoded[::-1], axis=-1)


def _parts(bijectors, sizes, grid, plan):
    """The map of bijectors of groups of channels, None for those that pass; the sample goes through each part."""
    whole, context = plan.sample, None if plan.run is None else plan.run.context
    parts, grids, samples, start = [], [], [], 0
    for bijector, size in zip(bijectors, sizes, strict=True):
        channels = slice(start, start + size)
        start += size
        maps = []
        if whole is not None:
            plan.sample = whole[..., channels]
        if bijector is not None:
            maps = plan.build(bijector, grid[..., channels])
        parts.append((channels, maps))
        grids.append(maps[-1].grid if maps else grid[..., channels])
        samples.append(plan.sample)
        if plan.run is not None:
            plan.run.context = context
    if whole is not None:
        plan.sample = np.concatenate(samples, axis=-1)
    return Parts(parts, grids)


@integer_map.register(OnHalves)
def _on_halves(bijector: OnHalves, grid: np.ndarray, plan: Plan) -> Parts:
    return _parts([bijector.first, bijector.second], [grid.shape[-1] // 2] * 2, grid, plan)


@integer_map.register(OnFirstChannels)
def _on_first_channels(bijector: OnFirstChannels, grid: np.ndarray, plan: Plan) -> Parts:
    kept = bijector.parameters["num_channels"]
    return _parts([bijector.bijector, None], [kept, grid.shape[-1] - kept], grid, plan)


class StandardNormal:
    """Codes integers under N(0, 1) on their grid."""

    def __init__(self, grid: np.ndarray) -> None:
        """Creates the prior of a grid."""
        self._scale = 1 / grid

    def push(self, x: np.ndarray, run: Run) -> None:
        """Pushes `[B, ...]`."""
        push_gaussian(x, np.zeros(x.shape), np.broadcast_to(self._scale, x.shape), run)

    def pop(self, count: int, run: Run) -> np.ndarray:
        """Pops `[count, ...]`."""
        scale = np.broadcast_to(self._scale, [count, *self._scale.shape])
        return GAUSSIAN.pop(run.stack, np.zeros(scale.shape), scale)


def push_gaussian(x: np.ndarray, mean: np.ndarray, scale: np.ndarray, run: Run) -> None:
    """Pushes integers under Gaussians in their own units, and notes what it takes."""
    if np.abs(x).max(initial=0) >= LIMIT:
        raise CannotCodeError("An image is too unlikely for the integers of its latents.")
    run.takes(gaussian_bits(x, mean, scale))
    GAUSSIAN.push(run.stack, x, mean, scale)


def gaussian_bits(x: np.ndarray, mean: np.ndarray | float, scale: np.ndarray) -> np.ndarray:
    """What integers take under Gaussians in their own units, about; far out, what escapes take."""
    z = np.minimum(np.abs(x - mean) / scale, 8.0)
    return 0.5 * _LOG2_E * z * z + np.log2(scale) + _LOG2_NORMALIZER


class LearnedPrior:
    """Codes integers under the Gaussians that a network gives."""

    def __init__(self, bijector: GaussianPrior, grid: np.ndarray, plan: Plan, takes_labels: bool = False) -> None:
        """Creates the prior of a grid.

        Args:
          bijector: The prior.
          grid: The grid.
          plan: The plan.
          takes_labels: Whether the condition of the network is the label of the image.

        Raises:
          CannotCodeError: If it takes labels and does not say how many there are.
        """
        self._grid = grid
        self._interleaved = bijector.parameters["parameter_order"] == "interleaved"
        network = bijector.network
        self._table = None
        if takes_labels:
            plan.num_classes = getattr(network, "num_classes", 0)
            if not plan.num_classes:
                raise CannotCodeError(f"The network of {bijector.name!r} takes labels without num_classes.")
            self._table = plan.networks.runner(network, _of_labels)(np.arange(plan.num_classes))
        elif bijector.takes_condition:
            self._network = plan.networks.runner(network)
        else:
            self._table = plan.networks.runner(network)()
        if self._table is not None:
            plan.note(self._table)

    def push(self, x: np.ndarray, kept: np.ndarray, run: Run) -> None:
        """Pushes `[B, ...]`, given the real values that the network sees."""
        push_gaussian(x, *self._mean_and_scale(kept, run), run)

    def pop(self, kept: np.ndarray, run: Run) -> np.ndarray:
        """Undoes `push`."""
        return GAUSSIAN.pop(run.stack, *self._mean_and_scale(kept, run))

    def _mean_and_scale(self, kept, run):
        if self._table is None:
            parameters = self._network(kept)
        else:
            parameters = self._table[np.zeros(len(kept), int) if len(self._table) == 1 else run.labels]
        if self._interleaved:
            mean, log_scale = parameters[..., 0::2], parameters[..., 1::2]
        else:
            mean, log_scale = np.split(parameters, 2, axis=-1)
        return mean / self._grid, exact.exp(log_scale) / self._grid


def _of_labels(network: Any, labels: tf.Tensor) -> tf.Tensor:
    return network(tf.cast(labels, tf.int32))


class Levels(IntegerMap):
    """Levels of a flow: what leaves after each is pushed, so that nothing is left at the end."""

    holds_maps = True

    def __init__(self, flows: list[ChainMap], priors: list[Any]) -> None:
        """Creates the map of the flows of the levels and the priors of what leaves."""
        self._flows, self._priors = flows, priors
        self.grid = np.zeros([0])

    def encode(self, x: np.ndarray, run: Run) -> np.ndarray:
        """Data to latent."""
        context, count = run.context, len(x)
        for flow, prior in zip(self._flows, self._priors, strict=True):
            x = flow.encode(x, run)
            run.context = flow.context_after(run.context)
            last = flow is self._flows[-1]
            kept, out = (x[..., :0], x) if last else np.split(x, 2, axis=-1)
            if isinstance(prior, LearnedPrior):
                prior.push(out, self._seen(flow, kept), run)
            else:
                prior.push(out, run)
            x = kept
        run.context = context
        return np.zeros([count, 0], np.int64)

    def decode(self, x: np.ndarray, run: Run) -> np.ndarray:
        """Undoes `encode`."""
        count, kept = len(x), None
        contexts = [run.context]
        for flow in self._flows:
            contexts.append(flow.context_after(contexts[-1]))
        for flow, prior, run.context in zip(self._flows[::-1], self._priors[::-1], contexts[-2::-1], strict=True):
            if kept is None:
                kept = np.zeros([count, *flow.grid.shape[:-1], 0], np.int64)
            if isinstance(prior, LearnedPrior):
                out = prior.pop(self._seen(flow, kept), run)
            else:
                out = prior.pop(count, run)
            kept = flow.decode(np.concatenate([kept, out], axis=-1), run)
        run.context = contexts[0]
        return kept

    def _seen(self, flow, kept):
        return kept * flow.grid[..., : kept.shape[-1]]


@integer_map.register(MultiScale)
def _multi_scale(bijector: MultiScale, grid: np.ndarray, plan: Plan) -> Levels:
    flows, priors = [], []
    for index, level in enumerate(bijector.levels):
        flow = ChainMap(plan.build(level.flow, grid), grid)
        flows.append(flow)
        last = index == len(bijector.levels) - 1
        channels = 0 if last else flow.grid.shape[-1] // 2
        grid, out = flow.grid[..., :channels], flow.grid[..., channels:]
        if level.prior is None:
            priors.append(StandardNormal(out))
        elif isinstance(level.prior, GaussianPrior):
            priors.append(LearnedPrior(level.prior, out, plan, takes_labels=last and level.prior.takes_condition))
        else:
            raise CannotCodeError(
                f"There is no codec for the prior {level.prior.name!r} ({type(level.prior).__name__})."
            )
        if plan.sample is not None:
            plan.sample = plan.sample[..., :channels]
    if plan.sample is not None:
        plan.sample = np.zeros([len(plan.sample), 0], np.int64)
    return Levels(flows, priors)


class BesideData(IntegerMap):
    """The first channels through maps, then all flattened: the latents of the data, and what is beside them."""

    holds_maps = True

    def __init__(self, shape: tuple[int, ...], channels: int, inner: ChainMap, beside: np.ndarray) -> None:
        """Creates the map.

        Args:
          shape: Shape of the events.
          channels: Number of channels of the data.
          inner: Map of the data.
          beside: Grid of what is beside.
        """
        self._shape, self._channels, self._inner = shape, channels, inner
        self.grid = np.concatenate([inner.grid.ravel(), beside.ravel()])

    def encode(self, x: np.ndarray, run: Run) -> np.ndarray:
        """Data to latent."""
        latent = self._inner.encode(x[..., : self._channels], run)
        return np.concatenate([latent.reshape([len(x), -1]), x[..., self._channels :].reshape([len(x), -1])], axis=1)

    def decode(self, x: np.ndarray, run: Run) -> np.ndarray:
        """Undoes `encode`."""
        size, shape = self._inner.grid.size, self._inner.grid.shape
        data = self._inner.decode(x[:, :size].reshape([len(x), *shape]), run)
        beside = x[:, size:].reshape([len(x), *self._shape[:-1], self._shape[-1] - self._channels])
        return np.concatenate([data, beside], axis=-1)


@integer_map.register(OnData)
def _on_data(bijector: OnData, grid: np.ndarray, plan: Plan) -> BesideData:
    channels = grid.shape[-1] - bijector.parameters["num_channels"]
    whole = plan.sample
    if whole is not None:
        plan.sample = whole[..., :channels]
    inner = ChainMap(plan.build(bijector.bijector, grid[..., :channels]), grid[..., :channels])
    if whole is not None:
        parts = [plan.sample, whole[..., channels:]]
        plan.sample = np.concatenate([part.reshape([len(whole), -1]) for part in parts], axis=1)
    return BesideData(grid.shape, channels, inner, grid[..., channels:])
