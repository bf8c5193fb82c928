"""A short true run of each variant, whose bits/dim must fall within a band that was measured over seeds."""

import pytest

from reproductions.macow.reproduction import MACOW
from tests.reproductions.driver.running import record_of, run

SMALL = (
    "--dataset=photographs",
    "--experiment=cifar10_fine_grained",
    "--scale=small",
    "--set=steps=1, 1",
    "--set=widths=8, 16",
    "--set=factors=",
    "--set=learning_rate=0.003",
    "--set=warmup_steps=20",
    "--set=init_batch_size=64",
    "--set=evaluation_batch_size=50",
    "--set=evaluate_every=40",
    "--batch_size=8",
    "--temperature=1",
    "--samples=2",
)
# Seeds 0 to 3, mean and deviation, after 40 and after 80 steps.
MEASURED = {"paper": ((5.20, 0.20), (4.24, 0.12)), "release": ((5.17, 0.21), (4.14, 0.23))}


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["paper", "release"])
def test_bits_per_dim_of_photographs_fall_into_the_band(variant, tmp_path):
    run(*SMALL, f"--variant={variant}", f"--workdir={tmp_path}", "--steps=80", reproduction=MACOW)
    curve = dict(map(tuple, record_of(tmp_path)["curve"]))
    for step, (mean, deviation) in zip((40, 80), MEASURED[variant], strict=True):
        assert abs(curve[step] - mean) < 3 * deviation
