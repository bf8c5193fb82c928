"""One step of the real run for every experiment, at its own image size, its model as small as can be."""

import functools
import math
import re

import pytest

from reproductions.driver import run_data
from reproductions.flowpp.experiments import EXPERIMENTS
from reproductions.flowpp.reproduction import FLOWPP
from tests.reproductions.driver.running import record_of, run, small_source

# Actnorm takes the moments of each activation from the init batch: with few images some come out near 0.
NUM_IMAGES = 16


# By default VFlow's run alone, which is of the same flow with more channels.
@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_one_step(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_data, "load_dataset", functools.partial(small_source, num_images=NUM_IMAGES))
    experiment = EXPERIMENTS[name]
    # Layer norm leaves nothing of one channel, and init would divide by that.
    small = {"width": 4, "num_blocks": 1, "num_components": 1, "num_heads": 1, "dequantization_width": 4}
    small |= {"dequantization_blocks": 1, "context_width": 4, "context_blocks": 1}
    small |= {"init_batch_size": NUM_IMAGES, "evaluation_batch_size": NUM_IMAGES}
    small |= {field: re.sub(r"\d+", "1", getattr(experiment, field)) for field in ("stages", "dequantization_stages")}
    run(
        f"--experiment={name}",
        f"--workdir={tmp_path}",
        "--steps=1",
        "--batch_size=2",
        *(f"--set={field}={value}" for field, value in small.items()),
        "--samples=1",
        "--temperature=0.7",
        reproduction=FLOWPP,
    )
    record = record_of(tmp_path)
    assert math.isfinite(record["value"]) and record["num_images"] == NUM_IMAGES and record["steps"] == 1
    assert (record["paper"], record["experiment"], record["dataset"]) == ("flowpp", name, experiment.dataset)
    assert (record["train"] is not None) == experiment.evaluate_train
    assert sorted(path.name for path in (tmp_path / "checkpoints").glob("*.index")) == ["step-1.index"]
    assert len(list((tmp_path / "pictures").glob("samples*.png"))) == 1
    assert "not comparable" in capsys.readouterr().out
