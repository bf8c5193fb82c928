"""How many parts of a batch are computed side by side where nobody says so."""

import dataclasses
import subprocess
import sys

import pytest
import tensorflow as tf

from reproductions.agave.reproduction import AGAVE
from reproductions.realnvp.reproduction import REALNVP
from tests.reproductions.killed_runs import PAPERS
from tfflows.devices import cores
from tfflows.devices.cores import automatic_parts, available_cores, parts_of_batch, parts_of_process
from tfflows.training import process_options
from tfflows.training.train_step import automatic_side_by_side

# What a fresh process with four cores does; it prints parts and threads.
FRESH = """
import tensorflow as tf
from tfflows.devices import cores
from tfflows.training import process_options
cores.available_cores = lambda cluster="tf_config": 4
{first}
process_options({arguments})
threads = tf.config.threading
print(cores.parts_of_process(), threads.get_intra_op_parallelism_threads(), threads.get_inter_op_parallelism_threads())
"""


@pytest.fixture
def set_up_for(monkeypatch):
    """Gives a function that makes this process look as if `process_options` had set it up for so many parts."""

    def look(count):
        monkeypatch.setattr(tf.config.threading, "get_intra_op_parallelism_threads", lambda: 1)
        monkeypatch.setattr(tf.config.threading, "get_inter_op_parallelism_threads", lambda: count)

    return look


@pytest.mark.parametrize(
    ("num_images", "num_cores", "parts"),
    [(None, 2, 2), (8, 2, 2), (2, 2, 2), (1, 2, 1), (16, 16, 16), (15, 16, 1), (1000, 17, 1), (1, 1, 1)],
)
def test_as_many_parts_as_cores_unless_there_are_fewer_images_or_too_many_cores(
    monkeypatch, num_images, num_cores, parts
):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    assert automatic_parts(num_images, num_cores) == parts
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["gpu"])
    assert automatic_parts(num_images, num_cores) == 1


@pytest.mark.parametrize(("text", "expected"), [("150000 100000", 2), ("max 100000", 8), ("800000 100000", 8), ("", 8)])
def test_a_container_grants_fewer_cores(monkeypatch, tmp_path, text, expected):
    (tmp_path / "cpu.max").write_text(text)
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(cores.pathlib, "Path", lambda path: tmp_path / "cpu.max")
    assert available_cores("none") == expected


def test_workers_of_one_machine_share_its_cores(monkeypatch):
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(cores, "_container_cores", lambda default: default)
    monkeypatch.setattr(cores, "workers_on_this_machine", lambda cluster: 3)
    assert available_cores() == 2


def test_a_batch_is_cut_into_the_parts_of_the_process(set_up_for):
    assert parts_of_process() == parts_of_batch(None, 100) == 1
    set_up_for(4)
    assert parts_of_process() == 4
    assert [parts_of_batch(None, number) for number in (100, 4, 3, None)] == [4, 4, 1, 4]
    assert parts_of_batch(3, 4) == 3


class _Model:
    def __init__(self, has_loss_of_batch):
        self.has_loss_of_batch = has_loss_of_batch


@pytest.mark.parametrize(
    ("shares", "batch_size", "accumulate", "jit_compile", "parts"),
    [
        (False, 16, 1, False, 2),
        (True, 16, 1, False, 1),
        (False, 16, 8, False, 2),
        (False, 16, 16, False, 1),
        (False, 16, 1, True, 1),
        (False, 2, 1, False, 2),
        (False, 1, 1, False, 1),
    ],
)
def test_a_step_is_cut_where_that_leaves_its_loss(set_up_for, shares, batch_size, accumulate, jit_compile, parts):
    set_up_for(2)
    strategy = tf.distribute.get_strategy()
    assert automatic_side_by_side(_Model(shares), batch_size, strategy, accumulate, jit_compile) == parts


@pytest.mark.parametrize("paper", ["glow", "realnvp", "agave"])
def test_a_paper_knows_whether_its_models_share_a_loss(paper):
    reproduction, name, fields = PAPERS[paper]
    experiment = dataclasses.replace(reproduction.experiments[name], image_size=16, **fields)
    with tf.Graph().as_default():
        models = [reproduction.build_model(own, [16, 16, 3], 0, 0) for own in reproduction.stages(experiment).values()]
        shares = any(model.has_loss_of_batch for model in models)
    assert reproduction.has_loss_of_batch(experiment) == shares == (reproduction in (REALNVP, AGAVE))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "arguments", "printed"),
    [
        ("", "", "4 1 4"),
        ("", "side_by_side=2", "2 1 2"),
        ("", "side_by_side=1", "1 0 0"),
        ("tf.constant(0) + 1", "", "1 0 0"),  # TensorFlow has started: nothing changes, and nothing is said
    ],
)
def test_options_of_a_fresh_process(first, arguments, printed):
    code = FRESH.format(first=first, arguments=arguments).replace(
        "from tfflows.training import process_options",
        "from tfflows.training import process_options; cores.automatic_parts.__globals__['available_cores'] = lambda: 4",
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == printed, done.stderr
    assert "side by side" not in done.stderr


def test_neither_auto_nor_a_number():
    for wrong in (0, "2"):
        with pytest.raises(ValueError, match=f"side_by_side must be at least 1, or 'auto', got {wrong}"):
            process_options(side_by_side=wrong)
