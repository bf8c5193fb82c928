import os

import pytest

from tfflows.files import as_file_name, atomic_directory, atomic_file, remove_leftovers


def names(directory):
    return sorted(os.listdir(directory))


@pytest.mark.parametrize("error", [ValueError("wrong"), OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_fails_midway_leaves_what_was_there(tmp_path, error):
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").touch()

    def write_file():
        with atomic_file(tmp_path / "file") as file:
            file.write(b"new")
            raise error

    def write_folder():
        with atomic_directory(tmp_path / "folder") as folder:
            (folder / "new").touch()
            raise error

    for write in (write_file, write_folder):
        with pytest.raises(type(error)):
            write()
    assert (tmp_path / "file").read_bytes() == b"old" and names(tmp_path / "folder") == ["old"]
    assert names(tmp_path) == ["file", "folder"]


def test_a_directory_that_cannot_be_put_in_place_leaves_the_old_one(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").touch()
    rename = os.rename

    def refuse_new(source, target):
        if os.path.basename(source) == "new":
            raise OSError(13, "Permission denied")
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse_new)
    with pytest.raises(OSError, match="Permission denied"), atomic_directory(tmp_path / "folder"):
        pass
    assert names(tmp_path) == ["folder"] and names(tmp_path / "folder") == ["old"]


def test_directories_have_the_permissions_of_ordinary_ones(tmp_path):
    with atomic_directory(tmp_path / "atomic") as folder:
        (folder / "file").touch()
    (tmp_path / "ordinary").mkdir()
    assert len({(tmp_path / name).stat().st_mode for name in names(tmp_path)}) == 1


@pytest.mark.parametrize("name", ["file", "n" * 250, "\u732b" * 80])
def test_leftovers_are_those_of_the_path(tmp_path, name):
    with atomic_file(tmp_path / name) as file:
        (left,) = names(tmp_path)
        file.write(b"content")
    (tmp_path / left).touch()
    (tmp_path / left.replace(".tmp", "-folder.tmp") / "deep").mkdir(parents=True)
    others = [".other.abc.tmp", "mine.tmp"]
    for other in others:
        (tmp_path / other).touch()
    remove_leftovers(tmp_path / name)
    assert names(tmp_path) == sorted([*others, name])
    remove_leftovers(tmp_path / "nowhere" / name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ship", "ship"),
        ("a/b\\c", "a_b_c"),
        (" ..:* ", ".."),
        ("caf\u00e9", "caf\u00e9"),
        ("x" * 99, "x" * 40),
        ("\ud800", ""),
    ],
)
def test_texts_as_names(text, expected):
    assert as_file_name(text) == expected
