"""The examples of the documentation run and give what they print."""

import doctest
import pathlib
import re
import shutil

import pytest

from tests.golden.runs import WORKDIRS
from tfflows.models.description import ModelDescription

ROOT = pathlib.Path(__file__).parents[1]
WITH_PROMPTS = [
    str(path.relative_to(ROOT))
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if re.search(r"^ *>>> ", path.read_text(encoding="utf-8"), re.MULTILINE)
]


def code_of(name):
    """The code of a page's fences, without those that have prompts."""
    return re.findall(r"```python\n(?!>>>)(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("name", WITH_PROMPTS)
def test_examples(name):
    failures, tried = doctest.testfile(str(ROOT / name), module_relative=False)
    assert tried and not failures


def test_examples_stand_where_they_are_found():
    assert {"docs/guides/library.md", "docs/guides/new_bijector.md"} <= set(WITH_PROMPTS)


def test_a_trained_model_in_a_few_lines(tmp_path, monkeypatch, capsys):
    """The README's example and that of the exported model, with a smaller model in place of the one they name."""
    [code] = code_of("README.md")
    _, exported, saving = code_of("docs/guides/export.md")
    place = tmp_path / re.search(r'load\("(.*?)"\)', code)[1]
    shutil.copytree(WORKDIRS / "glow", place)
    ModelDescription((16, 16, 3)).write(place)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["restored"].shape == names["samples"].shape == [16, 16, 16, 3] and names["bits"].shape == [16]
    assert names["frames"].shape == (9, 16, 16, 3) and names["model"].step == 10
    assert (tmp_path / "saved" / "saved_model.pb").exists() and (tmp_path / "workdirs" / "mine" / "model.json").exists()
    exec(compile(exported + saving, "export.md", "exec"), names)
    assert names["images"].shape == [4, 16, 16, 3] and (tmp_path / "mine" / "weights.safetensors").exists()
    assert "grey levels" in capsys.readouterr().out
