"""`tfflows compress` and `tfflows decompress`: files in, files out, and what they refuse."""

import types

import numpy as np
import pytest
from PIL import Image

import tfflows
from reproductions import compress_images, decompress_images
from reproductions.compress_images import image_files, labels_of, read_pixels
from reproductions.decompress_images import output_paths
from tests.compression.small_flows import SHAPE, glow_model, images
from tfflows.compression.container import ArchiveError
from tfflows.models import Model


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three images in a folder, and a model that is found by the name `small`."""
    (tmp_path / "images").mkdir()
    (tmp_path / "none").mkdir()
    for number, image in enumerate(images(2)):
        Image.fromarray(image).save(tmp_path / "images" / f"{number}.png")
    Image.fromarray(images(1, (5, 11, 3))[0][..., 0]).save(tmp_path / "images" / "grey.webp", lossless=True)
    Image.fromarray(images(1, (5, 11, 3))[0][..., 0]).save(tmp_path / "images" / "grey.bmp")
    (tmp_path / "images" / "grey.webp").unlink()
    (tmp_path / "images" / "more").mkdir()
    with_alpha = np.concatenate([images(1, (5, 11, 3))[0], images(1, (5, 11, 1), 1)[0]], axis=-1)
    Image.fromarray(with_alpha).save(tmp_path / "images" / "more" / "0.png")
    (tmp_path / "images" / "note.txt").write_text("no image")

    def load(name, checkpoint="latest", models_dir=None):
        if name != "small":
            raise FileNotFoundError(f"No model {name!r}.")
        return Model(glow_model(), settings={"name": "small"}, path=tmp_path / "small")

    monkeypatch.setattr(tfflows, "load", load)
    return tmp_path


def test_files_come_back(folder, capsys):
    out, back = str(folder / "out.tff"), folder / "back"
    assert compress_images.main([str(folder / "images"), "-o", out, "--model=small"]) == 0
    assert "4 images" in capsys.readouterr().out
    assert decompress_images.main([out, "-d", str(back)]) == 0
    names = {path.relative_to(back).as_posix() for path in back.rglob("*.png")}
    assert names == {"0.png", "1.png", "grey.png", "more/0.png"}
    for name in names:
        (path,) = (folder / "images").glob(f"{name[:-4]}.*")
        with Image.open(path) as original, Image.open(back / name) as image:
            assert original.mode == image.mode
            np.testing.assert_array_equal(original, image)
    # Nothing is overwritten unasked, and a damaged file leaves what could be read.
    assert compress_images.main([str(folder / "images"), "-o", out, "--model=small"]) == 1
    assert decompress_images.main([out, "-d", str(back)]) == 1
    assert decompress_images.main([out, "-d", str(folder / "other"), "--model=none"]) == 1
    data = (folder / "out.tff").read_bytes()
    (folder / "out.tff").write_bytes(data[:-40])
    capsys.readouterr()
    assert decompress_images.main([out, "-d", str(folder / "cut")]) == 1
    error = capsys.readouterr().err
    assert "The file is cut: image" in error and error.count("\n") <= 2
    assert len(list((folder / "cut").rglob("*.png"))) < 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.png", "{0}/images/0.png", "b.png"], "no file missing.png, b.png"),
        (["{0}/none"], "There are no images in"),
        (["{0}/images", "{0}/images/0.png"], "2 images would be decompressed to 0.png"),
        (["{0}/images/note.txt"], "Cannot read the image"),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(folder, arguments, message, capsys):
    places = [argument.format(folder) for argument in arguments]
    assert compress_images.main([*places, "-o", str(folder / "out.tff"), "--model=small"]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (folder / "out.tff").exists()


def test_a_missing_file_is_named(tmp_path, capsys):
    assert decompress_images.main([str(tmp_path / "none.tff"), "-d", str(tmp_path / "back")]) == 1
    assert "There is no file" in capsys.readouterr().err and not (tmp_path / "back").exists()


def test_each_image_that_cannot_be_read_is_named(folder, capsys):
    places = [folder / "images" / name for name in ("palette.png", "0.png", "note.txt")]
    Image.new("P", (4, 4)).save(places[0])
    assert compress_images.main([*map(str, places), "-o", str(folder / "out.tff"), "--model=small"]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert "palette.png is neither grey nor RGB of 8 bits but P" in first and "Cannot read the image" in second
    assert not (folder / "out.tff").exists()


def test_a_transparent_colour_is_alpha(tmp_path):
    grey, rgb = images(1)[0][..., 0], images(1)[0]
    for image, colour in ((grey, int(grey[1, 2])), (rgb, tuple(rgb[1, 2].tolist()))):
        Image.fromarray(image).save(tmp_path / "a.png", transparency=colour)
        pixels = read_pixels(tmp_path / "a.png")
        np.testing.assert_array_equal(pixels[..., :-1].reshape(image.shape), image)
        is_colour = np.all(pixels[..., :-1] == colour, axis=-1)
        np.testing.assert_array_equal(pixels[..., -1], np.where(is_colour, 0, 255))


def test_classes_are_given_or_names_of_folders(tmp_path):
    for name in ("cat", "0"):
        (tmp_path / name).mkdir()
        Image.new("L", (4, 4)).save(tmp_path / name / "a.png")
    files = image_files([str(tmp_path)])
    assert files == {"0/a.png": tmp_path / "0" / "a.png", "cat/a.png": tmp_path / "cat" / "a.png"}
    description = types.SimpleNamespace(class_names=("dog", "cat"))
    model = types.SimpleNamespace(is_conditional=True, num_classes=2, description=description)
    paths = list(files.values())
    assert labels_of(model, paths, None) == [0, 1]
    assert labels_of(model, paths, "cat") == labels_of(model, paths, "1") == [1, 1]
    with pytest.raises(
        ValueError, match=r"knows no class 'cow': give --label, or name folders after classes \(dog, cat\)"
    ):
        labels_of(model, paths, "cow")
    unconditional = types.SimpleNamespace(is_conditional=False)
    assert labels_of(unconditional, paths, None) is None
    with pytest.raises(ValueError, match="takes no labels"):
        labels_of(unconditional, paths, "0")


@pytest.mark.parametrize("name", ["../a.png", "/a.png", "b/c/a.png", "..", "", "b\\a.png", "b/..", "b/", "./a.png"])
def test_names_cannot_leave_the_directory(name, tmp_path):
    header = {"shapes": [[1, list(SHAPE)]], "names": [name]}
    with pytest.raises(ArchiveError, match="no name of a file"):
        output_paths(header, tmp_path)
