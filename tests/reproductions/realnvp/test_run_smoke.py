"""One step of the real run for every experiment, at its own image size, its model as small as can be."""

import math

import pytest

from reproductions.driver import run_data
from reproductions.realnvp.experiments import EXPERIMENTS
from reproductions.realnvp.reproduction import REALNVP
from tests.reproductions.driver.running import record_of, run, small_source
from tests.slow import slow_but


@pytest.mark.parametrize("name", slow_but((), EXPERIMENTS))
def test_one_step(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_data, "load_dataset", small_source)
    run(
        f"--experiment={name}",
        f"--workdir={tmp_path}",
        "--steps=1",
        "--batch_size=2",
        "--set=width=1",
        "--set=num_blocks=1",
        "--set=evaluation_batch_size=2",
        "--samples=1",
        "--temperature=0.7",
        reproduction=REALNVP,
    )
    record = record_of(tmp_path)
    assert math.isfinite(record["value"]) and record["num_images"] == 3 and record["steps"] == 1
    assert record["experiment"] == name and record["dataset"] == EXPERIMENTS[name].dataset
    assert sorted(path.name for path in (tmp_path / "checkpoints").glob("*.index")) == ["step-1.index"]
    assert len(list((tmp_path / "pictures").glob("samples*.png"))) == 1
    assert "not comparable" in capsys.readouterr().out
