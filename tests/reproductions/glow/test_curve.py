"""Short true runs, whose bits/dim must fall within a band that was measured over seeds."""

import pytest

from tests.reproductions.driver.running import record_of, run

SMALL = (
    "--experiment=demo",
    "--dataset=digits",
    "--set=levels=2",
    "--set=depth=2",
    "--set=width=16",
    "--set=init_batch_size=128",
    "--set=evaluation_batch_size=360",
    "--set=warmup_steps=50",
    "--batch_size=32",
    "--temperature=1",
    "--samples=2",
)


def curve_of(workdir, *arguments):
    run(*SMALL, f"--workdir={workdir}", *arguments)
    return dict(map(tuple, record_of(workdir)["curve"]))


@pytest.mark.slow
def test_bits_per_dim_of_digits_fall_into_the_band(tmp_path):
    curve = curve_of(tmp_path, "--steps=300", "--set=evaluate_every=100")
    # Seeds 0 to 4: 8.041 +- 0.024, 7.639 +- 0.023, 7.415 +- 0.025 (mean and deviation).
    assert 7.94 < curve[100] < 8.14
    assert 7.54 < curve[200] < 7.74
    assert 7.30 < curve[300] < 7.53


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_bits_per_dim_of_digits_after_longer_training(tmp_path, seed):
    curve = curve_of(tmp_path, "--steps=1500", "--set=evaluate_every=500", f"--seed={seed}")
    # Seeds 0 to 4: 7.139 +- 0.040, 6.784 +- 0.073, 6.611 +- 0.077.
    assert 6.98 < curve[500] < 7.30
    assert 6.50 < curve[1000] < 7.07
    assert 6.30 < curve[1500] < 6.92
