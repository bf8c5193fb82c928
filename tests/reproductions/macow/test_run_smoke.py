"""One step of the real run for every experiment, at its own image size, its model as small as can be."""

import math

import pytest

from reproductions.driver import run_data
from reproductions.macow.experiments import EXPERIMENTS
from reproductions.macow.reproduction import MACOW
from tests.reproductions.driver.running import record_of, run, small_source
from tests.slow import slow_but

# Each variant and each dequantization once.
BY_DEFAULT = ()


@pytest.mark.parametrize("name", slow_but(BY_DEFAULT, EXPERIMENTS))
def test_one_step(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_data, "load_dataset", small_source)
    experiment = EXPERIMENTS[name]
    small = {"init_batch_size": 2, "evaluation_batch_size": 2}
    # As many levels as published would take minutes to trace; their number is a matter of the other tests.
    small |= {"steps": "1, 1, 1", "widths": "4, 4, 4", "factors": "4", "context_planes": "4, 4"}
    if experiment.dequantization == "variational":
        small |= {"dequantization_steps": "1, 1", "dequantization_widths": "4, 4", "dequantization_factors": ""}
    run(
        f"--experiment={name}",
        f"--workdir={tmp_path}",
        "--steps=1",
        "--batch_size=2",
        *(f"--set={field}={value}" for field, value in small.items()),
        "--samples=1",
        "--temperature=0.7",
        reproduction=MACOW,
    )
    record = record_of(tmp_path)
    assert math.isfinite(record["value"]) and record["num_images"] == 3 and record["steps"] == 1
    assert (record["paper"], record["experiment"], record["dataset"]) == ("macow", name, experiment.dataset)
    assert sorted(path.name for path in (tmp_path / "checkpoints").glob("*.index")) == ["step-1.index"]
    assert len(list((tmp_path / "pictures").glob("samples*.png"))) == 1
    assert "not comparable" in capsys.readouterr().out
