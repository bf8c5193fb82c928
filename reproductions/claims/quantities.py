"""What claims are about: quantities of a finished run, and the smallest difference of each that matters."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from reproductions.reporting.records import Record
from reproductions.reporting.rule import SMALLEST_BITS_PER_DIM

# Values of an image of the study: 16x16 in three colours.
NUM_DIMS = 16 * 16 * 3
# The same for a term in nats of a whole image.
SMALLEST_NATS = SMALLEST_BITS_PER_DIM * NUM_DIMS * math.log(2)
# Of a squared distance between pixels in [0, 1], summed over the 48 averages that are compared.
SMALLEST_SAMPLE_DISTANCE = 0.01


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run of an arm.

    Attributes:
      record: Its record.
      test: Bits/dim of each test image, float64 `[N]`.
      train: Bits/dim of each training image, float64 `[M]`; None if they were not evaluated.
      gradient_norms: Norms of the gradient in the course of training, `[K]`; None if they were not kept.
    """

    record: Record
    test: np.ndarray
    train: np.ndarray | None = None
    gradient_norms: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Quantity:
    """Something to compare between two arms.

    Attributes:
      name: Its name, with the unit.
      value: Function of a `Run`: the number, or a vector `[K]` with one number for each stage of training.
      smallest: Smallest difference that matters.
      images: Function of a `Run`: the values of each image, an array for each set of images that was drawn by itself; the error
        over images is computed from these. None if a run keeps no values per image.
    """

    name: str
    value: Callable[[Run], float | np.ndarray]
    smallest: float = SMALLEST_BITS_PER_DIM
    images: Callable[[Run], tuple[np.ndarray, ...]] | None = None


def _gap(run):
    return float(run.test.mean() - _train(run).mean())


def _train(run):
    if run.train is None:
        raise ValueError(f"{run.record.experiment}: the training images were not measured; run it with evaluate_train.")
    return run.train


def _curve(run):
    return np.array([bits for _, bits in run.record.curve], np.float64)


BITS_PER_DIM = Quantity("test bits/dim", lambda run: float(run.test.mean()), images=lambda run: (run.test,))
GAP = Quantity("gap between test and training bits/dim", _gap, images=lambda run: (run.test, _train(run)))
SPEED = Quantity("bits/dim, mean over all evaluations", lambda run: float(_curve(run).mean()))
ALL_STAGES = Quantity("bits/dim at each evaluation", _curve)


def _term(run, name):
    if name not in (run.record.terms or {}):
        raise ValueError(f"{run.record.experiment}: its record has no term {name!r}; evaluate it again.")
    return run.record.terms[name]["value"]


KL = Quantity("KL of the latents, nats", lambda run: _term(run, "kl_nats"), SMALLEST_NATS)
PIXELS = Quantity("pixels given the latents, bits/dim", lambda run: _term(run, "pixel_bits_per_dim"))
AUXILIARY = Quantity("auxiliary image given the latents, bits/dim", lambda run: _term(run, "auxiliary_bits_per_dim"))
OTHER_LATENTS = Quantity(
    "what the latents of another image add to the pixels, bits/dim",
    lambda run: _term(run, "other_pixel_bits_per_dim") - _term(run, "pixel_bits_per_dim"),
)
VAE_BITS_PER_DIM = Quantity(
    "bound of the VAE by itself, bits/dim",
    lambda run: _term(run, "auxiliary_bits_per_dim") + _term(run, "kl_nats") / (NUM_DIMS * math.log(2)),
)
SAMPLE_DISTANCE = Quantity(
    "Fréchet distance of the VAE's samples from its reconstructions",
    lambda run: _term(run, "sample_distance"),
    SMALLEST_SAMPLE_DISTANCE,
)


def _spike(run):
    if run.gradient_norms is None or not len(run.gradient_norms):
        raise ValueError(f"{run.record.experiment}: its gradient norms were not kept; run it again.")
    return float(run.gradient_norms.max() / np.median(run.gradient_norms))


# Above 1; a run that is stable stays near its median.
GRADIENT_SPIKE = Quantity("largest gradient norm over the median one", _spike, smallest=1.0)
