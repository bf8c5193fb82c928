"""Lossless files give the images back, and their bits are those of the files."""

import io

import numpy as np
import pytest
from PIL import Image

from tfflows.evaluation.image_files import FORMATS, file_bits_per_dim


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("file_format", FORMATS)
def test_bits_are_those_of_a_file_that_gives_the_image_back(monkeypatch, file_format, channels):
    written = []
    save = Image.Image.save

    def keep(image, file, *arguments, **options):
        save(image, file, *arguments, **options)
        written.append(file.getvalue())

    monkeypatch.setattr(Image.Image, "save", keep)
    images = np.random.default_rng(0).integers(100, 110, [3, 8, 6, channels], np.uint8)
    bits = file_bits_per_dim(images, file_format)
    np.testing.assert_allclose(bits, [8 * len(file) / (8 * 6 * channels) for file in written])
    for file, image in zip(written, images, strict=True):
        with Image.open(io.BytesIO(file)) as opened:
            assert opened.format == file_format.upper()
            back = np.asarray(opened.convert("L" if channels == 1 else "RGB"))
        np.testing.assert_array_equal(back.reshape(image.shape), image)


def test_what_is_no_image_is_refused():
    with pytest.raises(ValueError, match=r"Expected uint8 images \[N, H, W, 1 or 3\], got float64"):
        file_bits_per_dim(np.zeros([1, 2, 2, 3]), "png")
    with pytest.raises(ValueError, match="one of png, webp, got 'gif'"):
        file_bits_per_dim(np.zeros([1, 2, 2, 3], np.uint8), "gif")
