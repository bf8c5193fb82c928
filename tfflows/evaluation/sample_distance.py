"""How far what a VAE decodes for latents of its prior lies from what it decodes for latents of images."""

import numpy as np
import tensorflow as tf

from tfflows.math.random import row_keys

# Features: an image averaged over so many cells a side.
_CELLS = 4
_GROUPS = 10
# Images that it takes at least: more than features, with a tenth of them left out.
MIN_IMAGES = 60


def frechet_distance(first, second):
    """`|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))` of the means and covariances of two samples of features.

    The squared Wasserstein distance of two Gaussians with these moments (Dowson & Landau 1982).

    Args:
      first: `[N, F]`, N above F.
      second: `[M, F]`, M above F.

    Returns:
      Python `float`, at least 0; it shrinks towards that of the distributions as N and M grow.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if min(len(first), len(second)) <= first.shape[1]:
        raise ValueError(
            f"{first.shape[1]} features need more than as many rows for a covariance, got {len(first)} and {len(second)}."
        )
    covariances = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = _square_root(covariances[0])
    # The trace of (C1 C2)^(1/2) is that of (C1^(1/2) C2 C1^(1/2))^(1/2), which is symmetric.
    cross = np.trace(_square_root(root @ covariances[1] @ root))
    difference = first.mean(0) - second.mean(0)
    return max(float(difference @ difference + sum(map(np.trace, covariances)) - 2 * cross), 0.0)


def sample_distance(model, images, seed, batch_size=250):
    """The Fréchet distance of `f(z)`, z of the prior, and `f(z)`, z of `q(z | images)`, averaged over 4x4 cells.

    As lambda grows in AGAVE, samples and reconstructions of the VAE come to look alike (Lucas & Verbeek 2018, figure 3).

    Args:
      model: `IAFVAE`.
      images: uint8 `[N, H, W, C]`, sides divisible by 4; as many samples are drawn.
      seed: Python `int` of all latents.
      batch_size: Images decoded at once.

    Returns:
      The distance, pixels in [0, 1], and its standard error, by leaving out a tenth of both sides at a time.
    """

    def features(means):
        image = model.enlarged(means)  # also of an auxiliary image with fewer pixels than cells
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
