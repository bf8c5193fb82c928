import matplotlib.image
import numpy as np
import tensorflow as tf

from tests.evaluation.tiny_models import random_images
from tfflows.evaluation.reconstructions import write_reconstructions
from tfflows.evaluation.samples import image_grid
from tfflows.math.random import uniform_rows


class Mirror:
    """Reconstructs an image as its mirror image, and as noise of its keys."""

    def reconstruct(self, images, keys):
        noise = uniform_rows(keys, images.shape[0], images.shape[1:])
        return tf.reverse(images, [2]), tf.cast(255 * noise, tf.uint8)


def test_a_row_for_each_image(tmp_path):
    images = random_images(3, 3, seed=1)
    paths = [write_reconstructions(Mirror(), tmp_path / f"{seed}.png", images, seed) for seed in (5, 5, 6)]
    first, again, other = (np.round(255 * matplotlib.image.imread(path)).astype(np.uint8) for path in paths)
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)
    expected = image_grid(np.stack([images, images[:, :, ::-1]], axis=1).reshape([-1, *images.shape[1:]]), 2)
    np.testing.assert_array_equal(first[:, : expected.shape[1] - 2, :3], expected[:, :-2])
