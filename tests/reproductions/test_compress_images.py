"""`tfflows compress` and `tfflows decompress`: files in, files out, and what they refuse."""

import numpy as np
import pytest
from PIL import Image

import tfflows
from reproductions import compress_images, decompress_images
from reproductions.compress_images import image_files, read_pixels
from reproductions.decompress_images import output_paths
from tests.compression.small_flows import SHAPE, glow_model, images
from tfflows.compression.container import ArchiveError
from tfflows.models import Model


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three images in a folder, and a model that is found by the name `small`."""
    (tmp_path / "images").mkdir()
    for number, image in enumerate(images(2)):
        Image.fromarray(image).save(tmp_path / "images" / f"{number}.png")
    Image.fromarray(images(1, (5, 11, 3))[0][..., 0]).save(tmp_path / "images" / "grey.webp", lossless=True)
    Image.fromarray(images(1, (5, 11, 3))[0][..., 0]).save(tmp_path / "images" / "grey.bmp")
    (tmp_path / "images" / "grey.webp").unlink()
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
    assert "3 images" in capsys.readouterr().out
    assert decompress_images.main([out, "-d", str(back)]) == 0
    assert sorted(path.name for path in back.iterdir()) == ["0.png", "1.png", "grey.png"]
    for path in (folder / "images").glob("*[!t]"):
        with Image.open(path) as original, Image.open(back / f"{path.stem}.png") as image:
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
    assert len(list((folder / "cut").iterdir())) < 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.png"], "no file missing.png"),
        (["{0}"], "There are no images in"),
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


def test_images_of_other_kinds_are_refused(tmp_path):
    Image.new("RGBA", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png is neither grey nor RGB of 8 bits but RGBA"):
        read_pixels(tmp_path / "a.png")
    assert image_files([str(tmp_path)]) == [tmp_path / "a.png"]


@pytest.mark.parametrize("name", ["../a.png", "/a.png", "b/a.png", "..", "", "b\\a.png"])
def test_names_cannot_leave_the_directory(name, tmp_path):
    header = {"shapes": [[1, list(SHAPE)]], "names": [name]}
    with pytest.raises(ArchiveError, match="no name of a file"):
        output_paths(header, tmp_path)
