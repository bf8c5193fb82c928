"""A command imports what training needs, and the rest only where it is used."""

import importlib
import logging
import os
import subprocess
import sys

import pytest

from reproductions.driver import start_up
from reproductions.driver.main import PlainFormatter
from tfflows.papers import load_paper

IMPORTS = """
import sys
import reproductions.glow.run
from reproductions.driver.start_up import start_up
start_up()
assert "tensorflow" in sys.modules
print(*(name for name in ("matplotlib", "pandas", "sklearn", "tensorflow_datasets", "lmdb") if name in sys.modules))
import keras, matplotlib, pandas, sklearn, sklearn.datasets
assert keras.__version__ and matplotlib.__file__ and pandas.__file__ and sklearn.datasets.load_digits
"""


@pytest.mark.slow
def test_a_command_imports_no_package_that_training_can_do_without():
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_packages_that_are_there_stay():
    import pandas

    start_up.import_libraries()
    assert sys.modules["pandas"] is pandas


QUIET = """
import os, sys
from reproductions.driver.start_up import held_stderr
try:
    with held_stderr():
        os.write(2, b"held ")
        print("back", file=sys.stderr)
        if len(sys.argv) > 1:
            raise ImportError("broken")
except ImportError:
    pass
os.write(2, b"after")
"""


@pytest.mark.parametrize(
    ("arguments", "level", "expected"),
    [([], "3", "after"), (["fails"], "3", "held back\nafter"), ([], "0", "held back\nafter")],
)
def test_what_libraries_say_is_held_back_unless_they_fail(arguments, level, expected):
    done = subprocess.run(
        [sys.executable, "-c", QUIET, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": level},
    )
    assert done.returncode == 0 and done.stderr == expected


@pytest.mark.parametrize(("level", "expected"), [(logging.INFO, "A b"), (logging.WARNING, "Warning: A b")])
def test_lines_of_the_log_are_plain_text(level, expected):
    assert PlainFormatter().format(logging.LogRecord("absl", level, "x.py", 1, "A %s", ("b",), None)) == expected


@pytest.mark.parametrize("paper", ["agave", "flowpp", "glow", "macow", "realnvp", "vflow"])
@pytest.mark.parametrize("flag", ["--help", "--list"])
def test_help_and_list_need_no_tensorflow(paper, flag):
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['run.py', '{flag}']\n"
        "sys.modules.update(dict.fromkeys(['tensorflow', 'keras', 'tensorflow_probability']))\n"
        f"runpy.run_module('reproductions.{paper}', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert "cifar10" in done.stdout if flag == "--list" else "--dataset" in done.stdout


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--experiment=cifar1"], "Unknown experiment 'cifar1' of glow. Did you mean 'cifar10'?"),
        (["--dataset=cifar1"], "Unknown data set 'cifar1'. Did you mean 'cifar10'?"),
        (["--dataset=cifar10", "--set=widht=8"], "GlowExperiment has no field 'widht' to set. Did you mean 'width'?"),
        (["--dataset=cifar10", "--set=width=wide"], "--set width"),
        (["--dataset=cifar10", "--jit", "--side_by_side=2"], "--side_by_side cannot be with --jit"),
        (["--mode=sample", "--workdir=no/such"], "No checkpoint in no/such, nor any run. Train first"),
        (["--mode=evaluate", "--workdir=no/such"], "No checkpoint in no/such, nor any run. Train first"),
        (["--dataset=cifar10", "--importance_samples=2"], "--importance_samples needs --mode=evaluate"),
    ],
)
def test_what_is_mistyped_is_refused_before_tensorflow_is_imported(flags, message):
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['run.py', *{flags}]\n"
        "sys.modules.update(dict.fromkeys(['tensorflow', 'keras', 'tensorflow_probability']))\n"
        "runpy.run_module('reproductions.glow', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and done.stderr.partition(": ")[2].startswith(message), done.stderr


@pytest.mark.parametrize("paper", ["agave", "flowpp", "glow", "macow", "realnvp", "vflow"])
def test_functions_that_are_imported_when_they_are_called_exist(paper):
    reproduction = load_paper(paper)
    functions = [value for value in vars(reproduction).values() if callable(value)]
    assert len(functions) > 5
    for function in functions:
        assert callable(getattr(importlib.import_module(function.__module__), function.__name__))
