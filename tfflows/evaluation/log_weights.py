"""Log-weights of importance sampling, image by image, kept as three sums in memory and on disk."""

import dataclasses
import io
import json
import math
import os
import pathlib
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfflows.files import atomic_write


@dataclasses.dataclass(frozen=True)
class LogWeights:
    """Sums of the log-weights `l_1 ... l_S` of each of N images, in nats: any number S in the memory of one.

    Attributes:
      counts: int64 `[N]`, number S of samples so far.
      totals: float64 `[N]`, `sum_s l_s`.
      log_sums: float64 `[N]`, `ln sum_s exp(l_s)`.
      log_squares: float64 `[N]`, `ln sum_s exp(2 l_s)`.

    Example:
      Weights 1 and 3 of one image: their mean is 2.

      >>> import numpy as np
      >>> from tfflows.evaluation.log_weights import LogWeights
      >>> sums = LogWeights.empty(num_images=1)
      >>> sums.add([0], np.log([[1.0], [3.0]]))
      >>> print(np.exp(sums.log_probs).round(3), sums.effective_samples.round(3))  # (1 + 3)^2 / (1 + 9)
      [2.] [1.6]
    """

    counts: np.ndarray
    totals: np.ndarray
    log_sums: np.ndarray
    log_squares: np.ndarray

    @classmethod
    def empty(cls, num_images: int) -> "LogWeights":
        """Sums of no samples."""
        return cls(
            np.zeros([num_images], np.int64),
            np.zeros([num_images]),
            np.full([num_images], -np.inf),
            np.full([num_images], -np.inf),
        )

    def add(self, images: np.ndarray, log_weights: np.ndarray) -> None:
        """Adds samples, in place.

        Args:
          images: int `[B]`, positions of the images, each once.
          log_weights: float `[S, B]`, their next samples.

        Raises:
          ValueError: If one of them is NaN or infinitely large; nothing is added then.
        """
        log_weights = np.asarray(log_weights, np.float64)
        wrong = np.isnan(log_weights) | (log_weights == np.inf)
        if wrong.any():
            sample, row = np.argwhere(wrong)[0]
            raise ValueError(
                f"The log-probability of image {images[row]} with noise number {self.counts[images[row]] + sample} is "
                f"{log_weights[sample, row]}: the parameters are corrupt. Evaluate an earlier checkpoint."
            )
        self.counts[images] += len(log_weights)
        self.totals[images] += log_weights.sum(axis=0)
        for sums, factor in ((self.log_sums, 1), (self.log_squares, 2)):
            sums[images] = np.logaddexp(sums[images], np.logaddexp.reduce(factor * log_weights, axis=0))

    @property
    def elbos(self) -> np.ndarray:
        """Mean of the log-weights, nats `[N]`: the bound of a single sample, averaged over its noise."""
        return self.totals / self.counts

    @property
    def log_probs(self) -> np.ndarray:
        """The bound `ln (1/S) sum_s exp(l_s)`, nats `[N]` (Burda et al. 2016)."""
        return self.log_sums - np.log(self.counts)

    @property
    def effective_samples(self) -> np.ndarray:
        """`(sum_s w_s)^2 / sum_s w_s^2` of the weights `w_s = exp(l_s)`, `[N]`, between 1 and S."""
        return np.exp(2 * self.log_sums - self.log_squares)

    @property
    def variances(self) -> np.ndarray:
        """Variances of `log_probs` over the noise, nats^2 `[N]`, by the delta method; infinite after a single sample.

        `Var(ln mean w) = Var(w) / (S E[w]^2)`, estimated by `(S / effective_samples - 1) / (S - 1)`. With few effective
        samples the estimate is too small, since the largest weights are then still to come.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            variances = (self.counts / self.effective_samples - 1) / (self.counts - 1)
        return np.where(self.counts > 1, np.maximum(variances, 0), math.inf)


_FIELDS = [field.name for field in dataclasses.fields(LogWeights)]


def save_log_weights(path: str | os.PathLike, sums: LogWeights, description: Mapping[str, Any]) -> None:
    """Writes sums and the JSON-able mapping that says what they measure, atomically: a long measurement can be interrupted."""
    content = io.BytesIO()
    arrays = {name: getattr(sums, name) for name in _FIELDS}
    np.savez(content, description=json.dumps(description, sort_keys=True), **arrays)
    atomic_write(path, content.getvalue())


def read_log_weights_description(path: str | os.PathLike) -> dict[str, Any]:
    """The description with which `save_log_weights` wrote a file; empty if there is none that can be read."""
    try:
        with np.load(pathlib.Path(path), allow_pickle=False) as file:
            return dict(json.loads(str(file["description"])))
    except (OSError, ValueError, KeyError, EOFError, TypeError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return {}


def load_log_weights(path: str | os.PathLike, description: Mapping[str, Any]) -> LogWeights:
    """Reads what `save_log_weights` wrote with the same description.

    Raises:
      ValueError: If the file has another description (the message says what differs), or is not such a file.
    """
    remedy = f"Remove {path} to start again."
    try:
        with np.load(pathlib.Path(path), allow_pickle=False) as file:
            stored = json.loads(str(file["description"]))
            sums = LogWeights(*(file[name] for name in _FIELDS))
    except (OSError, ValueError, KeyError, EOFError, TypeError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} does not hold sums of importance samples ({error}). {remedy}") from error
    wanted = json.loads(json.dumps(description))
    differing = sorted(name for name in stored.keys() | wanted.keys() if stored.get(name) != wanted.get(name))
    if differing:
        changes = ", ".join(f"{name} ({stored.get(name)} there, {wanted.get(name)} now)" for name in differing)
        raise ValueError(f"{path} is of another measurement: {changes}. {remedy}")
    return sums
