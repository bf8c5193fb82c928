"""`tfflows bench-compression`: what it measures, and the page that its records make."""

import json

import numpy as np
import pytest

import tfflows
from reproductions import bench_compression, compression_measures
from reproductions.compression_measures import measure, other_coders
from reproductions.reporting.compression_page import compression_page, draw_compression, load_compression
from tests.compression.small_flows import SHAPE, glow_model, images
from tfflows.models import Model

SETTINGS = {"name": "small", "dataset": "cifar10", "paper": "glow"}


@pytest.fixture(scope="module")
def small():
    return Model(glow_model(), settings=SETTINGS, path="models/small")


@pytest.fixture(scope="module")
def record(small):
    return measure(small, images(24), max_batch=4)


def test_every_image_comes_back_and_rates_are_those_of_the_model(record, small):
    assert record["num_exact"] == record["num_images"] == 24 and record["num_raw"] <= 2
    assert record["file_bytes"] * 8 == pytest.approx(record["file_bits_per_dim"] * 24 * np.prod(SHAPE))
    # Two of the images are coded on coarser grids, and a word is 0.007 bits/dim.
    assert record["net_bits_per_dim"] == pytest.approx(record["model_at_noise_bits_per_dim"], rel=0.03)
    assert record["model_at_noise_bits_per_dim"] == pytest.approx(record["model_bits_per_dim"], rel=0.1)
    assert record["model_bits_per_dim"] == pytest.approx(np.mean(small.bits_per_dim(images(24))))
    assert 0 < record["initial_bits_per_dim"] < 8 and record["file_bits_per_dim"] > record["net_bits_per_dim"]
    assert min(record["seconds_to_encode"], record["seconds_to_decode"]) > 0


def test_other_coders_are_lossless_ones():
    noise = np.random.default_rng(0).integers(0, 256, [2, 32, 32, 3], np.uint8)
    rates = other_coders(noise)
    assert {"png", "webp"} <= set(rates) <= {"png", "webp", "jpegxl7", "jpegxl9"}
    assert all(rate.shape == (2,) and rate.min() > 8 for rate in rates.values())
    assert all(rate.max() < 2 for rate in other_coders(np.zeros([2, 32, 32, 3], np.uint8)).values())


def test_command_writes_a_record_and_the_page_shows_it(record, small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tfflows, "load", lambda *arguments, **rest: small)
    monkeypatch.setattr(compression_measures, "test_images", lambda *arguments: (images(24), None))
    monkeypatch.setattr(compression_measures, "measure", lambda *arguments: dict(record))
    assert bench_compression.main(["--model=small", f"--results={tmp_path}"]) == 0
    assert "num_exact: 24" in capsys.readouterr().out
    (stored,) = load_compression(tmp_path / "compression")
    assert stored["model"] == "small" and stored["webp_bits_per_dim"] > 0
    assert stored["file_bits_per_dim"] == record["file_bits_per_dim"]
    page = compression_page([stored])
    assert f"| small | cifar10 | 24 | 24 | {record['file_bits_per_dim']:.4f} |" in page and stored["command"] in page
    first = draw_compression([stored], tmp_path).read_bytes()
    assert draw_compression([stored], tmp_path).read_bytes() == first
    json.dumps(stored)
    # Other images than the model's have a record of their own.
    assert bench_compression.main(["--model=small", f"--results={tmp_path}", "--dataset=folder:/a/tiles"]) == 0
    assert sorted(path.name for path in (tmp_path / "compression").iterdir()) == [
        "small-24-tiles.json",
        "small-24.json",
    ]
    assert "| small | folder:tiles | 24 | 24 |" in compression_page(load_compression(tmp_path / "compression"))
    # One image that does not come back is a failure.
    monkeypatch.setattr(compression_measures, "measure", lambda *arguments: {**record, "num_exact": 23})
    assert bench_compression.main(["--model=small", f"--results={tmp_path}", "--no-others"]) == 1


def test_a_missing_model_is_one_line(capsys):
    assert bench_compression.main(["--model=no_such_model"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("tfflows bench-compression: FileNotFoundError: ") and error.count("\n") == 1
