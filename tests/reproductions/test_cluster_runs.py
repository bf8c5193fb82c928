"""Every paper trains in one process as in two and in four that train together: see cluster_runs.py."""

import os
import pathlib
import subprocess
import sys

import pytest

from tests.reproductions.killed_runs import PAPERS

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("paper", PAPERS)
def test_workers_train_as_one_process(paper, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.reproductions.cluster_runs", str(tmp_path), f"--papers={paper}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
