"""One step of the real run for every experiment, at its own image size, its model as small as can be."""

import math

import pytest

from reproductions.driver import run_data
from reproductions.glow.experiments import EXPERIMENTS
from tests.reproductions.driver.running import record_of, run, small_source
from tests.slow import slow_but

BY_DEFAULT = ("cifar10_conditional",)


@pytest.mark.parametrize("name", slow_but(BY_DEFAULT, EXPERIMENTS))
def test_one_step(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_data, "load_dataset", small_source)
    experiment = EXPERIMENTS[name]
    run(
        f"--experiment={name}",
        f"--workdir={tmp_path}",
        "--steps=1",
        "--batch_size=2",
        "--set=width=1",
        "--set=depth=1",
        "--set=init_batch_size=2",
        "--set=evaluation_batch_size=2",
        "--samples=1",
        "--temperature=0.7",
        *(["--label=2"] if experiment.conditional else []),
    )
    record = record_of(tmp_path)
    assert math.isfinite(record["value"]) and record["num_images"] == 3 and record["steps"] == 1
    assert record["experiment"] == name and record["dataset"] == experiment.dataset
    assert sorted(path.name for path in (tmp_path / "checkpoints").glob("*.index")) == ["step-1.index"]
    assert len(list((tmp_path / "pictures").glob("samples*.png"))) == 1
    assert "not comparable" in capsys.readouterr().out
