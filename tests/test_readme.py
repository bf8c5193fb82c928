"""The examples of the documentation run and give what they print."""

import doctest
import pathlib
import re
import shutil

import pytest
import tensorflow as tf

from tests.golden.runs import WORKDIRS
from tfflows.models.description import ModelDescription

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["README.md"])
def test_examples(name):
    failures, tried = doctest.testfile(str(ROOT / name), module_relative=False)
    assert tried and not failures


def test_a_trained_model_in_a_few_lines(tmp_path, monkeypatch, capsys):
    """The first example, with a smaller model in place of the demonstration's."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code, exported = re.findall(r"```python\n((?:import tfflows|saved = ).*?)```", text, re.DOTALL)
    shutil.copytree(WORKDIRS / "glow", tmp_path / "workdirs" / "demo")
    ModelDescription((16, 16, 3)).write(tmp_path / "workdirs" / "demo")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["restored"].shape == names["samples"].shape == [16, 16, 16, 3] and names["bits"].shape == [16]
    assert names["frames"].shape == (9, 16, 16, 3) and names["model"].step == 10
    assert (tmp_path / "saved" / "saved_model.pb").exists() and (tmp_path / "workdirs" / "mine" / "model.json").exists()
    names |= {"tf": tf, "images": names["samples"]}
    exec(compile(exported, "README.md", "exec"), names)
    assert "grey levels" in capsys.readouterr().out
