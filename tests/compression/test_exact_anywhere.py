"""What a machine rounds differently does not reach the coder: threads, batches, XLA, oneDNN, another process."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tests.compression.small_flows import glow_model
from tfflows.compression.network import FRACTION_BITS, Networks, in_float64

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def network():
    return glow_model().flow.bijector.levels[0].flow.bijectors[1].bijectors[2].network


def test_outputs_are_those_of_any_batch_and_of_xla(network):
    x = np.random.default_rng(0).normal(size=[8, 4, 4, 6])
    run, compiled = Networks().runner(network), Networks(jit_compile=True).runner(network)
    outputs = run(x)
    assert np.abs(outputs).max() > 0.1 and len(np.unique(outputs)) > 100
    np.testing.assert_array_equal(outputs * 2**FRACTION_BITS % 1, 0)
    np.testing.assert_array_equal(compiled(x), outputs)
    np.testing.assert_array_equal(np.concatenate([run(x[i : i + 1]) for i in range(8)]), outputs)
    # They are the network's, to the rounding.
    np.testing.assert_allclose(outputs, in_float64(network)(x).numpy(), atol=2.0 ** -(FRACTION_BITS + 1) + 1e-9)
    np.testing.assert_allclose(outputs, network(x.astype(np.float32)).numpy(), atol=1e-3)


def code(action, file, *arguments, **environment):
    """Runs `code_in_process`."""
    command = [sys.executable, "-m", "tests.compression.code_in_process", action, str(file), *arguments]
    variables = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", **environment}
    for name in ("XLA_FLAGS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        variables.pop(name, None)
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module", params=["glow", "agave"])
def file(request, tmp_path_factory):
    """Images that a model compressed on one thread with oneDNN and without XLA, and the model."""
    path = tmp_path_factory.mktemp("compressed") / "images.tff"
    model = f"--model={request.param}"
    code("compress", path, model, "--threads=1", TF_ENABLE_ONEDNN_OPTS="1", OPENBLAS_NUM_THREADS="1")
    return path, model


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["--threads=1"], {"TF_ENABLE_ONEDNN_OPTS": "1"}),
        (["--threads=2"], {"TF_ENABLE_ONEDNN_OPTS": "1"}),
        (["--threads=2"], {"TF_ENABLE_ONEDNN_OPTS": "0"}),
        (["--threads=1", "--xla"], {"TF_ENABLE_ONEDNN_OPTS": "1"}),
        # Kernels of NumPy for another processor.
        (["--threads=1"], {"NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3", "OPENBLAS_CORETYPE": "Sandybridge"}),
    ],
    ids=["another_process", "two_threads", "no_onednn", "xla", "older_processor"],
)
def test_another_process_gives_back_every_image(file, arguments, environment):
    assert code("decompress", *file, *arguments, **environment).endswith("24 exact\n")
