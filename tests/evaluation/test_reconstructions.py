import matplotlib.image
import numpy as np
import tensorflow as tf

from tests.evaluation.tiny_models import random_images
from tfflows.evaluation.grids import captioned_grid
from tfflows.evaluation.reconstructions import write_reconstructions
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
    columns = 3
    expected = captioned_grid(np.repeat(images, columns, axis=0), columns)
    tile = (expected.shape[1] - 4) // columns
    np.testing.assert_array_equal(first[:, :tile, :3], expected[:, :tile])
    mirrored = captioned_grid(np.repeat(images[:, :, ::-1], columns, axis=0), columns)
    np.testing.assert_array_equal(first[:, tile : 2 * tile, :3], mirrored[:, tile : 2 * tile])


def test_columns_are_named(tmp_path):
    images = random_images(2, 1, seed=1)
    plain = write_reconstructions(Mirror(), tmp_path / "plain.png", images, 5)
    named = write_reconstructions(Mirror(), tmp_path / "named.png", images, 5, caption="AGAVE", row_names=["a", "b"])
    plain, named = (tf.io.decode_png(path.read_bytes()).numpy() for path in (plain, named))
    tile = (plain.shape[0] - 4) // 2 - 4
    factor = tile // 8
    shown = [
        plain[4 + row * (tile + 4) :, 4 + column * (tile + 4) :][:tile:factor, :tile:factor]
        for row in range(2)
        for column in range(3)
    ]
    texts = {"caption": "AGAVE, seed 5", "row_names": ["a", "b"], "column_names": ["image", "f(z)", "sample"]}
    np.testing.assert_array_equal(named, captioned_grid(np.stack(shown), 3, **texts))
