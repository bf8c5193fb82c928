"""Options of the whole process: what they set, and that training with them is what the command does."""

import subprocess
import sys

import pytest
import tensorflow as tf

from tests.training.conftest import run_scenarios
from tfflows.training import process_options

IMPORT = """
import tensorflow as tf
before = tf.config.experimental.tensor_float_32_execution_enabled(), tf.config.optimizer.get_experimental_options()
import tfflows.training
after = tf.config.experimental.tensor_float_32_execution_enabled(), tf.config.optimizer.get_experimental_options()
assert before == after, (before, after)
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs process_options_runs.py; `{scenario: error}` and its standard error."""
    return run_scenarios("process_options_runs.py", tmp_path_factory.mktemp("options"))


@pytest.mark.parametrize("scenario", ["with_options", "without_options"])
@pytest.mark.slow
def test_from_python_as_by_the_command(runs, scenario):
    """See process_options_runs.py: bit for bit with the options, up to rounding without them."""
    errors, output = runs
    assert not errors[scenario], errors[scenario] + output


@pytest.mark.parametrize(("gpus", "disabled"), [([], True), (["gpu"], False)])
def test_the_graph_optimizer_stays_for_gpus(monkeypatch, gpus, disabled):
    options = {}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    monkeypatch.setattr(tf.config.optimizer, "set_experimental_options", options.update)
    process_options()
    assert options.get("disable_meta_optimizer", False) == disabled


def test_gpus_give_memory_as_it_is_needed(monkeypatch):
    growing = []

    def grow(gpu, enable):
        growing.append((gpu, enable))
        if gpu == "second":
            raise RuntimeError("Physical devices cannot be modified after being initialized")

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["first", "second"])
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", grow)
    process_options()
    assert growing == [("first", True), ("second", True)]


@pytest.mark.parametrize("tf32", [True, False])
def test_tf32_is_what_is_asked_for(monkeypatch, tf32):
    asked = []
    monkeypatch.setattr(tf.config.experimental, "enable_tensor_float_32_execution", asked.append)
    monkeypatch.setattr(tf.config.optimizer, "set_experimental_options", lambda options: None)
    process_options(tf32=tf32)
    assert asked == [tf32]


def test_no_parts_side_by_side():
    with pytest.raises(ValueError, match="side_by_side must be at least 1, or 'auto', got 0"):
        process_options(side_by_side=0)


@pytest.mark.slow
def test_an_import_sets_nothing():
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
