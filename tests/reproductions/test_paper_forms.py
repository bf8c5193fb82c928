"""`--variant=paper` trains: one step of the real run of the form of the paper's text, its model as small as can be."""

import math

import pytest

from reproductions.driver import run_data
from reproductions.flowpp.reproduction import FLOWPP
from reproductions.glow.reproduction import GLOW
from reproductions.vflow.reproduction import VFLOW
from tests.reproductions.driver.running import record_of, run, small_source
from tfflows.training.workdir import read_experiment

NUM_IMAGES = 16
_BLOCKS = {"width": 4, "num_blocks": 1, "num_components": 1, "num_heads": 1, "context_width": 4, "context_blocks": 1}
_FLOWPP = {**_BLOCKS, "dequantization_width": 4, "dequantization_blocks": 1, "dequantization_stages": "checkerboard 1"}
_FLOWPP["stages"] = "checkerboard 1, squeeze, channel 1"
SMALL = {
    "glow": {"width": 1, "depth": 1},
    "flowpp": _FLOWPP,
    "vflow": {**_FLOWPP, "augmenter_width": 4, "augmenter_blocks": 1, "augmenter_stages": "checkerboard 1"},
}


@pytest.mark.slow
@pytest.mark.parametrize("reproduction", [GLOW, FLOWPP, VFLOW], ids=lambda reproduction: reproduction.paper)
def test_one_step(reproduction, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        run_data, "load_dataset", lambda *args, **options: small_source(*args, num_images=NUM_IMAGES, **options)
    )
    small = SMALL[reproduction.paper] | {"init_batch_size": NUM_IMAGES, "evaluation_batch_size": NUM_IMAGES}
    arguments = (
        "--dataset=cifar10",
        "--variant=paper",
        f"--workdir={tmp_path}",
        "--batch_size=2",
        *(f"--set={field}={value}" for field, value in small.items()),
        "--samples=1",
        "--temperature=0.7",
    )
    run(*arguments, "--steps=1", reproduction=reproduction)
    record = record_of(tmp_path)
    assert math.isfinite(record["value"]) and record["experiment"] == "cifar10_paper"
    assert set(record["overrides"]) <= {*small, "num_steps", "batch_size"}
    stored = read_experiment(tmp_path)
    changed = reproduction.variant_changes(reproduction.experiments["cifar10"], "paper")
    assert {field: stored[field] for field in changed} == changed | (
        {"stages": small["stages"]} if "stages" in changed else {}
    )
    assert "not comparable" in capsys.readouterr().out
    run(*arguments, "--steps=2", reproduction=reproduction)  # the same command goes on
    assert {path.name for path in (tmp_path / "checkpoints").glob("*.index")} == {"step-1.index", "step-2.index"}
