"""What the tests of all papers share."""

import dataclasses
import shutil

import pytest

from reproductions.reporting.records import Record

VALID = Record(
    paper="glow",
    experiment="cifar10",
    dataset="cifar10",
    split="test",
    metric="bits_per_dim",
    value=3.355,
    standard_error=0.004,
    num_images=10_000,
    steps=1000,
    batch_size=512,
    scale="paper",
    seed=0,
    select="last",
    parameters=44_603_604,
    hardware={"cpu": "Some CPU", "cores": 2, "gpus": ["GPU A", "GPU A"]},
    hours=1.5,
    versions={"python": "3.11.7", "tensorflow": "2.21.0"},
    commit="0123456789abcdef-dirty",
    command="python run.py --dataset=cifar10",
    overrides={},
    date="2026-01-02T03:04:05+00:00",
)


IMPORTANCE = {
    "samples": 64,
    "noise_standard_error": 0.0007,
    "effective_samples": 3.2,
    "elbo": 3.36,
    "elbo_standard_error": 0.005,
}


@pytest.fixture
def make_record():
    return lambda **changes: dataclasses.replace(VALID, **changes)


@pytest.fixture
def results(tmp_path, pytestconfig):
    """A copy of the published data of the real results directory, without anything obtained."""
    directory = tmp_path / "results"
    directory.mkdir()
    for path in (pytestconfig.rootpath / "results").glob("*.csv"):
        shutil.copy(path, directory)
    return directory
