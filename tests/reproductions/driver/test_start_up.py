"""A command imports what training needs, and the rest only where it is used."""

import subprocess
import sys

import pytest

from reproductions.driver import start_up

IMPORTS = """
import sys
import reproductions.glow.run
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
