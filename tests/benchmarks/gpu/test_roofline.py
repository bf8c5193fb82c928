"""The roofline: what is counted, what bounds a step, and the page that is written from it."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.gpu import roofline
from benchmarks.gpu.graphs import Operations
from benchmarks.gpu.roofline import GPUS, KERNEL_SECONDS, Step
from benchmarks.gpu.work import work_of
from reproductions.checkout import results_directory

H100 = GPUS[0]
STEP = Step(
    paper="glow",
    stage="",
    experiment="cifar10",
    batch_size=100,
    num_steps=3600,
    products={"kernels": 10, "flops": 67 * 10**12, "bytes": 10**6},
    others={"kernels": 20, "flops": 5, "bytes": 3350 * 10**9},
    synchronizations=3,
    float64=4,
)


def test_flops_of_a_convolution_and_its_gradients():
    x, kernel = tf.ones([2, 8, 8, 3]), tf.ones([3, 3, 3, 5])

    @tf.function(autograph=False)
    def gradients(x, kernel):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = tf.nn.conv2d(x, kernel, 1, "SAME")
        return tape.gradient(y, [x, kernel], output_gradients=tf.ones_like(y))

    work = work_of(Operations(gradients.get_concrete_function(x, kernel)))["products"]
    one = 2 * (2 * 8 * 8 * 5) * (3 * 3 * 3)
    assert (work.kernels, work.flops) == (2, 2 * one)  # the convolution itself is not needed
    assert work.bytes == 4 * 2 * sum(np.prod(shape) for shape in ([2, 8, 8, 3], [3, 3, 3, 5], [2, 8, 8, 5]))


@pytest.mark.parametrize("transposed", [False, True])
def test_flops_of_products(transposed):
    a = tf.ones([7, 3, 4] if transposed else [7, 4, 3])
    function = tf.function(lambda a, b: tf.matmul(a, b, transpose_a=transposed)).get_concrete_function(
        a, tf.ones([7, 3, 5])
    )
    assert work_of(Operations(function))["products"].flops == 7 * 2 * 4 * 5 * 3


def test_an_unknown_shape_is_refused():
    function = tf.function(lambda x: tf.exp(x)).get_concrete_function(tf.TensorSpec([None, 3]))
    with pytest.raises(ValueError, match=r"shape of .* is not known"):
        work_of(Operations(function))


def test_the_longest_part_bounds_a_step():
    seconds, bound = STEP.expected(H100, "float32")
    np.testing.assert_allclose(seconds, 2.0, rtol=1e-6)  # one second of arithmetic, one of traffic
    assert STEP.expected(H100, "TF32") == (pytest.approx(1 + 67 / 494.5), "memory")
    assert bound == "memory"
    many = dataclasses.replace(STEP, others={"kernels": 10**6, "flops": 0, "bytes": 0})
    assert many.expected(H100, "float32") == (pytest.approx(KERNEL_SECONDS * (10**6 + 10)), "launching")
    # Products that move much for their arithmetic.
    traffic = dataclasses.replace(STEP, products={"kernels": 1, "flops": 10, "bytes": 6700 * 10**9})
    assert traffic.expected(H100, "float32") == (pytest.approx(3.0), "memory")


def test_the_page_sums_up_the_stages():
    first, last = (dataclasses.replace(STEP, stage=stage) for stage in ("vae", "joint"))
    page = roofline.page([first, last])
    lines = [line for line in page.splitlines() if line.startswith("| Glow | ")]
    assert lines[0].split(" | ")[1:7] == ["cifar10", "vae", "3.35", "100", "30", "4"]
    assert [line.split(" | ")[5] for line in lines[2:4]] == ["2", "4"]  # hours so far


def test_each_experiment_has_its_own_hours():
    steps = [STEP, dataclasses.replace(STEP, experiment="celeba_hq")]
    lines = [line.split(" | ") for line in roofline.page(steps).splitlines() if line.startswith("| Glow | ")]
    assert [line[1] for line in lines[:2]] == ["cifar10", "celeba_hq"]
    assert [line[5] for line in lines[2:4]] == ["2", "2"]


def test_the_stored_page_is_that_of_the_stored_counts():
    path = results_directory() / roofline.COUNTS
    steps = roofline.load_counts(path)
    assert {step.paper for step in steps} == set(roofline.EXPERIMENTS)
    assert (path.parent / roofline.PAGE).read_text(encoding="utf-8") == roofline.page(steps)


def test_the_command_writes_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(roofline, "results_directory", lambda: tmp_path)
    (tmp_path / roofline.COUNTS).write_text(json.dumps([dataclasses.asdict(STEP)]))
    assert roofline.main([]) == 0
    assert (tmp_path / roofline.PAGE).read_text() == roofline.page([STEP])
