"""One step of the real run for every experiment, at its own image size, its model as small as can be; which driver runs what."""

import math
import re
import sys
import types

import pytest

from reproductions.driver import run_data
from reproductions.vflow import run as vflow_run
from reproductions.vflow.experiments import EXPERIMENTS
from reproductions.vflow.reproduction import VFLOW
from reproductions.vflow.run import is_toy_study
from tests.reproductions.driver.running import record_of, run, small_source

# By default one experiment: tracing takes long, and the others run the same code.
DEFAULT = "budget_4_channels"
EACH = [pytest.param(name, marks=[] if name == DEFAULT else [pytest.mark.slow]) for name in EXPERIMENTS]

# Actnorm takes the moments of each activation from the init batch: with few images some come out near 0.
NUM_IMAGES = 16


def source(name, split, holdout=None, **options):
    return small_source(name, split, num_images=NUM_IMAGES, **options)


def each_kind_once(stages):
    """The first stage of each kind, one coupling each."""
    kinds = dict.fromkeys(re.sub(r"\d+", "1", stage.strip()) for stage in stages.split(","))
    return ", ".join(kinds)


@pytest.mark.parametrize("name", EACH)
def test_one_step(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_data, "load_dataset", source)
    experiment = EXPERIMENTS[name]
    # Layer norm leaves nothing of one channel, and init would divide by that.
    small = {"width": 4, "num_blocks": 1, "num_components": 1, "num_heads": 1, "context_width": 4, "context_blocks": 1}
    small |= {"dequantization_width": 4, "augmenter_width": 4, "dequantization_blocks": 1, "augmenter_blocks": 1}
    small |= {"init_batch_size": NUM_IMAGES, "evaluation_batch_size": NUM_IMAGES}
    stages = ("stages", "dequantization_stages", "augmenter_stages")
    small |= {field: each_kind_once(getattr(experiment, field)) for field in stages}
    run(
        f"--experiment={name}",
        f"--workdir={tmp_path}",
        "--steps=1",
        "--batch_size=2",
        *(f"--set={field}={value}" for field, value in small.items()),
        "--samples=1",
        "--temperature=0.7",
        reproduction=VFLOW,
    )
    record = record_of(tmp_path)
    assert math.isfinite(record["value"]) and record["num_images"] == NUM_IMAGES and record["steps"] == 1
    assert (record["paper"], record["experiment"], record["dataset"]) == ("vflow", name, experiment.dataset)
    assert (record["validation"] is not None) == (experiment.holdout > 0)
    assert sorted(path.name for path in (tmp_path / "checkpoints").glob("*.index")) == ["step-1.index"]
    assert len(list((tmp_path / "pictures").glob("samples*.png"))) == 1
    assert "not comparable" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--dataset=checkerboard"], True),
        (["--dataset", "checkerboard", "--steps=5"], True),
        (["-dataset=checkerboard"], True),
        (["--seed=1", "--experiment=checkerboard_glow_3"], True),
        (["--dataset=cifar10", "--set=checkerboard=checkerboard"], False),
        (["--experiment=cifar10"], False),
        ([], False),
    ],
)
def test_the_toy_study_has_a_driver_of_its_own(arguments, expected, monkeypatch):
    assert is_toy_study(arguments) == expected
    called = []
    toy = types.SimpleNamespace(main=lambda: called.append("toy"))
    monkeypatch.setitem(sys.modules, "reproductions.vflow.toy.run", toy)
    monkeypatch.setattr(vflow_run, "main", lambda reproduction: called.append(reproduction.paper))
    vflow_run.run(arguments)
    assert called == ["toy" if expected else "vflow"]
