"""What the tests of the driver share."""

import shutil

import pytest


@pytest.fixture
def copied(trained, tmp_path):
    """A copy of the workdir of a test file's fixture `trained`, to be changed, with the arguments for it."""
    workdir, arguments = trained
    shutil.copytree(workdir, tmp_path / "copied")
    return tmp_path / "copied", (*arguments, f"--workdir={tmp_path / 'copied'}")
