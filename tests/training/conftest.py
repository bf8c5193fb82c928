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
    errors, output = run_scenarios("processes.py", directory)

    def directory_of(name):
        assert not errors[name], errors[name] + output
        return directory / name

    return directory_of


@pytest.fixture(scope="session")
def interrupted_runs(tmp_path_factory):
    """Gives a function from the name of a scenario of interrupted_runs.py, which runs it and fails the test if it did not hold.

    The unbroken run that all are compared with is made once.
    """
    directory = tmp_path_factory.mktemp("runs")

    def check(name):
        errors, output = run_scenarios("interrupted_runs.py", directory, name)
        assert not errors[name], errors[name] + output

    return check


def run_scenarios(script, directory, *names):
    """`{name of a scenario: its error}` and the end of the standard error."""
    environment = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    done = subprocess.run(
        [sys.executable, str(HERE / script), str(directory), *names],
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1]), done.stderr[-4000:]
