"""Where samples cease to be finite."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from reproductions.macow import overflow
from tests.golden.runs import WORKDIRS
from tfflows.bijectors import ActNorm, Chain, OnFirstChannels
from tfflows.models import ModelDescription


def scaled(scale):
    layer = ActNorm([2], form="exp_scale_then_shift")
    layer.log_scale.assign(tf.fill(layer.log_scale.shape, -np.log(scale).astype(np.float32)))  # of data to latents
    return layer


def test_the_first_layer_with_a_large_value_is_named():
    latents = np.ones([2, 1, 1, 3], np.float32) * np.float32([1e-35, 1.0]).reshape([2, 1, 1, 1])
    bijector = Chain([OnFirstChannels(2, part) for part in (scaled(1e30), scaled(1e30), scaled(2.0))])
    finite, found = overflow.first_large(bijector, latents)
    assert finite.tolist() == [True, False]
    assert found == {0: "/0 ActNorm", 1: "/1 ActNorm"}


@pytest.mark.slow
def test_a_trained_model(tmp_path, capsys):
    shutil.copytree(WORKDIRS / "macow", tmp_path / "run")
    ModelDescription((16, 16, 3)).write(tmp_path / "run")
    overflow.main(tmp_path / "run")
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "not finite" in line][1].startswith("temperature 1: ")
