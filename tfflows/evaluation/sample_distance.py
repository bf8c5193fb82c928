"""The distance between what a VAE decodes from latents of its prior and what it decodes from latents of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from tfflows.math.random import row_keys

# Every evaluation imports this module; only one of a VAE needs its modules.
if TYPE_CHECKING:
    from tfflows.distributions.iaf_vae import IAFVAE

# Number of cells per side that an image is averaged over; the averages are its features.
_CELLS = 4
_GROUPS = 10
# Minimum number of images: more than there are features, with a tenth of them left out.
MIN_IMAGES = 60


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """`|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))` of the means and covariances of two samples of features.

    It is the squared Wasserstein distance of two Gaussians with these moments.

    Args:
      first: `[N, F]`, N above F.
      second: `[M, F]`, M above F.

    Returns:
      The distance, at least 0; it shrinks towards that of the distributions as N and M grow.

    Raises:
      ValueError: If the features are not two matrices of as many columns, or there are too few rows for a covariance.

    Example:
      Samples that differ by a shift of `[3, 4]`, of squared length 25.

      >>> import numpy as np
      >>> from tfflows.evaluation.sample_distance import frechet_distance
      >>> first = np.array([[-2.0, 0.0], [2.0, 0.0], [0.0, -1.0], [0.0, 1.0]])
      >>> print(round(frechet_distance(first, first + [3.0, 4.0]), 3))
      25.0

    References:
      Dowson & Landau 1982, https://doi.org/10.1016/0047-259X(82)90077-X.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1] or first.shape[1] == 0:
        raise ValueError(
            f"Features must be two matrices [N, F] and [M, F] with F at least 1, got {first.shape} and {second.shape}."
        )
    if min(len(first), len(second)) <= first.shape[1]:
        raise ValueError(
            f"{first.shape[1]} features need more than {first.shape[1]} rows for a covariance, got {len(first)} and "
            f"{len(second)}."
        )
    # The covariance of a single feature would be a scalar.
    covariances = [np.atleast_2d(np.cov(rows, rowvar=False)) for rows in (first, second)]
    root = _square_root(covariances[0])
    # The trace of (C1 C2)^(1/2) is that of (C1^(1/2) C2 C1^(1/2))^(1/2), which is symmetric.
    cross = np.trace(_square_root(root @ covariances[1] @ root))
    difference = first.mean(0) - second.mean(0)
    return max(float(difference @ difference + sum(map(np.trace, covariances)) - 2 * cross), 0.0)


def sample_distance(model: IAFVAE, images: np.ndarray, seed: int, batch_size: int = 250) -> tuple[float, float]:
    """The Fréchet distance between `f(z)` with z from the prior and `f(z)` with z from `q(z | images)`, averaged over 4x4 cells.

    As lambda grows in AGAVE, samples and reconstructions of the VAE come to look alike.

    Args:
      model: The VAE.
      images: uint8 `[N, H, W, C]`, sides divisible by 4; as many samples are drawn.
      seed: Seed of all latents.
      batch_size: Images decoded at once.

    Returns:
      The distance, for pixels in [0, 1], and its standard error, found by leaving out a tenth of both sides at a time.

    Raises:
      ValueError: If there are too few images for a covariance of the features.

    References:
      Lucas & Verbeek 2018, figure 3, https://arxiv.org/abs/1711.11479.
    """

    def features(means):
        image = model.enlarged(means)  # also for an auxiliary image with fewer pixels than cells
        height, width, channels = image.shape[1:]
        cells = tf.reshape(image, [-1, _CELLS, height // _CELLS, _CELLS, width // _CELLS, channels])
        return tf.reshape(tf.reduce_mean(cells, axis=[2, 4]), [tf.shape(image)[0], -1])

    @tf.function(autograph=False)
    def decode(images, start):
        keys = row_keys(seed, 0, start)
        means, _ = model.posterior(images, keys)
        return features(model.prior_means(tf.shape(images)[0], keys)), features(means)

    parts = [
        decode(tf.constant(images[start : start + batch_size]), tf.constant(start, tf.int64))
        for start in range(0, len(images), batch_size)
    ]
    samples, reconstructions = (np.concatenate([part[side].numpy() for part in parts]) for side in (0, 1))
    groups = np.arange(len(images)) % _GROUPS
    left_out = [frechet_distance(samples[groups != i], reconstructions[groups != i]) for i in range(_GROUPS)]
    error = np.sqrt((_GROUPS - 1) * np.var(left_out))
    return frechet_distance(samples, reconstructions), float(error)


def _square_root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
