"""Runs of every paper, killed at random moments, end as unbroken ones: see killed_runs.py."""

import os
import pathlib
import subprocess
import sys

import pytest

from tests.reproductions.killed_runs import PAPERS

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("paper", PAPERS)
def test_killed_five_times(paper, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.reproductions.killed_runs", str(tmp_path), f"--papers={paper}", "--kills=5"],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    assert done.stdout.count("killed ") == 5, done.stdout
