"""A package that is not installed is one line that names its extra, in every command."""

import functools
import sys

import pytest
import tensorflow as tf

from reproductions import tables
from reproductions.driver import run_data
from reproductions.reporting.plots import new_figure
from tests.reproductions.driver.running import TINY, exit_message, run, small_source
from tfflows.extras import MissingExtraError


def hide(monkeypatch, package):
    """As if a package were not installed, also where some of it was imported before."""
    for name in [package, *(name for name in sys.modules if name.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)


def said(package):
    return f"MissingExtraError: The package {package!r} is not installed: run pip install 'tfflows[reproductions]'."


def test_training_on_an_embedded_set_without_scikit_learn(monkeypatch, capsys, tmp_path):
    hide(monkeypatch, "sklearn")
    message = exit_message(capsys, *TINY, f"--workdir={tmp_path / 'run'}")
    assert message.splitlines()[-1] == said("sklearn")
    assert not (tmp_path / "run").exists()


def test_image_files_without_pillow(monkeypatch, capsys, tmp_path):
    hide(monkeypatch, "PIL")
    message = exit_message(capsys, *TINY, "--image_files", f"--workdir={tmp_path / 'run'}")
    assert message.splitlines()[-1] == said("PIL").replace("[reproductions]", "[images]")
    assert not (tmp_path / "run").exists()


def test_pictures_without_pillow_have_no_captions(monkeypatch, capsys, caplog, tmp_path):
    """Nothing is lost that was there before captions were."""
    hide(monkeypatch, "PIL")
    monkeypatch.setattr(run_data, "load_dataset", functools.partial(small_source, num_images=4))
    run(*TINY, "--set=init_batch_size=4", "--batch_size=4", "--steps=1", f"--workdir={tmp_path}")
    (picture,) = (tmp_path / "pictures").iterdir()
    assert tf.io.decode_png(picture.read_bytes()).shape == (8 * 38 + 8, 16 * 38 + 12, 1)
    assert (
        f"Pictures have no captions. {said('PIL')[len('MissingExtraError: ') :]}".replace("reproductions]", "images]")
        in caplog.text
    )


def test_list_without_pandas(monkeypatch, capsys):
    hide(monkeypatch, "pandas")
    assert exit_message(capsys, "--list").splitlines()[-1] == said("pandas")


def test_tables_without_pandas(monkeypatch, capsys, results):
    hide(monkeypatch, "pandas")
    assert tables.main([str(results)]) == 1
    assert capsys.readouterr().err == said("pandas") + "\n"


def test_figures_without_matplotlib(monkeypatch):
    hide(monkeypatch, "matplotlib")
    with pytest.raises(MissingExtraError, match=r"'matplotlib' .*'tfflows\[reproductions\]'"):
        new_figure(1, 1)
