"""What the kinds of image files become."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from absl import logging
from PIL import Image

from tests.data_pipeline.stored_sets import random_images, write_pngs
from tfflows.data import load_dataset
from tfflows.data.images import read_image

RAMP = (64 * np.arange(1024, dtype=np.uint16)).reshape(32, 32)


def stored(image, kind="png", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    file.seek(0)
    return file


def transparent(mode):
    """Left half opaque and grey, right half transparent, with a colour below that must not show."""
    image = Image.new("RGBA", (4, 2), (255, 0, 255, 0))
    image.paste((100, 100, 100, 255), (0, 0, 2, 2))
    if mode == "P":
        return image.quantize(4)
    return image.convert(mode)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_bytes_are_taken_as_they_are(mode):
    pixels = random_images(1, 5, 7, len(mode))[0]
    image, conversion = read_image(stored(Image.fromarray(pixels[..., 0] if mode == "L" else pixels)), "x")
    np.testing.assert_array_equal(image, pixels)
    assert image.dtype == np.uint8 and not conversion


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_16_bits_are_scaled(kind):
    image, conversion = read_image(stored(Image.fromarray(RAMP), kind), "x")
    np.testing.assert_array_equal(image[..., 0], np.round(RAMP / 257).astype(np.uint8))
    assert len(np.unique(image)) == 256 and conversion == "16 bits were scaled to 8"


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(mode):
    image, conversion = read_image(stored(transparent(mode)), "x")
    assert image.shape[-1] == (1 if mode == "LA" else 3)
    np.testing.assert_array_equal(image[:, :2], 100 * np.ones_like(image[:, :2]))
    np.testing.assert_array_equal(image[:, 2:], 255 * np.ones_like(image[:, 2:]))
    assert conversion == "transparent parts were laid over white"


def test_an_opaque_image_loses_nothing_with_its_alpha():
    pixels = random_images(1, 4, 4, 3)[0]
    image, conversion = read_image(stored(Image.fromarray(pixels).convert("RGBA")), "x")
    np.testing.assert_array_equal(image, pixels)
    assert not conversion


@pytest.mark.parametrize(("orientation", "turn"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_exif_orientation_is_applied(orientation, turn):
    """6 means: turn clockwise by 90 degrees."""
    pixels = random_images(1, 4, 6, 3)[0]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image, conversion = read_image(stored(Image.fromarray(pixels), exif=exif), "x")
    np.testing.assert_array_equal(image, np.rot90(pixels, turn))
    assert not conversion


@pytest.mark.parametrize(
    ("mode", "kind", "colour", "expected"),
    [
        ("CMYK", "tiff", (0, 255, 255, 0), [255, 0, 0]),
        ("P", "png", 0, [0, 0, 0]),
        ("1", "png", 1, [255]),
        ("YCbCr", "tiff", (128, 128, 128), [128, 128, 128]),
    ],
)
def test_other_kinds_are_converted_and_said(mode, kind, colour, expected):
    image, conversion = read_image(stored(Image.new(mode, (3, 2), colour), kind), "x")
    np.testing.assert_array_equal(image, np.broadcast_to(np.uint8(expected), [2, 3, len(expected)]))
    assert conversion == f"{mode} was converted to {'grey' if mode == '1' else 'RGB'}"


def png_of_16_bit_colours():
    """2x1 pixels; Pillow writes no such file."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    rows = b"\0" + bytes(range(12))
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (png_of_16_bit_colours(), "colours have 16 bits"),
        (stored(Image.new("F", (2, 2)), "tiff"), "numbers are not bytes"),
        (stored(Image.new("I", (2, 2)), "tiff"), "numbers are not bytes"),
        (io.BytesIO(b""), "cannot identify"),
        (io.BytesIO(b"a text"), "cannot identify"),
        (io.BytesIO(stored(Image.fromarray(random_images(1, 64, 64, 3)[0])).getvalue()[:3000]), "truncated"),
    ],
    ids=["colours_of_16_bits", "floats", "integers", "empty", "text", "truncated"],
)
def test_what_cannot_be_read_is_refused_by_name(file, message):
    with pytest.raises(ValueError, match=f"the third image cannot be read as an image: .*{message}"):
        read_image(file, "the third image")


def test_a_small_file_of_many_pixels_is_refused(monkeypatch):
    monkeypatch.setattr("tfflows.data.images.MAX_PIXELS", 99)
    with pytest.raises(ValueError, match="10 x 10 pixels"):
        read_image(stored(Image.new("L", (10, 10))), "x")


def test_a_folder_says_once_what_it_converts(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(logging, "warning", lambda text, *arguments: said.append(text % arguments))
    write_pngs(tmp_path / "test", random_images(1, 32, 32, 1))
    (tmp_path / "train").mkdir()
    for number in range(3):
        Image.fromarray(RAMP).save(tmp_path / "train" / f"{number}.png")
    source = load_dataset(f"folder:{tmp_path}", "train")
    assert len(np.unique(source.images)) == 256
    assert said == [f"{tmp_path / 'train' / '0.png'}: 16 bits were scaled to 8, here and in all images like it."]


def test_hidden_files_and_folders_are_no_images_and_no_classes(tmp_path):
    for name in ("cats", "dogs", ".ipynb_checkpoints", "__MACOSX"):
        write_pngs(tmp_path / "train" / name, random_images(2, 4, 4, 1))
    write_pngs(tmp_path / "test" / "cats", random_images(1, 4, 4, 1))
    (tmp_path / "train" / "cats" / "._image.png").write_bytes(b"\0\5\x16\7")
    (tmp_path / "train" / "dogs" / "folder.png").mkdir()
    source = load_dataset(f"folder:{tmp_path}", "train")
    assert source.num_images == 4 and source.num_classes == 2


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/nowhere", path)], ids=["pipe", "dead_link"])
def test_what_is_no_file_is_skipped_and_named(tmp_path, make):
    for split in ("train", "test"):
        write_pngs(tmp_path / split, random_images(2, 4, 4, 1))
    make(tmp_path / "train" / "x.png")
    source = load_dataset(f"folder:{tmp_path}", "train")
    assert source.num_images == 2 and source.skipped == ("train/x.png (is no regular file, or a link to none)",)
    with pytest.raises(ValueError, match=r"x\.png is no regular file"):
        load_dataset(f"folder:{tmp_path}", "train", strict=True)
