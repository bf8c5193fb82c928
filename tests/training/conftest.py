import json
import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.fixture(scope="session")
def scenarios(tmp_path_factory):
    """Runs processes.py; gives a function from the name of a scenario to its directory, which fails
    the test if the scenario did not hold."""
    directory = tmp_path_factory.mktemp("processes")
    environment = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    done = subprocess.run(
        [sys.executable, str(HERE / "processes.py"), str(directory)],
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    errors = json.loads(done.stdout.splitlines()[-1])

    def directory_of(name):
        assert not errors[name], errors[name] + done.stderr[-4000:]
        return directory / name

    return directory_of
