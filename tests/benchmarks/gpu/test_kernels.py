"""On a GPU every operation of training, evaluation and sampling has a kernel, and the host waits only for what is listed."""

import dataclasses
import re

import pytest
import tensorflow as tf

from benchmarks.gpu.graphs import Operations
from benchmarks.gpu.kernels import report_of
from benchmarks.gpu.traces import CALLS, EVALUATION, SAMPLING, TRAINING_STEP, Traced
from tfflows.papers import list_papers, load_paper

# As small as can be; layer norm needs more than one channel.
SMALLEST = {
    **dict.fromkeys(("depth", "num_blocks", "num_components", "num_heads", "dequantization_blocks"), 1),
    **dict.fromkeys(("augmenter_blocks", "augmenter_steps", "context_blocks", "vae_blocks"), 1),
    **dict.fromkeys(("width", "dequantization_width", "augmenter_width", "context_width"), 4),
    **dict.fromkeys(("vae_width", "latent_channels"), 2),
}
STAGES = ("stages", "dequantization_stages", "augmenter_stages")
MACOW = {"steps": "1, 1, 1", "widths": "4, 4, 4", "factors": "4", "context_planes": "4, 4"}
MACOW_DEQUANTIZATION = {
    "dequantization_steps": "1, 1",
    "dequantization_widths": "4, 4",
    "dequantization_factors": "",
}
# What the host waits for. The update: whether the step is finite. Loops of samplers: whether to go on, since Newton's method does
# until it is done, and since TensorFlow compares their counter with `maximum_iterations` on the device.
WAITED_FOR = {
    TRAINING_STEP: {"All -> If"},
    EVALUATION: set(),
    SAMPLING: {"LogicalAnd -> StatelessWhile", "LogicalAnd -> While"},
}
DECOMPOSITIONS = {"MatrixInverse", "LogMatrixDeterminant"}
BY_DEFAULT = [("agave", "cifar10_iaf_vae")]
NO_OPERATION = set(
    "name dataset image_size num_bits augmentation resize test_share train_images holdout scale source note tf32 "
    "batch_size init_batch_size evaluation_batch_size evaluate_every evaluate_train ema_decay beta_1 beta_2 "
    "num_steps pretraining_steps learning_rate rate_factors warmup_steps cooldown_steps schedule decay "
    "levels mixing_noise kl_weight auxiliary_levels initial_log_scale".split()
)


def each_kind_once(stages):
    return ", ".join(dict.fromkeys(re.sub(r"\d+", "1", stage.strip()) for stage in stages.split(",")))


def smallest(experiment):
    fields = {field.name for field in dataclasses.fields(experiment)}
    changes = {name: value for name, value in SMALLEST.items() if name in fields}
    changes |= {name: each_kind_once(getattr(experiment, name)) for name in STAGES if name in fields}
    if "factors" in fields:
        changes |= MACOW | (MACOW_DEQUANTIZATION if experiment.dequantization == "variational" else {})
    return dataclasses.replace(experiment, **changes)


def graph_key(paper, experiment):
    """What the graph of an experiment depends on, roughly: experiments that share it are one test."""
    fields = dataclasses.asdict(dataclasses.replace(smallest(experiment), batch_size=2, num_steps=10**6))
    return paper, *(str(value) for name, value in fields.items() if name not in NO_OPERATION)


def each_graph_once():
    seen = set()
    for paper in list_papers():
        for name, experiment in load_paper(paper).experiments.items():
            key = graph_key(paper, experiment)
            if key not in seen:
                seen.add(key)
                yield pytest.param(paper, name, marks=[] if (paper, name) in BY_DEFAULT else [pytest.mark.slow])


def training_report(paper, name, **changes):
    reproduction = load_paper(paper)
    experiment = dataclasses.replace(smallest(reproduction.experiments[name]), **changes)
    return report_of(Operations(Traced(reproduction, experiment, batch_size=2).function(TRAINING_STEP)))


@pytest.mark.parametrize(("paper", "name"), each_graph_once())
def test_each_call_stays_on_the_gpu(paper, name):
    reproduction = load_paper(paper)
    traced = Traced(reproduction, smallest(reproduction.experiments[name]), batch_size=2)
    for call in CALLS:
        report = report_of(Operations(traced.function(call)))
        assert report.num_kernels > 50
        assert not report.without_kernel, call
        assert report.to_host.keys() <= WAITED_FOR[call], call
        assert report.waits.keys() <= DECOMPOSITIONS, call
        # Shapes, and what loops and branches ask of them.
        assert all(re.fullmatch(r"\w+ (int32|bool)", operation) for operation in report.on_host), call


def test_depth_adds_no_decomposition_and_nothing_in_float64():
    small = {"image_size": 8, "levels": 1, "width": 2}
    shallow, deep = (training_report("glow", "cifar10", depth=depth, **small) for depth in (2, 4))
    assert shallow.waits == deep.waits == dict.fromkeys(DECOMPOSITIONS, 1)
    assert deep.float64 == shallow.float64
    assert deep.num_kernels > shallow.num_kernels and not deep.without_kernel
    assert deep.to_host == shallow.to_host == {"All -> If": 1}


def test_what_would_keep_a_gpu_from_running_on_is_found():
    @tf.function(autograph=False)
    def function(x, words):
        first, _ = tf.unstack(words)  # no kernel for these on a GPU
        r = tf.linalg.qr(x).r  # decomposes on the host
        result = tf.cond(tf.reduce_all(x > 0), lambda: tf.exp(r), lambda: r)
        count = tf.while_loop(
            lambda number, total: total < 1.0, lambda number, total: (number + 1, total + x[0, 0]), (0, 0.0)
        )
        return tf.linalg.inv(tf.cast(result, tf.float64)), first, count

    specs = tf.TensorSpec([2, 2]), tf.TensorSpec([2], tf.uint64)
    report = report_of(Operations(function.get_concrete_function(*specs), trip_count=3))
    assert report.without_kernel == {"Unpack uint64": 1}
    waits_for = {
        "Placeholder -> Unpack": 1,
        "Placeholder -> Qr": 1,
        "All -> StatelessIf": 1,
        "Less -> StatelessWhile": 3,
    }
    assert report.to_host == waits_for
    assert report.on_host["Qr float32"] == 1
    assert report.waits == {"MatrixInverse": 1} and report.num_synchronizations == 7
    assert report.float64 == {"Cast": 1, "MatrixInverse": 1}
    assert report.kernels["Exp"] == 1 and report.kernels["AddV2"] == 3
