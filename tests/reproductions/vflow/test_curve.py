"""A short true run, whose bits/dim must fall within a band that was measured over seeds."""

import pytest

from reproductions.vflow.reproduction import VFLOW
from tests.reproductions.driver.running import record_of, run

SMALL = (
    "--experiment=cifar10",
    "--scale=small",
    "--dataset=digits",
    "--set=image_size=8",
    "--set=stages=checkerboard 1, channel 1",
    "--set=dequantization_stages=checkerboard 1",
    "--set=augmenter_stages=checkerboard 1",
    "--set=width=8",
    "--set=context_width=8",
    "--set=num_components=2",
    "--set=learning_rate=0.003",
    "--set=warmup_steps=50",
    "--set=init_batch_size=256",
    "--set=evaluation_batch_size=360",
    "--set=evaluate_every=75",
    "--batch_size=32",
    "--temperature=1",
    "--samples=2",
)


@pytest.mark.slow
def test_bits_per_dim_of_digits_fall_into_the_band(tmp_path):
    run(*SMALL, f"--workdir={tmp_path}", "--steps=150", reproduction=VFLOW)
    curve = dict(map(tuple, record_of(tmp_path)["curve"]))
    # Seeds 0 to 3: 6.547 +- 0.134, 6.092 +- 0.104 (mean and deviation).
    assert 6.15 < curve[75] < 6.95
    assert 5.78 < curve[150] < 6.40
