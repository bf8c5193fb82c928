"""Log-weights of importance sampling, image by image, held as three sums."""

import dataclasses
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class LogWeights:
    """What is kept of the log-weights `l_1 ... l_S` of each of N images, in nats: any number S in the memory of one.

    Attributes:
      counts: int64 `[N]`, S so far.
      totals: float64 `[N]`, `sum_s l_s`.
      log_sums: float64 `[N]`, `ln sum_s exp(l_s)`.
      log_squares: float64 `[N]`, `ln sum_s exp(2 l_s)`.
    """

    counts: np.ndarray
    totals: np.ndarray
    log_sums: np.ndarray
    log_squares: np.ndarray

    @classmethod
    def empty(cls, num_images):
        """Of no samples yet."""
        return cls(
            np.zeros([num_images], np.int64),
            np.zeros([num_images]),
            np.full([num_images], -np.inf),
            np.full([num_images], -np.inf),
        )

    def add(self, images, log_weights):
        """Adds samples, in place.

        Args:
          images: int `[B]`, which images, each once.
          log_weights: float `[S, B]`, their next samples.

        Raises:
          ValueError: if one is NaN or infinitely large; nothing is then added.
        """
        log_weights = np.asarray(log_weights, np.float64)
        wrong = np.isnan(log_weights) | (log_weights == np.inf)
        if wrong.any():
            sample, row = np.argwhere(wrong)[0]
            raise ValueError(
                f"The log-probability of image {images[row]} with noise number {self.counts[images[row]] + sample} is "
                f"{log_weights[sample, row]}: the parameters are spoilt. Evaluate an earlier checkpoint."
            )
        self.counts[images] += len(log_weights)
        self.totals[images] += log_weights.sum(axis=0)
        for sums, factor in ((self.log_sums, 1), (self.log_squares, 2)):
            sums[images] = np.logaddexp(sums[images], np.logaddexp.reduce(factor * log_weights, axis=0))

    @property
    def elbos(self):
        """The mean of the log-weights, nats `[N]`: the bound of a single sample, its noise averaged."""
        return self.totals / self.counts

    @property
    def log_probs(self):
        """The bound `ln (1/S) sum_s exp(l_s)`, nats `[N]` (Burda et al. 2016)."""
        return self.log_sums - np.log(self.counts)

    @property
    def effective_samples(self):
        """`(sum_s w_s)^2 / sum_s w_s^2` of the weights `w_s = exp(l_s)`, `[N]`, between 1 and S."""
        return np.exp(2 * self.log_sums - self.log_squares)

    @property
    def variances(self):
        """Of `log_probs` over the noise, nats^2 `[N]`, by the delta method; infinite after a single sample.

        `Var(ln mean w) = Var(w) / (S E[w]^2)`, estimated by `(S / effective_samples - 1) / (S - 1)`. With few effective
        samples it is too small: the largest weights are then still to come.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            variances = (self.counts / self.effective_samples - 1) / (self.counts - 1)
        return np.where(self.counts > 1, np.maximum(variances, 0), math.inf)
